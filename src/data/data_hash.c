/* data_hash.c - a hash of a data set, to know it again: what was computed from it (the teacher's features, a
 * compression half done) belongs to it. */
#include "data/source.h"

#include <string.h>
#include <sys/stat.h>

uint64_t tc_hash_file(uint64_t sum, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return tc_hash(sum, UINT64_MAX, 0);
    return tc_hash(tc_hash(sum, (uint64_t)st.st_size, 1), (uint64_t)st.st_mtim.tv_sec,
                   (uint64_t)st.st_mtim.tv_nsec);
}

tc_status tc_data_hash(const tc_data *d, uint64_t *hash, tc_error *err) {
    uint64_t sum = tc_hash_text(0, d->source->kind);
    sum = tc_hash(sum, (uint64_t)d->count, (uint64_t)d->nclasses);
    for (int i = 0; i < d->nclasses; i++) sum = tc_hash_text(sum, d->classes[i]);
    sum = tc_hash(sum, (uint64_t)d->ntemplates, 0);
    for (int i = 0; i < d->ntemplates; i++) sum = tc_hash_text(sum, d->templates[i]);
    int c, t; /* prompts that were made in another way before */
    if (tc_template_conflict((const char *const *)d->classes, d->nclasses, (const char *const *)d->templates,
                             d->ntemplates, &c, &t))
        sum = tc_hash_text(sum, "articles");
    tc_status status = d->source->hash(d, &sum, err);
    if (status == TC_OK) *hash = sum;
    return status;
}
