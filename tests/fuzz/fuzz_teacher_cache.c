/* fuzz_teacher_cache.c - any bytes as a file of the teacher's features: it is refused, or every row of it is
 * there or missing, and can be filled; then all rows are there. */
#include "scratch.h"
#include "train/teacher_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAMPLES = 2, AUGMENTATIONS = 2, ROWS = SAMPLES * AUGMENTATIONS, DIM = 2 };

static char *dir;

static void clean_up(void) { scratch_remove(dir); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const tc_teacher_key key = {.weights = 1,
                                .seed = 2,
                                .crop_scale_min = 0.5,
                                .augmentations = AUGMENTATIONS,
                                .samples = SAMPLES,
                                .dim = DIM};
    const int64_t rows[ROWS] = {0, 1, 2, 3};
    float image[ROWS * DIM] = {0}, text[ROWS * DIM] = {0};
    tc_teacher_cache *c;
    tc_error err;
    int missing;
    if (!dir) {
        dir = scratch_dir();
        atexit(clean_up);
    }
    scratch_file(dir, "teacher.cache", data, size);
    if (tc_teacher_cache_open(&c, dir, &key, &err) != TC_OK) return 0;
    if (tc_teacher_cache_read(c, rows, ROWS, image, text, &missing, &err) != TC_OK) abort();
    if (missing < 0 || missing > ROWS) abort();
    if (tc_teacher_cache_fill(c, rows, ROWS, image, text, &err) != TC_OK) abort();
    if (tc_teacher_cache_read(c, rows, ROWS, image, text, &missing, &err) != TC_OK || missing != 0) abort();
    tc_teacher_cache_close(&c);
    return 0;
}
