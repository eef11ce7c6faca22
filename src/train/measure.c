/* measure.c - the time of a training step, on random pictures and captions: what `bench` prints. Steps that
 * are compared are made by one trainer in turn, so that a machine that becomes slower is slower for all. */
#include "train/measure.h"
#include "train/run_plan.h"
#include "train/settings.h"
#include "train/trainer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double SLOW = 1e-6;
enum { WARM_UP = 2 }; /* steps of each kind before the measured ones */

int tc_by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void tc_random_batch(const tc_config *c, int batch, int caption, float *pixels, int32_t *ids) {
    tc_rng rng = tc_rng_make(1, 2, 3);
    int64_t image = 3 * (int64_t)c->image_size * c->image_size;
    for (int64_t i = 0; i < batch * image; i++) pixels[i] = (float)(2 * tc_rng_uniform(&rng) - 1);
    for (int b = 0; b < batch; b++, ids += c->context_length) {
        for (int i = 0; i < c->context_length; i++) {
            int32_t word = (int32_t)tc_rng_below(&rng, c->vocab_size > 2 ? (uint64_t)c->vocab_size - 2 : 1);
            ids[i] = i < caption - 1 ? word : 0;
        }
        if (caption <= c->context_length) ids[caption - 1] = c->eos_id >= 0 ? c->eos_id : c->vocab_size - 1;
    }
}

/* ---- one trainer on one batch, for every kind of step */

typedef enum kind { DISTILL, CACHED, PLAIN, KINDS } kind;

typedef struct bench {
    tc_trainer *trainer;
    float *pixels;
    int32_t *ids;
    int64_t *rows;
    double *times[KINDS];
    int batch, context;
} bench;

static void bench_close(bench *b) {
    tc_trainer_free(&b->trainer);
    free(b->pixels);
    free(b->ids);
    free(b->rows);
    for (int k = 0; k < KINDS; k++) free(b->times[k]);
}

static tc_status bench_open(bench *b, const tc_model *student, const tc_model *teacher, int batch,
                            int caption, int steps, tc_error *err) {
    const tc_config *c = &student->config;
    *b = (bench){.batch = batch, .context = c->context_length};
    if (batch < 1 || steps < 1 || caption < 2 || caption > c->context_length)
        return tc_fail(err, TC_EARG, "a step of %d pairs with captions of %d ids makes no sense", batch,
                       caption);
    tc_train_options o = tc_train_options_default();
    o.lr = SLOW; /* so small that the student stays what it is */
    o.steps = KINDS * (steps + WARM_UP) + 1;
    o.warmup_steps = WARM_UP;
    tc_train_choose(&o, c->vision.family, true);
    tc_hyper h = tc_train_hyper(&o);
    tc_model *copy = NULL;
    bool ok = (b->pixels = tc_new_aligned((size_t)batch * 3 * (size_t)c->image_size * (size_t)c->image_size,
                                          sizeof *b->pixels));
    ok = (b->ids = tc_new((size_t)batch * (size_t)c->context_length, sizeof *b->ids)) && ok;
    ok = (b->rows = tc_new((size_t)batch, sizeof *b->rows)) && ok;
    for (int k = 0; k < KINDS; k++) ok = (b->times[k] = tc_new((size_t)steps, sizeof *b->times[k])) && ok;
    if (!ok)
        return tc_fail_memory(err, (size_t)batch * (size_t)c->image_size * (size_t)c->image_size * 3 *
                                       sizeof *b->pixels);
    for (int i = 0; i < batch; i++) b->rows[i] = i;
    tc_random_batch(c, batch, caption, b->pixels, b->ids);
    tc_status status = tc_model_copy(&copy, student, err);
    return status == TC_OK ? tc_trainer_create(&b->trainer, &copy, teacher, &h, err) : status;
}

/* One step, its time in *seconds. The trainer looks at its teacher and its cache anew in each. */
static tc_status bench_step(bench *b, kind k, const tc_model *teacher, tc_teacher_cache *cache,
                            double *seconds, tc_error *err) {
    tc_step_log log;
    b->trainer->teacher = k == PLAIN ? NULL : teacher;
    b->trainer->cache = k == CACHED ? cache : NULL;
    b->trainer->cache_rows = b->rows;
    double start = tc_now();
    tc_status status = tc_trainer_step(b->trainer, b->pixels, b->ids, b->batch, b->context, &log, err);
    *seconds = tc_now() - start;
    return status;
}

/* `kinds` kinds of step in turn, the teacher's first: it sizes the trainer's buffers. Sorts the times. */
static tc_status bench_run(bench *b, int kinds, const tc_model *teacher, tc_teacher_cache *cache, int steps,
                           tc_error *err) {
    tc_status status = TC_OK;
    for (int i = -WARM_UP; i < steps; i++)
        for (int k = 0; k < kinds && status == TC_OK; k++) {
            double seconds;
            status = bench_step(b, (kind)k, teacher, cache, &seconds, err);
            if (i >= 0) b->times[k][i] = seconds;
        }
    for (int k = 0; k < kinds; k++) qsort(b->times[k], (size_t)steps, sizeof *b->times[k], tc_by_size);
    return status;
}

tc_status tc_train_measure(const tc_model *student, const tc_model *teacher, int batch, int caption,
                           int steps, double *seconds, tc_error *err) {
    bench b;
    tc_status status = bench_open(&b, student, teacher, batch, caption, steps, err);
    if (status == TC_OK) status = bench_run(&b, 1, teacher, NULL, steps, err);
    if (status == TC_OK) *seconds = b.times[0][steps / 2];
    bench_close(&b);
    return status;
}

/* A cache of one batch in a new folder, whose path the caller frees. */
static tc_status make_cache(tc_teacher_cache **out, char **dir, const tc_model *teacher, int batch,
                            tc_error *err) {
    const char *base = getenv("TMPDIR");
    const tc_teacher_key key = {.samples = batch, .augmentations = 1, .dim = teacher->config.embed_dim};
    *dir = tc_path_join(base && *base ? base : "/tmp", "tinyclip-bench-XXXXXX");
    if (!*dir) return tc_fail_memory(err, 1);
    if (!mkdtemp(*dir)) {
        tc_status status = tc_fail(err, TC_EIO, "%s: cannot make a folder: %s", *dir, strerror(errno));
        free(*dir);
        *dir = NULL;
        return status;
    }
    return tc_teacher_cache_open(out, *dir, &key, err);
}

tc_status tc_train_measure_kinds(const tc_model *student, const tc_model *teacher, int batch, int caption,
                                 int steps, tc_step_times *times, tc_error *err) {
    bench b;
    tc_teacher_cache *cache = NULL;
    char *dir = NULL;
    tc_status status = bench_open(&b, student, teacher, batch, caption, steps, err);
    if (status == TC_OK) status = make_cache(&cache, &dir, teacher, batch, err);
    if (status == TC_OK) status = bench_run(&b, KINDS, teacher, cache, steps, err);
    if (status == TC_OK)
        *times = (tc_step_times){.plain = b.times[PLAIN][steps / 2],
                                 .distill = b.times[DISTILL][steps / 2],
                                 .cached = b.times[CACHED][steps / 2]};
    if (cache) unlink(tc_teacher_cache_path(cache));
    tc_teacher_cache_close(&cache);
    if (dir) rmdir(dir);
    free(dir);
    bench_close(&b);
    return status;
}
