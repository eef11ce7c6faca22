/* image_pass.c - the images of a source through the image tower: decoded in parallel, a batch at a time, bad
 * ones left out and counted. */
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, REASONS_TOLD = 5 };

tc_selection tc_select(int64_t total, int64_t limit) {
    return (tc_selection){.total = total, .count = limit > 0 && limit < total ? limit : total};
}

/* i * total / count without a product that could overflow. */
int64_t tc_selected(const tc_selection *s, int64_t i) {
    int64_t step = s->total / s->count, rest = s->total % s->count;
    return i * step + (int64_t)((double)i * (double)rest / (double)s->count);
}

tc_status tc_image_pass_start(tc_image_pass *p, const tc_model *m, tc_error *err) {
    const tc_model_info *info = tc_model_get_info(m);
    if (p->preprocess->crop != info->image_size)
        return tc_fail(err, TC_EARG,
                       "the preprocessing makes images of %d pixels, but the model's image_size is %d",
                       p->preprocess->crop, info->image_size);
    size_t pixels = 3 * (size_t)info->image_size * (size_t)info->image_size;
    p->embed_dim = info->embed_dim;
    p->start = tc_now();
    p->pixels = tc_new_aligned(BATCH * pixels, sizeof *p->pixels);
    p->embeds = tc_new(BATCH * (size_t)info->embed_dim, sizeof *p->embeds);
    p->index = tc_new(BATCH, sizeof *p->index);
    p->errors = tc_new(BATCH, sizeof *p->errors);
    return p->pixels && p->embeds && p->index && p->errors
               ? TC_OK
               : tc_fail_memory(err, BATCH * pixels * sizeof *p->pixels);
}

void tc_image_pass_release(tc_image_pass *p) {
    free(p->pixels);
    free(p->embeds);
    free(p->index);
    free(p->errors);
}

static void tell_progress(const tc_image_pass *p) {
    double seconds = tc_now() - p->start, rate = seconds > 0 ? (double)p->at / seconds : 0;
    char left[32];
    tc_format_duration(rate > 0 ? (double)(p->selection.count - p->at) / rate : 0, left, sizeof left);
    tc_log_line(&p->log, 0, "%s: %lld of %lld images, %.0f a second, %s left", p->what, (long long)p->at,
                (long long)p->selection.count, rate, left);
}

/* Closes the gaps that bad images leave; returns the number of rows that stay. */
static int close_gaps(tc_image_pass *p, int batch, size_t size) {
    int kept = 0;
    for (int i = 0; i < batch; i++) {
        if (p->errors[i].status != TC_OK) {
            if (p->skipped++ < REASONS_TOLD) tc_log_line(&p->log, 2, "left out: %s", p->errors[i].message);
            continue;
        }
        if (kept < i)
            memmove(p->pixels + (size_t)kept * size, p->pixels + (size_t)i * size, size * sizeof *p->pixels);
        p->index[kept++] = tc_selected(&p->selection, p->at + i);
    }
    return kept;
}

tc_status tc_image_pass_next(tc_image_pass *p, int *n, tc_error *err) {
    size_t side = (size_t)p->preprocess->crop, size = 3 * side * side;
    int batch = p->selection.count - p->at < BATCH ? (int)(p->selection.count - p->at) : BATCH;
#pragma omp parallel for schedule(dynamic) num_threads(tc_threads())
    for (int i = 0; i < batch; i++) {
        p->errors[i].status = TC_OK;
        p->errors[i].status = tc_data_image(p->data, tc_selected(&p->selection, p->at + i), p->preprocess,
                                            p->pixels + (size_t)i * size, &p->errors[i]);
    }
    *n = close_gaps(p, batch, size);
    p->at += batch;
    tc_status status = *n ? tc_session_encode_image(p->session, p->pixels, *n, p->embeds, err) : TC_OK;
    if (status == TC_OK) tc_normalize(p->embeds, *n, p->embed_dim);
    if (status == TC_OK) tell_progress(p);
    return status;
}

tc_status tc_image_pass_check(const tc_image_pass *p, tc_error *err) {
    if (p->selection.count == 0) return tc_fail(err, TC_ESTATE, "the data holds no sample");
    if (p->skipped < p->selection.count) return TC_OK;
    return tc_fail(err, TC_ESTATE, "none of the %lld images could be read; the last one: %s",
                   (long long)p->skipped, p->errors[(p->selection.count - 1) % BATCH].message);
}
