/* compress_record.c - compress.json: what a compression is, how far it is, and what its models are. It is
 * what resuming goes by and what reports are made of. It is replaced as a whole, so that it is never half
 * written; what it says of a stage is true only if the stage's files agree. */
#include "train/checkpoint.h"
#include "train/compress.h"
#include "eval/eval.h"
#include "format/preprocess_json.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_LIMIT = 16 << 20, CONFUSIONS = 3 /* that are noted of a class */ };

/* 15 digits give back a number as it was written by hand. */
#define FORM (JSON_INDENT(2) | JSON_REAL_PRECISION(15))

json_t *tc_record_hash(uint64_t hash) {
    char text[32];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return json_string(text);
}

/* Text that need not be UTF-8, as paths; null if it is not, or if there is none. */
static json_t *text_or_null(const char *s) {
    json_t *text = s ? json_string(s) : NULL;
    return text ? text : json_null();
}

/* JSON has no number for what is not finite. */
static json_t *real(double x) { return isfinite(x) ? json_real(x) : json_null(); }

json_t *tc_record_stage(const tc_compression *c, int k) {
    return json_array_get(json_object_get(c->record, "stages"), (size_t)k);
}

tc_status tc_record_write(tc_compression *c, tc_error *err) {
    char *text = json_dumps(c->record, FORM);
    tc_status status = text ? tc_file_write(c->record_path, text, strlen(text), err) : tc_fail_memory(err, 1);
    free(text);
    c->written = tc_now();
    return status;
}

/* ---- what it is when it begins */

static tc_status data_json(json_t **out, const tc_data *d, int64_t limit, tc_error *err) {
    uint64_t hash;
    *out = json_null();
    if (!d) return TC_OK;
    tc_status status = tc_data_hash(d, &hash, err);
    if (status != TC_OK) return status;
    *out = json_pack("{s:o, s:s, s:I, s:o}", "spec", text_or_null(tc_data_spec(d)), "split", tc_data_split(d),
                     "samples", (json_int_t)tc_data_count(d), "hash", tc_record_hash(hash));
    if (limit >= 0) json_object_set_new(*out, "limit", json_integer((json_int_t)limit));
    int templates = tc_data_templates(d);
    json_object_set_new(*out, "templates", json_integer(templates));
    if (templates) json_object_set_new(*out, "template", text_or_null(tc_data_template(d, 0)));
    return TC_OK;
}

static json_t *stages_json(const tc_compression *c) {
    json_t *stages = json_array();
    for (int k = 0; k < c->recipe->count; k++) {
        const tc_stage *s = &c->recipe->stages[k];
        char folder[32];
        snprintf(folder, sizeof folder, "stage-%d", k + 1);
        json_array_append_new(stages, json_pack("{s:s, s:s, s:s, s:I, s:b, s:s, s:f}", "name", s->name,
                                                "inheritance", s->automatic ? "auto" : "manual",
                                                "teacher_loss", s->train.alpha > 0 ? "affinity" : "none",
                                                "steps", (json_int_t)c->legs[k].steps, "done", 0, "folder",
                                                folder, "seconds", 0.0));
    }
    return stages;
}

static json_t *command_json(const tc_compress_options *o) {
    json_t *command = json_array();
    for (int i = 0; i < o->command_count; i++) json_array_append_new(command, text_or_null(o->command[i]));
    return command;
}

static tc_status new_record(const tc_compression *c, json_t **out, tc_error *err) {
    const tc_compress_options *o = c->o;
    json_t *data = NULL, *eval = NULL;
    uint64_t hash;
    tc_status status = tc_model_hash(o->teacher, &hash, err);
    if (status == TC_OK) status = data_json(&data, o->data, -1, err);
    if (status == TC_OK) status = data_json(&eval, o->eval_data, o->eval_limit, err);
    if (status != TC_OK) {
        json_decref(data);
        return status;
    }
    json_t *inputs = json_pack("{s:o, s:i, s:b, s:i}", "preprocess", tc_preprocess_json(&o->preprocess),
                               "order", (int)o->preprocess.order, "exif", o->preprocess.exif, "tokens",
                               tc_tokenizer_size(o->tokenizer));
    json_t *teacher = json_pack(
        "{s:o, s:o, s:o}", "path", text_or_null(o->teacher->path ? o->teacher->path : o->teacher->source),
        "weights_hash", tc_record_hash(hash), "config", tc_config_full_json(&o->teacher->config));
    *out = json_pack("{s:s, s:o, s:o, s:s, s:I, s:o, s:o, s:o, s:{s:s, s:i}, s:o, s:o, s:b}", "version",
                     TC_VERSION, "command", command_json(o), "recipe", tc_recipe_json(c->recipe),
                     "recipe_name", c->recipe->name, "seed", (json_int_t)o->seed, "data", data, "eval_data",
                     eval, "inputs", inputs, "machine", "cpu", tc_cpu_level(), "threads", tc_threads(),
                     "teacher", teacher, "stages", stages_json(c), "finished", 0);
    /* As it will be when it has been written and read. */
    char *text = *out ? json_dumps(*out, FORM) : NULL;
    json_decref(*out);
    *out = NULL;
    status = text ? tc_json_parse(out, text, strlen(text), c->record_path, err) : tc_fail_memory(err, 1);
    free(text);
    return status;
}

/* ---- going on with one */

/* What must be the same on resuming. Where the data lies and what a recipe says about itself need not be. */
static json_t *settings_of(const json_t *record) {
    static const char *const whole[] = {"seed", "inputs", NULL},
                             *const data[] = {"split", "samples", "hash", "limit", NULL},
                             *const teacher[] = {"weights_hash", "config", NULL},
                             *const recipe[] = {"cache_augmentations", "stages", NULL};
    static const struct {
        const char *object;
        const char *const *keys;
    } parts[] = {
        {NULL, whole}, {"recipe", recipe}, {"teacher", teacher}, {"data", data}, {"eval_data", data}};
    json_t *settings = json_object();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const json_t *from = parts[i].object ? json_object_get(record, parts[i].object) : record;
        json_t *to = parts[i].object && json_is_object(from) ? json_object() : json_incref(settings);
        for (const char *const *key = parts[i].keys; *key && json_is_object(from); key++)
            if (json_object_get(from, *key)) json_object_set(to, *key, json_object_get(from, *key));
        if (to != settings) json_object_set(settings, parts[i].object, to);
        json_decref(to);
    }
    return settings;
}

/* Its stages are those of the recipe, and none is done before the one before it. */
static bool stages_fit(const json_t *record, const json_t *fresh) {
    const json_t *stages = json_object_get(record, "stages"), *wanted = json_object_get(fresh, "stages"), *s;
    size_t i;
    bool before = true;
    if (json_array_size(stages) != json_array_size(wanted)) return false;
    json_array_foreach((json_t *)stages, i, s) {
        const json_t *done = json_object_get(s, "done"), *seconds = json_object_get(s, "seconds");
        if (!json_is_boolean(done) || !json_is_number(seconds) || (json_is_true(done) && !before))
            return false;
        if (json_is_true(done) && !json_is_string(json_object_get(s, "weights_hash"))) return false;
        before = json_is_true(done);
    }
    return json_is_boolean(json_object_get(record, "finished"));
}

static tc_status compare(const tc_compression *c, const json_t *old, const json_t *fresh, tc_error *err) {
    if (!json_is_object(old) || !json_is_object(json_object_get(old, "teacher")) ||
        !json_is_object(json_object_get(old, "recipe")))
        return tc_fail(err, TC_EFORMAT, "%s: it is not the record of a compression", c->record_path);
    json_t *a = settings_of(old), *b = settings_of(fresh);
    tc_buf difference = {0};
    tc_status status = TC_OK;
    if (tc_settings_differ("", a, b, &difference))
        status = tc_fail(err, TC_EARG, "%s: cannot resume another compression: %s", c->record_path,
                         difference.data ? difference.data : "memory ran out");
    else if (!stages_fit(old, fresh))
        status = tc_fail(err, TC_EFORMAT, "%s: its stages are not those of the recipe", c->record_path);
    tc_buf_free(&difference);
    json_decref(a);
    json_decref(b);
    return status;
}

tc_status tc_record_find(tc_compression *c, tc_error *err) {
    const char *out = c->o->out;
    char *first = tc_path_join(out, "stage-1");
    if (!c->record_path) c->record_path = tc_path_join(out, "compress.json");
    tc_status status = first && c->record_path ? TC_OK : tc_fail_memory(err, strlen(out));
    bool there = status == TC_OK && tc_path_exists(c->record_path);
    if (status == TC_OK && there && !c->o->resume)
        status = tc_fail(err, TC_EARG,
                         "%s: there is a compression in it; resume that one or choose another folder", out);
    else if (status == TC_OK && !there && c->o->resume)
        status = tc_fail(err, TC_ESTATE, "%s: there is no compression to resume in it", out);
    else if (status == TC_OK && !there && tc_path_exists(first))
        status = tc_fail(err, TC_EARG,
                         "%s: there are stages of another compression in it; choose another folder", out);
    free(first);
    return status;
}

tc_status tc_record_open(tc_compression *c, tc_error *err) {
    json_t *fresh = NULL;
    tc_status status = new_record(c, &fresh, err);
    if (status == TC_OK && c->o->resume) status = tc_json_load(&c->record, c->record_path, RECORD_LIMIT, err);
    if (status == TC_OK && c->o->resume) status = compare(c, c->record, fresh, err);
    if (status == TC_OK && !c->o->resume) c->record = json_incref(fresh);
    json_decref(fresh);
    return status;
}

/* ---- what a model is */

static json_t *direction_json(const tc_retrieval_direction *d) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "r1", real(d->r1), "r5", real(d->r5), "r10", real(d->r10),
                     "mean_rank", real(d->mean_rank), "median_rank", real(d->median_rank));
}

/* What a class was taken for most often, but for itself. */
static json_t *taken_for_json(const int64_t *row, int classes, int own) {
    json_t *list = json_array();
    float images[TC_CONFUSION_CLASSES];
    int most[CONFUSIONS];
    for (int c = 0; c < classes; c++) images[c] = c == own ? 0 : (float)row[c];
    tc_top_k(images, classes, CONFUSIONS, most);
    for (int k = 0; k < CONFUSIONS && most[k] >= 0 && row[most[k]] > 0 && most[k] != own; k++)
        json_array_append_new(list,
                              json_pack("{s:i, s:I}", "class", most[k], "images", (json_int_t)row[most[k]]));
    return list;
}

static json_t *classes_json(const tc_data *d, const tc_zeroshot_result *z) {
    json_t *list = json_array();
    for (int c = 0; c < z->classes; c++)
        json_array_append_new(
            list,
            json_pack("{s:o, s:I, s:I, s:o}", "name", text_or_null(tc_data_class_name(d, c)), "images",
                      (json_int_t)z->class_count[c], "right", (json_int_t)z->class_correct[c], "taken_for",
                      taken_for_json(z->confusion + (int64_t)c * z->classes, z->classes, c)));
    return list;
}

static tc_status add_accuracy(tc_compression *c, const tc_model *m, json_t *into, tc_error *err) {
    const tc_compress_options *o = c->o;
    bool labelled = o->eval_data && tc_data_classes(o->eval_data) > 0;
    json_t *retrieval = NULL;
    tc_zeroshot_result z = {0};
    tc_retrieval_result r = {0};
    tc_status status = TC_OK;
    if (labelled)
        status = tc_eval_zeroshot(m, o->eval_data, o->tokenizer, &o->preprocess, o->eval_limit, o->log,
                                  o->log_user, &z, err);
    else if (o->eval_data)
        status = tc_eval_retrieval(m, o->eval_data, o->tokenizer, &o->preprocess, o->eval_limit, o->log,
                                   o->log_user, &r, err);
    if (status != TC_OK) return status;
    if (labelled) tc_log_line(&c->log, 1, "zero-shot top-1 %.2f %%", 100 * z.top1);
    else if (o->eval_data)
        tc_log_line(&c->log, 1, "retrieval: R@1 %.2f %% from image to text, %.2f %% from text to image",
                    100 * r.image_to_text.r1, 100 * r.text_to_image.r1);
    if (o->eval_data && !labelled)
        retrieval =
            json_pack("{s:I, s:o, s:o}", "pairs", (json_int_t)r.pairs, "image_to_text",
                      direction_json(&r.image_to_text), "text_to_image", direction_json(&r.text_to_image));
    json_object_set_new(into, "top1", labelled ? real(z.top1) : json_null());
    json_object_set_new(into, "top5", labelled ? real(z.top5) : json_null());
    json_object_set_new(into, "images", json_integer((json_int_t)z.images));
    if (z.confusion) json_object_set_new(into, "classes", classes_json(o->eval_data, &z));
    json_object_set_new(into, "retrieval", retrieval ? retrieval : json_null());
    tc_zeroshot_result_free(&z);
    return TC_OK;
}

tc_status tc_record_model(tc_compression *c, const tc_model *m, const char *path, json_t *into,
                          tc_error *err) {
    const tc_model_info *i = &m->info;
    uint64_t hash;
    tc_status status = tc_model_hash(m, &hash, err);
    if (status == TC_OK) status = add_accuracy(c, m, into, err);
    if (status != TC_OK) return status;
    json_object_set_new(into, "path", text_or_null(path));
    json_object_set_new(into, "weights_hash", tc_record_hash(hash));
    json_object_set_new(into, "params", json_integer((json_int_t)i->params));
    json_object_set_new(into, "params_without_tokens", json_integer((json_int_t)i->params_without_tokens));
    json_object_set_new(into, "params_prunable", json_integer((json_int_t)i->params_prunable));
    json_object_set_new(into, "macs_image", real(i->macs_image));
    json_object_set_new(into, "macs_text", real(i->macs_text));
    json_object_set_new(into, "embed_dim", json_integer(i->embed_dim));
    json_object_set_new(into, "vision", tc_tower_json(&m->config.vision));
    json_object_set_new(into, "text", tc_tower_json(&m->config.text));
    tc_record_speed(into, NULL);
    return TC_OK;
}

void tc_record_speed(json_t *into, const tc_speed *speed) {
    json_object_set_new(into, "images_per_second", real(speed ? speed->images_per_second : NAN));
    json_object_set_new(into, "texts_per_second", real(speed ? speed->texts_per_second : NAN));
}
