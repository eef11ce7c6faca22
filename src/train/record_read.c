/* record_read.c - compress.json as the structures of record.h. */
#include "net/tower.h"
#include "store/json_reader.h"
#include "train/record.h"

#include <stdlib.h>
#include <string.h>

static const size_t FILE_LIMIT = (size_t)16 << 20;
static const double MOST = 1e15; /* of any count */

static const char *text_of(const tc_json_object *o, const char *key, bool needed) {
    return tc_json_text(o, key, 0, SIZE_MAX, needed);
}

static int64_t count_of(const tc_json_object *o, const char *key, int64_t least, int64_t absent) {
    return tc_json_whole(o, key, tc_range_of((double)least, INFINITY), absent);
}

/* NAN if it is not there. */
static double real_of(const tc_json_object *o, const char *key, double most) {
    return tc_json_real(o, key, tc_range_of(0, most), NAN);
}

static void *room_for(const tc_json_object *o, size_t n, size_t size) {
    tc_json_reader *r = o->reader;
    void *room = r->status == TC_OK ? tc_new(n, size) : NULL;
    if (!room && r->status == TC_OK) r->status = tc_fail_memory(r->err, n * size);
    return room;
}

/* ---- a tower */

enum { STAGES_OF_CONVOLUTIONS = 4, MOST_CHANNELS = 1 << 24 };

/* n numbers from `least` on, which must be there. */
static int *counts_of(const tc_json_object *o, const char *key, int n, int least) {
    int *out = room_for(o, (size_t)n, sizeof *out);
    if (!out) return NULL;
    if (!tc_json_has(o, key)) tc_json_wrong(o, key, "%s", o->reader->dialect->missing);
    tc_json_wholes(o, key, tc_range_of(least, MOST_CHANNELS), n,
                   "has not as many numbers as the tower has layers", out);
    return out;
}

static void read_layers(tc_tower_record *t, const tc_json_object *o) {
    t->rows = t->layers;
    t->part[0] = "heads";
    t->part[1] = "FFN channels";
    t->count[0] = counts_of(o, "heads", t->layers, 0);
    t->count[1] = counts_of(o, "ffn", t->layers, -1);
}

/* Two numbers a row, one behind the other. */
static void read_convolutions(tc_tower_record *t, const tc_json_object *o) {
    t->stem = true;
    t->rows = t->layers + 1;
    t->part[0] = "channels of conv 1";
    t->part[1] = "channels of conv 2";
    int *both = counts_of(o, "channels", TC_RECORD_PARTS * t->rows, 0);
    for (int p = 0; p < TC_RECORD_PARTS && both; p++) {
        t->count[p] = room_for(o, (size_t)t->rows, sizeof **t->count);
        for (int i = 0; i < t->rows && t->count[p]; i++) t->count[p][i] = both[TC_RECORD_PARTS * i + p];
    }
    free(both);
    int64_t all = 0;
    if (!tc_json_wholes(o, "stages", tc_range_of(1, TC_RECORD_LAYERS), STAGES_OF_CONVOLUTIONS,
                        "are not four numbers", t->stages))
        return;
    for (int i = 0; i < STAGES_OF_CONVOLUTIONS; i++) all += t->stages[i];
    if (all != t->layers) tc_json_wrong(o, "stages", "are not as many blocks as layers");
}

static void read_tower(tc_tower_record *t, const tc_json_object *model, const char *key) {
    tc_json_object o = tc_json_inner(model, key, false);
    if (!o.json) return;
    const char *kind = text_of(&o, "kind", true);
    t->given = true;
    t->width = (int)tc_json_whole(&o, "width", tc_range_of(1, MOST_CHANNELS), TC_JSON_NEEDED);
    t->layers = (int)tc_json_whole(&o, "layers", tc_range_of(1, TC_RECORD_LAYERS), TC_JSON_NEEDED);
    const tc_tower_family *f = kind ? tc_tower_family_at(0) : NULL;
    for (int i = 1; f && strcmp(f->kind, kind) != 0; i++) f = tc_tower_family_at(i);
    if (f) t->kind = f->name;
    else tc_json_wrong(&o, "kind", "is no kind of tower");
    if (f && f->record_list && !tc_json_has(&o, f->record_list))
        tc_json_wrong(&o, f->record_list, "is missing");
    if (tc_json_has(&o, "channels")) read_convolutions(t, &o);
    else if (tc_json_has(&o, "heads")) read_layers(t, &o);
}

/* ---- a model */

static void read_class(tc_class_record *c, const tc_json_object *o, int classes) {
    c->name = text_of(o, "name", false);
    c->images = count_of(o, "images", 0, TC_JSON_NEEDED);
    c->right = tc_json_whole(o, "right", tc_range_of(0, (double)c->images), TC_JSON_NEEDED);
    const json_t *list = tc_json_list(o, "taken_for", false);
    for (size_t k = 0; k < TC_RECORD_CONFUSIONS; k++) {
        c->taken[k].class = -1;
        if (k >= json_array_size(list)) continue;
        tc_json_object taken = tc_json_entry(o, "taken_for", k);
        c->taken[k].class = (int)tc_json_whole(&taken, "class", tc_range_of(0, classes - 1), TC_JSON_NEEDED);
        c->taken[k].images =
            tc_json_whole(&taken, "images", tc_range_of(0, (double)c->images), TC_JSON_NEEDED);
    }
}

static void read_classes(tc_model_record *m, const tc_json_object *o) {
    size_t n = json_array_size(tc_json_list(o, "classes", false));
    if (n > TC_RECORD_CLASSES) tc_json_wrong(o, "classes", "are more than %d", TC_RECORD_CLASSES);
    m->classes = n ? room_for(o, n, sizeof *m->classes) : NULL;
    if (!m->classes) return;
    m->class_count = (int)n;
    for (size_t i = 0; i < n; i++) {
        tc_json_object c = tc_json_entry(o, "classes", i);
        read_class(&m->classes[i], &c, (int)n);
    }
}

static void read_direction(tc_retrieval_direction *d, const tc_json_object *retrieval, const char *key) {
    tc_json_object o = tc_json_inner(retrieval, key, true);
    d->r1 = real_of(&o, "r1", 1);
    d->r5 = real_of(&o, "r5", 1);
    d->r10 = real_of(&o, "r10", 1);
    d->mean_rank = real_of(&o, "mean_rank", MOST);
    d->median_rank = real_of(&o, "median_rank", MOST);
}

static void read_retrieval(tc_model_record *m, const tc_json_object *o) {
    tc_json_object retrieval = tc_json_inner(o, "retrieval", false);
    m->pairs = -1;
    m->image_to_text.r1 = m->text_to_image.r1 = NAN;
    if (!retrieval.json) return;
    m->pairs = count_of(&retrieval, "pairs", 1, TC_JSON_NEEDED);
    read_direction(&m->image_to_text, &retrieval, "image_to_text");
    read_direction(&m->text_to_image, &retrieval, "text_to_image");
}

/* `needed`: the sizes must be there. */
static void read_model(tc_model_record *m, const tc_json_object *o, bool needed) {
    m->given = tc_json_has(o, "params");
    m->path = text_of(o, "path", false);
    m->hash = text_of(o, "weights_hash", false);
    m->params = count_of(o, "params", 1, needed ? TC_JSON_NEEDED : -1);
    m->params_without_tokens = count_of(o, "params_without_tokens", 1, m->given ? TC_JSON_NEEDED : -1);
    m->macs_image = real_of(o, "macs_image", 1e30);
    m->macs_text = real_of(o, "macs_text", 1e30);
    read_tower(&m->vision, o, "vision");
    read_tower(&m->text, o, "text");
    m->top1 = real_of(o, "top1", 1);
    m->top5 = real_of(o, "top5", 1);
    m->images = count_of(o, "images", 0, -1);
    m->images_per_second = real_of(o, "images_per_second", MOST);
    m->texts_per_second = real_of(o, "texts_per_second", MOST);
    read_classes(m, o);
    read_retrieval(m, o);
}

static void free_model(tc_model_record *m) {
    for (int p = 0; p < TC_RECORD_PARTS; p++) {
        free(m->vision.count[p]);
        free(m->text.count[p]);
    }
    free(m->classes);
}

/* ---- a compression */

static void read_stage(tc_stage_record *s, const tc_json_object *o, const char *dir) {
    tc_json_reader *r = o->reader;
    s->name = text_of(o, "name", true);
    s->inheritance = text_of(o, "inheritance", true);
    s->teacher_loss = text_of(o, "teacher_loss", false);
    s->folder = text_of(o, "folder", true);
    s->steps = count_of(o, "steps", 1, TC_JSON_NEEDED);
    s->seconds = real_of(o, "seconds", MOST);
    s->done = tc_json_flag(o, "done", false, true);
    if (s->folder && (!*s->folder || *s->folder == '.' || strchr(s->folder, '/')))
        tc_json_wrong(o, "folder", "is not the name of a folder");
    read_model(&s->model, o, s->done);
    if (r->status == TC_OK && !(s->dir = tc_path_join(dir, s->folder))) r->status = tc_fail_memory(r->err, 1);
}

static void read_stages(tc_compress_record *c, const tc_json_object *root) {
    size_t n = json_array_size(tc_json_list(root, "stages", true));
    if (n < 1 || n > TC_RECORD_STAGES) tc_json_wrong(root, "stages", "has none, or too many");
    bool all = true;
    int64_t before = 0;
    for (size_t i = 0; i < n && root->reader->status == TC_OK; i++) {
        tc_stage_record *s = &c->stages[c->stage_count++];
        s->log = tc_run_log_empty();
        tc_json_object o = tc_json_entry(root, "stages", i);
        read_stage(s, &o, c->dir);
        if (s->done && !all) tc_json_wrong(&o, "done", "is true, but not of the stage before");
        all = all && s->done;
        s->before = before;
        before += s->steps;
    }
    if (c->finished && !all) tc_json_wrong(root, "finished", "is true, but not every stage is done");
}

static void read_data(tc_data_record *d, const tc_json_object *root, const char *key) {
    tc_json_object o = tc_json_inner(root, key, false);
    if (!o.json) return;
    d->given = true;
    d->spec = text_of(&o, "spec", true);
    d->split = text_of(&o, "split", false);
    d->hash = text_of(&o, "hash", false);
    d->samples = count_of(&o, "samples", 0, -1);
    d->templates = count_of(&o, "templates", 0, -1);
    d->template = text_of(&o, "template", false);
}

static void read_origin(tc_compress_record *c, const tc_json_object *root) {
    c->version = text_of(root, "version", true);
    c->recipe_name = text_of(root, "recipe_name", false);
    c->seed = count_of(root, "seed", 0, -1);
    c->recipe = tc_json_inner(root, "recipe", false).json;
    c->command = tc_json_list(root, "command", false);
    for (size_t i = 0; i < json_array_size(c->command); i++) {
        const json_t *word = json_array_get(c->command, i);
        if (!json_is_string(word) && !json_is_null(word))
            tc_json_wrong(root, "command", "holds something that is no text");
    }
    tc_json_object machine = tc_json_inner(root, "machine", false);
    c->cpu = text_of(&machine, "cpu", false);
    c->threads = count_of(&machine, "threads", 1, -1);
    read_data(&c->data, root, "data");
    read_data(&c->eval, root, "eval_data");
}

/* The last part of a path, which may be "." or end in "/". */
static char *folder_name(const char *dir) {
    char *real = realpath(dir, NULL);
    const char *last = real ? strrchr(real, '/') : NULL;
    char *name = tc_strdup(last && last[1] ? last + 1 : dir);
    free(real);
    return name;
}

tc_status tc_compress_record_parse(tc_compress_record *c, const char *dir, const char *file, const char *text,
                                   size_t size, tc_error *err) {
    *c = (tc_compress_record){.dir = tc_strdup(dir), .name = folder_name(dir)};
    if (!c->dir || !c->name) return tc_fail_memory(err, strlen(dir));
    tc_status status = tc_json_parse(&c->json, text, size, file, err);
    if (status != TC_OK) return status;
    tc_json_reader r = {.name = file, .dialect = &tc_json_record, .err = err};
    tc_json_object root = tc_json_root(&r, c->json);
    read_origin(c, &root);
    tc_json_object teacher = tc_json_inner(&root, "teacher", true);
    c->finished = tc_json_flag(&root, "finished", false, true);
    c->speeds_in_turn = tc_json_flag(&root, "speeds_in_turn", false, false);
    read_model(&c->teacher, &teacher, c->finished);
    read_stages(c, &root);
    return r.status;
}

static tc_status read_logs(tc_compress_record *c, tc_error *err) {
    tc_status status = TC_OK;
    for (int i = 0; i < c->stage_count && status == TC_OK; i++) {
        char *log = tc_path_join(c->stages[i].dir, "log.jsonl");
        if (!log) return tc_fail_memory(err, 1);
        if (tc_path_exists(log)) status = tc_run_log_read(&c->stages[i].log, log, err);
        free(log);
    }
    return status;
}

tc_status tc_compress_record_read(tc_compress_record *c, const char *dir, tc_error *err) {
    char *file = tc_path_join(dir, "compress.json"), *text = NULL;
    size_t size;
    *c = (tc_compress_record){0};
    tc_status status = file ? tc_file_read(file, FILE_LIMIT, &text, &size, err) : tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_compress_record_parse(c, dir, file, text, size, err);
    if (status == TC_OK) status = read_logs(c, err);
    free(text);
    free(file);
    return status;
}

void tc_compress_record_free(tc_compress_record *c) {
    for (int i = 0; i < c->stage_count; i++) {
        free_model(&c->stages[i].model);
        tc_run_log_free(&c->stages[i].log);
        free(c->stages[i].dir);
    }
    free_model(&c->teacher);
    json_decref(c->json);
    free(c->dir);
    free(c->name);
    *c = (tc_compress_record){0};
}
