/* saving.c - what every form of a saved model takes: values on their way to a file, JSON, the tokenizer. */
#include "format/save.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* ---- values on their way to a file */

static const double QUIET = 1; /* seconds before the first line of progress, and between two */

tc_status tc_saving_read(tc_saving *s, size_t i, tc_real *values, tc_error *err) {
    return tc_model_read(s->model, i, values, err);
}

static void tell_progress(tc_saving *s, size_t bytes) {
    s->done += bytes;
    double now = tc_now();
    if (now - s->started < QUIET || now - s->told < QUIET || s->bytes == 0) return;
    s->told = now;
    tc_log_line(&s->log, 0, "writing: %.0f of %.0f MB", (double)s->done / 1e6, (double)s->bytes / 1e6);
}

tc_status tc_saving_narrow(tc_saving *s, size_t i, const tc_real *values, int64_t n, void *out,
                           tc_error *err) {
    int64_t bad = tc_dtype_narrow(s->dtype, values, n, out);
    if (bad >= 0)
        return tc_fail(err, TC_EARG,
                       "tensor '%s' holds %g, which is too large for %s; bf16 and f32 have a wider range",
                       s->model->params.items[i].name, (double)values[bad],
                       s->dtype == TC_F16 ? "f16" : tc_dtype_name(s->dtype));
    tell_progress(s, (size_t)n * tc_dtype_size(s->dtype));
    return TC_OK;
}

tc_status tc_save_json(const char *dir, const char *name, json_t *json, tc_error *err) {
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    char *path = dir ? tc_path_join(dir, name) : tc_strdup(name);
    json_decref(json);
    tc_status status = text && path ? tc_file_write(path, text, strlen(text), err) : tc_fail_memory(err, 1);
    free(text);
    free(path);
    return status;
}

tc_status tc_save_tokenizer(const tc_saving *s, const char *dir, tc_error *err) {
    tc_tokenizer *t = NULL;
    int vocabulary = s->model->config.vocab_size;
    tc_status status = tc_model_tokenizer(s->model, &t, err);
    if (status != TC_OK) return status;
    /* A model of a smaller vocabulary than its tokenizer's has no tokenizer of its own to write. */
    if (tc_tokenizer_size(t) <= vocabulary)
        status = tc_tokenizer_write_hf(t, dir, s->model->config.context_length, err);
    else
        tc_log_line(&s->log, 1, "%s: no tokenizer is written: there is none for this model's %d ids", dir,
                    vocabulary);
    tc_tokenizer_close(&t);
    return status;
}
