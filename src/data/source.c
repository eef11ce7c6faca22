/* source.c - what the forms of data share: splits, what is left out, pictures in files of their own. */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

bool tc_split_keeps(tc_split split, const char *name) {
    if (split == TC_SPLIT_WHOLE) return true;
    bool test = tc_hash(tc_checksum(0, name, strlen(name)), 0, 0) % 10 == 0;
    return test == (split == TC_SPLIT_TEST);
}

void tc_data_skip(tc_data *d, int64_t n, const char *thing, const char *why) {
    if (n)
        tc_buf_printf(&d->skipped, "%s%lld %s%s %s", d->skipped.size ? "\n" : "", (long long)n, thing,
                      n == 1 ? "" : "s", why);
}

tc_status tc_read_image(const tc_data *d, const char *path, const tc_preprocess *p, const tc_augment *a,
                        float *pixel_values, tc_error *err) {
    char *bytes;
    size_t size;
    tc_image im = {0};
    int64_t limit = d->options.pixel_limit > 0 && d->options.pixel_limit < p->pixel_limit
                        ? d->options.pixel_limit
                        : p->pixel_limit;
    tc_status status = tc_file_read(path, TC_ENCODED_LIMIT, &bytes, &size, err);
    if (status != TC_OK) return status;
    status = tc_image_decode(&im, bytes, size, path, limit, err);
    free(bytes);
    if (status != TC_OK) return status;
    status = tc_preprocess_image(p, &im, a, pixel_values, NULL, err);
    tc_image_free(&im);
    return status == TC_OK ? TC_OK : tc_fail_in(err, status, "%s", path);
}
