/* recipe.c - reads recipes. They come from outside: every key and every value is checked before anything is
 * done with it, and tables say what a key may be, so that reading, the message of what is wrong, and writing
 * cannot disagree. */
#include "train/recipe.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RECIPE_LIMIT = 1 << 20, NAME_LIMIT = 100, TEXT_LIMIT = 10000, MOST_AUGMENTATIONS = 65536 };
static const double PUBLISHED_WARMUP = 1000; /* steps over which the target grows */

typedef struct reader {
    const char *path; /* of the file */
    tc_error *err;
    tc_status status;
} reader;

/* "FILE: WHERE: what is wrong", if nothing was wrong before; WHERE may be empty. */
static void __attribute__((format(printf, 3, 4)))
refuse(reader *r, const char *where, const char *format, ...) {
    char what[800];
    va_list args;
    if (r->status != TC_OK) return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    r->status = tc_fail(r->err, TC_EFORMAT, "%s: %s%s%s", r->path, where, *where ? ": " : "", what);
}

typedef struct place {
    char text[160];
} place;

/* "WHERE.KEY"; a key from the file is cut and loses its control characters. */
static place inside(const char *where, const char *key) {
    place p;
    int n = snprintf(p.text, sizeof p.text, "%s%s", where, *where ? "." : "");
    snprintf(p.text + n, sizeof p.text - (size_t)n, "%.60s", key);
    for (char *c = p.text + n; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f) *c = ' ';
    return p;
}

/* ---- numbers and flags, by tables */

typedef enum kind { WHOLE, REAL, FLAG } kind;

typedef struct field {
    const char *key;
    kind kind;
    size_t at; /* int64_t, double or bool */
    double least, most;
    bool above, below; /* the ends of the range do not belong to it */
    double absent;     /* the value that stands for a key that is not there */
} field;

#define AT(name) offsetof(tc_stage_train, name)
static const field train_fields[] = {
    {"batch", WHOLE, AT(batch), 1, 1 << 20, false, false, 256},
    {"lr", REAL, AT(lr), 0, 1000, false, false, 1e-4},
    {"warmup_steps", REAL, AT(warmup_steps), 0, 1e12, false, false, -1},
    {"weight_decay", REAL, AT(weight_decay), 0, 1000, false, false, 0.2},
    {"beta1", REAL, AT(beta1), 0, 1, false, true, 0.9},
    {"beta2", REAL, AT(beta2), 0, 1, false, true, -1},
    {"eps", REAL, AT(eps), 0, 1, true, false, 0},
    {"clip", REAL, AT(clip), 0, 1e12, false, false, 5},
    {"alpha", REAL, AT(alpha), 0, 1, false, false, 1},
    {"logit_scale", REAL, AT(logit_scale), 0, 1e4, false, false, 50},
    {"crop_scale_min", REAL, AT(crop_scale_min), 0, 1, true, false, 1},
    {"flip", FLAG, AT(flip), 0, 0, false, false, 0},
    {"checkpoint_every", WHOLE, AT(checkpoint_every), 0, 1e12, false, false, 0}};
#undef AT
#define AT(name) offsetof(tc_stage, name)
static const field goal_fields[] = {{"keep", REAL, AT(keep), 0, 1, true, false, 0},
                                    {"params", WHOLE, AT(params), 1, 1e15, false, false, 0},
                                    {"macs", REAL, AT(macs), 0, 1e18, true, false, 0}};
static const field mask_fields[] = {{"fold_step", WHOLE, AT(fold_step), 1, 1e12, false, false, 0},
                                    {"target_warmup", REAL, AT(target_warmup), 0, 1e12, false, false, -1},
                                    {"mask_lr", REAL, AT(mask_lr), 0, 1000, true, false, 0.02}};
static const field length_fields[] = {{"steps", WHOLE, AT(steps), 1, 1e12, false, false, 0},
                                      {"epochs", REAL, AT(epochs), 0, 1e9, true, false, 0}};
#undef AT
enum { TRAIN_FIELDS = sizeof train_fields / sizeof *train_fields };

static void set_field(void *values, const field *f, double x) {
    void *at = (char *)values + f->at;
    if (f->kind == WHOLE) *(int64_t *)at = (int64_t)x;
    else if (f->kind == REAL) *(double *)at = x;
    else *(bool *)at = x != 0;
}

static double get_field(const void *values, const field *f) {
    const void *at = (const char *)values + f->at;
    return f->kind == WHOLE  ? (double)*(const int64_t *)at
           : f->kind == REAL ? *(const double *)at
                             : *(const bool *)at;
}

static bool in_range(const field *f, double x) {
    return (f->above ? x > f->least : x >= f->least) && (f->below ? x < f->most : x <= f->most);
}

static void refuse_range(reader *r, const char *where, const field *f) {
    refuse(r, where, "must be a %snumber %s %.15g to %s%.15g", f->kind == WHOLE ? "whole " : "",
           f->above ? "above" : "from", f->least, f->below ? "below " : "", f->most);
}

/* The value of a key into its field; of one that is not there nothing is changed. */
static void read_field(reader *r, const json_t *object, const char *where, const field *f, void *values) {
    const json_t *v = json_object_get(object, f->key);
    if (!v || r->status != TC_OK) return;
    place p = inside(where, f->key);
    bool fits = f->kind == WHOLE  ? json_is_integer(v)
                : f->kind == REAL ? json_is_number(v)
                                  : json_is_boolean(v);
    double x = f->kind == FLAG ? json_is_true(v) : fits ? json_number_value(v) : 0;
    if (f->kind == FLAG && !fits) refuse(r, p.text, "must be true or false");
    else if (f->kind != FLAG && (!fits || !in_range(f, x))) refuse_range(r, p.text, f);
    else set_field(values, f, x);
}

static void read_fields(reader *r, const json_t *object, const char *where, const field *fields, size_t n,
                        void *values) {
    for (size_t i = 0; i < n; i++) read_field(r, object, where, &fields[i], values);
}

static void set_absent(const field *fields, size_t n, void *values) {
    for (size_t i = 0; i < n; i++) set_field(values, &fields[i], fields[i].absent);
}

/* ---- keys and texts */

static const char *const top_keys[] = {"name",   "description", "source", "train", "cache_augmentations",
                                       "stages", NULL},
                         *const auto_keys[] = {"name",  "inheritance", "keep",          "params",
                                               "macs",  "fold_step",   "target_warmup", "mask_lr",
                                               "steps", "epochs",      "train",         NULL},
                         *const manual_keys[] = {"name",   "inheritance", "student", "steps",
                                                 "epochs", "train",       NULL};

static bool is_among(const char *key, const char *const *known) {
    while (*known)
        if (strcmp(*known++, key) == 0) return true;
    return false;
}

/* `stage`: "" or " in a manual stage". */
static void check_keys(reader *r, json_t *object, const char *where, const char *const *known,
                       const char *stage) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (r->status != TC_OK || is_among(key, known)) continue;
        tc_buf list = {0};
        for (size_t i = 0; known[i]; i++) tc_buf_printf(&list, "%s%s", i ? ", " : "", known[i]);
        refuse(r, inside(where, key).text, "there is no such key%s; known are %s", stage,
               list.data ? list.data : "few");
        tc_buf_free(&list);
    }
}

static void check_train_keys(reader *r, json_t *object, const char *where) {
    const char *known[TRAIN_FIELDS + 1] = {0};
    for (int i = 0; i < TRAIN_FIELDS; i++) known[i] = train_fields[i].key;
    check_keys(r, object, where, known, "");
}

/* A text of the file, copied; NULL if it is not there and need not be. */
static char *read_text(reader *r, const json_t *object, const char *where, const char *key, bool needed) {
    const json_t *v = json_object_get(object, key);
    place p = inside(where, key);
    if (r->status != TC_OK) return NULL;
    if (!v && !needed) return NULL;
    size_t most = needed ? NAME_LIMIT : TEXT_LIMIT, n = json_string_length(v);
    if (!v) refuse(r, p.text, "it is missing");
    else if (!json_is_string(v)) refuse(r, p.text, "must be a text");
    else if ((needed && n < 1) || n > most)
        refuse(r, p.text, "must be a text of %d to %zu bytes", needed, most);
    if (r->status != TC_OK) return NULL;
    char *copy = tc_strdup(json_string_value(v));
    if (!copy) r->status = tc_fail_memory(r->err, n);
    return copy;
}

/* ---- a stage */

static void read_train(reader *r, const json_t *object, const char *where, tc_stage_train *t) {
    json_t *v = json_object_get(object, "train");
    place p = inside(where, "train");
    if (!v) return;
    if (!json_is_object(v)) refuse(r, p.text, "must be an object");
    else check_train_keys(r, v, p.text);
    read_fields(r, v, p.text, train_fields, TRAIN_FIELDS, t);
}

static void read_length(reader *r, const json_t *object, const char *where, tc_stage *s) {
    if (!json_object_get(object, "steps") == !json_object_get(object, "epochs"))
        refuse(r, where, "give one of steps and epochs");
    read_fields(r, object, where, length_fields, 2, s);
}

static void read_automatic(reader *r, const json_t *object, const char *where, tc_stage *s) {
    int goals = 0;
    for (int i = 0; i < 3; i++) goals += json_object_get(object, goal_fields[i].key) != NULL;
    if (goals != 1) refuse(r, where, "give one of keep, params and macs");
    set_absent(mask_fields, 3, s);
    read_fields(r, object, where, goal_fields, 3, s);
    if (!json_object_get(object, "fold_step")) refuse(r, inside(where, "fold_step").text, "it is missing");
    read_fields(r, object, where, mask_fields, 3, s);
    if (r->status != TC_OK) return;
    if (s->target_warmup < 0) s->target_warmup = fmin(PUBLISHED_WARMUP, floor((double)s->fold_step / 3));
    if (s->target_warmup > (double)s->fold_step)
        refuse(r, inside(where, "target_warmup").text, "%.15g steps are more than the %lld before the fold",
               s->target_warmup, (long long)s->fold_step);
    if (s->steps && s->fold_step >= s->steps)
        refuse(r, inside(where, "fold_step").text, "%lld is not before the end of the stage's %lld steps",
               (long long)s->fold_step, (long long)s->steps);
}

/* The configuration parser names the file first; here the key stands between that and what it found. */
static void read_student(reader *r, const json_t *object, const char *where, tc_stage *s) {
    json_t *v = json_object_get(object, "student"), *builtin = NULL;
    place p = inside(where, "student");
    char name[4096];
    size_t size;
    if (r->status != TC_OK) return;
    if (!v) {
        refuse(r, p.text, "it is missing");
        return;
    }
    snprintf(name, sizeof name, "%.3900s: %s", r->path, p.text);
    const char *text = json_is_string(v) ? tc_config_builtin(json_string_value(v), -1, NULL, &size) : NULL;
    if (json_is_object(v)) r->status = tc_config_parse(&s->config, v, name, r->err);
    else if (!json_is_string(v))
        refuse(r, p.text, "must be the name of a built-in configuration, or a configuration");
    else if (!text)
        refuse(r, p.text, "there is no built-in configuration \"%s\"; `tinyclip info` lists them",
               inside("", json_string_value(v)).text);
    else r->status = tc_json_parse(&builtin, text, size, json_string_value(v), r->err);
    if (builtin) r->status = tc_config_parse(&s->config, builtin, json_string_value(v), r->err);
    json_decref(builtin);
    if (r->status == TC_EUNSUPPORTED) r->status = TC_EFORMAT;
    if (r->status == TC_OK) s->student = json_incref(v);
}

static void read_stage(reader *r, tc_recipe *out, json_t *v, const tc_stage_train *defaults) {
    tc_stage *s = &out->stages[out->count];
    char where[32];
    snprintf(where, sizeof where, "stages[%d]", out->count++);
    s->train = *defaults;
    if (!json_is_object(v)) {
        refuse(r, where, "must be an object");
        return;
    }
    const json_t *how = json_object_get(v, "inheritance");
    const char *word = how && json_is_string(how) ? json_string_value(how) : "";
    s->automatic = strcmp(word, "auto") == 0;
    if (!how) refuse(r, inside(where, "inheritance").text, "it is missing");
    else if (!s->automatic && strcmp(word, "manual") != 0)
        refuse(r, inside(where, "inheritance").text, "must be \"auto\" or \"manual\"");
    check_keys(r, v, where, s->automatic ? auto_keys : manual_keys,
               s->automatic ? " in an automatic stage" : " in a manual stage");
    s->name = read_text(r, v, where, "name", true);
    read_length(r, v, where, s);
    if (s->automatic) read_automatic(r, v, where, s);
    else read_student(r, v, where, s);
    read_train(r, v, where, &s->train);
}

/* ---- what stages say of each other */

/* A goal of one kind must not be above one of the same kind before; goals of different kinds are compared
 * when the models are known. */
static void check_goal(reader *r, const tc_recipe *recipe, int index) {
    const tc_stage *s = &recipe->stages[index];
    for (int i = 0; i < 3; i++) {
        double goal = get_field(s, &goal_fields[i]), least = INFINITY;
        for (int k = 0; k < index; k++) {
            double before = get_field(&recipe->stages[k], &goal_fields[i]);
            if (before > 0) least = fmin(least, before);
        }
        char where[48];
        snprintf(where, sizeof where, "stages[%d].%s", index, goal_fields[i].key);
        if (goal > least)
            refuse(r, where, "%.15g is more than the %.15g of a stage before; stages must not grow", goal,
                   least);
    }
}

static void check_student(reader *r, const tc_recipe *recipe, int index) {
    int before = index - 1;
    while (before >= 0 && recipe->stages[before].automatic) before--;
    tc_error why = {0};
    char where[32];
    if (before < 0 || r->status != TC_OK) return;
    snprintf(where, sizeof where, "stages[%d].student", index);
    tc_status status = tc_inherit_check(&recipe->stages[before].config, &recipe->stages[index].config, &why);
    if (status == TC_EARG) refuse(r, where, "%s; stages must not grow", why.message);
    else if (status != TC_OK) r->status = tc_fail(r->err, status, "%s", why.message);
}

static void check_cache(reader *r, const tc_recipe *recipe, int index) {
    static const char why[] = "with a teacher cache every stage must have the same, since it holds the "
                              "teacher's view of these pictures";
    const tc_stage_train *a = &recipe->stages[0].train, *b = &recipe->stages[index].train;
    char where[64];
    if (!recipe->cache_augmentations || (a->flip == b->flip && a->crop_scale_min == b->crop_scale_min))
        return;
    snprintf(where, sizeof where, "stages[%d].train.%s", index,
             a->flip != b->flip ? "flip" : "crop_scale_min");
    refuse(r, where, "%s", why);
}

static void check_name(reader *r, const tc_recipe *recipe, int index) {
    char where[32];
    snprintf(where, sizeof where, "stages[%d].name", index);
    for (int k = 0; k < index; k++)
        if (strcmp(recipe->stages[k].name, recipe->stages[index].name) == 0)
            refuse(r, where, "\"%s\" is the name of stages[%d] too", inside("", recipe->stages[k].name).text,
                   k);
}

static void check_stages(reader *r, const tc_recipe *recipe) {
    for (int i = 0; i < recipe->count && r->status == TC_OK; i++) {
        check_name(r, recipe, i);
        if (recipe->stages[i].automatic) check_goal(r, recipe, i);
        else check_student(r, recipe, i);
        check_cache(r, recipe, i);
    }
}

/* ---- the whole */

static void read_recipe(reader *r, tc_recipe *out, json_t *json) {
    static const field cache = {"cache_augmentations", WHOLE, 0, 0, MOST_AUGMENTATIONS, false, false, 0};
    tc_stage_train defaults;
    int64_t augmentations = 0;
    if (!json_is_object(json)) {
        refuse(r, "", "must be an object");
        return;
    }
    check_keys(r, json, "", top_keys, "");
    out->name = read_text(r, json, "", "name", true);
    out->description = read_text(r, json, "", "description", false);
    out->source = read_text(r, json, "", "source", false);
    set_absent(train_fields, TRAIN_FIELDS, &defaults);
    read_train(r, json, "", &defaults);
    read_field(r, json, "", &cache, &augmentations);
    out->cache_augmentations = (int)augmentations;
    const json_t *stages = json_object_get(json, "stages");
    size_t n = json_array_size(stages), i;
    json_t *v;
    if (!stages) refuse(r, "stages", "it is missing");
    else if (n < 1 || n > TC_MAX_STAGES)
        refuse(r, "stages", "must be a list of 1 to %d stages", TC_MAX_STAGES);
    if (r->status != TC_OK) return;
    json_array_foreach(stages, i, v) if (r->status == TC_OK) read_stage(r, out, v, &defaults);
    check_stages(r, out);
}

tc_status tc_recipe_parse(tc_recipe **out, const json_t *json, const char *path, tc_error *err) {
    tc_recipe *recipe = tc_new(1, sizeof *recipe);
    reader r = {path, err, TC_OK};
    *out = NULL;
    if (!recipe || !(recipe->path = tc_strdup(path))) {
        free(recipe);
        return tc_fail_memory(err, sizeof *recipe);
    }
    read_recipe(&r, recipe, (json_t *)json);
    if (r.status == TC_OK) *out = recipe;
    else tc_recipe_free(&recipe);
    return r.status;
}

tc_status tc_recipe_open(tc_recipe **out, const char *path, tc_error *err) {
    json_t *json = NULL;
    *out = NULL;
    tc_status status = tc_json_load(&json, path, RECIPE_LIMIT, err);
    if (status == TC_OK) status = tc_recipe_parse(out, json, path, err);
    json_decref(json);
    return status;
}

void tc_recipe_free(tc_recipe **out) {
    tc_recipe *r = *out;
    if (!r) return;
    for (int i = 0; i < r->count; i++) {
        free(r->stages[i].name);
        json_decref(r->stages[i].student);
    }
    free(r->path);
    free(r->name);
    free(r->description);
    free(r->source);
    free(r);
    *out = NULL;
}

tc_status tc_recipe_set_goal(tc_recipe *recipe, double keep, int64_t params, double macs, tc_error *err) {
    reader r = {recipe->path, err, TC_OK};
    int last = recipe->count - 1;
    tc_stage *s = &recipe->stages[last], before = *s;
    const double goals[3] = {keep, (double)params, macs};
    char where[48];
    snprintf(where, sizeof where, "stages[%d]", last);
    if (!s->automatic)
        refuse(&r, where,
               "a goal can be set for an automatic stage only, and the last one, \"%s\", is manual",
               inside("", s->name).text);
    for (int i = 0; i < 3 && s->automatic; i++) {
        if (goals[i] != 0 && !in_range(&goal_fields[i], goals[i]))
            refuse_range(&r, inside(where, goal_fields[i].key).text, &goal_fields[i]);
        set_field(s, &goal_fields[i], goals[i]);
    }
    check_goal(&r, recipe, last);
    if (r.status == TC_OK) return TC_OK;
    *s = before;
    if (err) err->status = TC_EARG;
    return r.status == TC_EFORMAT ? TC_EARG : r.status;
}

void tc_recipe_resolve(tc_recipe *r, tc_image_tower tower) {
    for (int i = 0; i < r->count; i++) {
        tc_stage_train *t = &r->stages[i].train;
        if (t->beta2 < 0) t->beta2 = tower == TC_IMAGE_RESNET ? 0.999 : 0.98;
        if (t->eps == 0) t->eps = tower == TC_IMAGE_RESNET ? 1e-8 : 1e-6;
    }
}

/* ---- writing */

static void write_fields(json_t *object, const field *fields, size_t n, const void *values) {
    for (size_t i = 0; i < n; i++) {
        double x = get_field(values, &fields[i]);
        if (fields[i].kind == FLAG) json_object_set_new(object, fields[i].key, json_boolean(x != 0));
        else if (in_range(&fields[i], x))
            json_object_set_new(object, fields[i].key,
                                fields[i].kind == WHOLE ? json_integer((json_int_t)x) : json_real(x));
    }
}

static json_t *stage_json(const tc_stage *s) {
    json_t *v = json_pack("{s:s, s:s}", "name", s->name, "inheritance", s->automatic ? "auto" : "manual"),
           *train = json_object();
    if (s->automatic) {
        write_fields(v, goal_fields, 3, s);
        write_fields(v, mask_fields, 3, s);
    } else {
        json_object_set(v, "student", s->student);
    }
    write_fields(v, length_fields, 2, s);
    write_fields(train, train_fields, TRAIN_FIELDS, &s->train);
    json_object_set_new(v, "train", train);
    return v;
}

json_t *tc_recipe_json(const tc_recipe *r) {
    json_t *json = json_pack("{s:s}", "name", r->name), *stages = json_array();
    if (r->description) json_object_set_new(json, "description", json_string(r->description));
    if (r->source) json_object_set_new(json, "source", json_string(r->source));
    json_object_set_new(json, "cache_augmentations", json_integer(r->cache_augmentations));
    for (int i = 0; i < r->count; i++) json_array_append_new(stages, stage_json(&r->stages[i]));
    json_object_set_new(json, "stages", stages);
    return json;
}
