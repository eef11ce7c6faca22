/* run_model.c - what a training run leaves: the model with its card. */
#include "train/training.h"

#include <stdlib.h>
#include <string.h>

/* Paths need not be UTF-8, JSON must be. */
static json_t *text_or_null(const char *s) {
    json_t *text = s ? json_string(s) : NULL;
    return text ? text : json_null();
}

static tc_status write_card(tc_training *t, tc_model *m, tc_error *err) {
    const tc_train_options *o = t->o;
    const tc_model_info *i = &m->info;
    json_t *parents = json_array();
    if (o->teacher)
        json_array_append_new(
            parents, json_pack("{s:s, s:o, s:I}", "role", "teacher", "source",
                               text_or_null(o->teacher->path ? o->teacher->path : o->teacher->source),
                               "params", (json_int_t)o->teacher->info.params));
    json_array_append_new(parents, json_pack("{s:s, s:o}", "role", "start", "source",
                                             text_or_null(o->init->path ? o->init->path : o->init->source)));
    json_t *json =
        json_pack("{s:{s:o, s:s, s:I}, s:o, s:I, s:I, s:f, s:f, s:I, s:i, s:s}", "training_data", "source",
                  text_or_null(tc_data_spec(o->data)), "kind", tc_data_kind(o->data), "samples",
                  (json_int_t)tc_data_count(o->data), "parents", parents, "params", (json_int_t)i->params,
                  "params_without_tokens", (json_int_t)i->params_without_tokens, "macs_image", i->macs_image,
                  "macs_text", i->macs_text, "steps", (json_int_t)t->trainer->step, "batch", o->batch,
                  "objective", o->teacher ? "affinity mimicking" : "contrastive");
    if (json) tc_auto_card(t, json);
    json_t *more = NULL;
    tc_status status =
        o->card ? tc_json_parse(&more, o->card, strlen(o->card), "the model card", err) : TC_OK;
    if (more) json_object_update(json, more);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    json_decref(more);
    if (status == TC_OK) status = text ? tc_model_set_card(m, text, err) : tc_fail_memory(err, 1024);
    free(text);
    return status;
}

tc_status tc_training_save_model(tc_training *t, tc_error *err) {
    tc_model *m = t->trainer->student;
    bool file = !tc_config_fits_hf(&m->config);
    char *path = tc_path_join(t->o->out, file ? "model.safetensors" : "model");
    tc_status status = path ? write_card(t, m, err) : tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_model_save(m, path, file ? TC_FORMAT_FILE : TC_FORMAT_HF, err);
    if (status == TC_OK) tc_log_line(&t->log, 1, "saved %s", path);
    free(path);
    return status;
}
