/* model.c - the beginning and the end of a model, and what it has beside its weights. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

tc_status tc_model_new(tc_model **out, const tc_config *c, tc_error *err) {
    tc_model *m = tc_new(1, sizeof *m);
    *out = NULL;
    if (!m) return tc_fail_memory(err, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    m->config = *c;
    m->preprocess = tc_preprocess_default(c->image_size);
    tc_status status = tc_net_params(&m->params, c, err);
    if (status == TC_OK && !(m->origin = tc_new(m->params.count, sizeof *m->origin)))
        status = tc_fail_memory(err, m->params.count * sizeof *m->origin);
    if (status != TC_OK) {
        tc_model_close(&m);
        return status;
    }
    *out = m;
    return TC_OK;
}

tc_status tc_model_new_flat(tc_model **out, const tc_config *c, tc_error *err) {
    tc_status status = tc_model_new(out, c, err);
    if (status != TC_OK) return status;
    (*out)->flat = tc_new_aligned((size_t)(*out)->params.total, sizeof(tc_real));
    if ((*out)->flat) return TC_OK;
    status = tc_fail_memory(err, (size_t)(*out)->params.total * sizeof(tc_real));
    tc_model_close(out);
    return status;
}

void tc_model_close(tc_model **out) {
    tc_model *m = *out;
    if (!m) return;
    tc_model_release(m, TC_TOWER_VISION);
    tc_model_release(m, TC_TOWER_TEXT);
    free(m->data);
    free(m->owned);
    tc_store_close(&m->store);
    for (size_t i = 0; i < m->params.count && m->origin; i++) free(m->origin[i].own);
    tc_params_free(&m->params);
    free(m->origin);
    free(m->activation_source);
    free(m->flat);
    free(m->path);
    free(m->source);
    free(m->tokenizer_dir);
    free(m->vocab);
    free(m->merges);
    free(m->card);
    pthread_mutex_destroy(&m->lock);
    free(m);
    *out = NULL;
}

/* Everything beside the weights. */
tc_status tc_model_copy_settings(tc_model *to, const tc_model *from, tc_error *err) {
    to->preprocess = from->preprocess;
    to->tokenizer_kind = from->tokenizer_kind;
    if (from->tokenizer_dir && !(to->tokenizer_dir = tc_strdup(from->tokenizer_dir)))
        return tc_fail_memory(err, 1);
    if (from->activation_source && !(to->activation_source = tc_strdup(from->activation_source)))
        return tc_fail_memory(err, 1);
    to->activation_assumed = from->activation_assumed;
    if (from->vocab && (!(to->vocab = tc_strdup(from->vocab)) || !(to->merges = tc_strdup(from->merges))))
        return tc_fail_memory(err, 1);
    return TC_OK;
}
