/* recipe.c - reads recipes. They come from outside: every key and every value is checked before anything is
 * done with it. Which keys there are for numbers and flags, and what they may be, is said by the settings, so
 * that reading, the message of what is wrong, and writing cannot disagree. */
#include "train/recipe.h"
#include "train/settings.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum { RECIPE_LIMIT = 1 << 20, NAME_LIMIT = 100, TEXT_LIMIT = 10000, MOST_KEYS = 40 };
static const double PUBLISHED_WARMUP = 1000; /* steps over which the target grows */
static const char *const goals[] = {"keep", "params", "macs"};
enum { GOALS = sizeof goals / sizeof *goals };

/* ---- settings, by the object that their keys stand in */

enum { IN_TRAIN = 0, IN_STAGE = TC_SETTING_IN_STAGE, IN_RECIPE = TC_SETTING_IN_RECIPE };

/* The next one from *i on; NULL if there is none. */
static const tc_setting *next(tc_setting_list list, unsigned place, size_t *i) {
    const tc_setting *s;
    while ((s = list((*i)++)))
        if (s->key && (s->flags & (IN_STAGE | IN_RECIPE)) == place) return s;
    return NULL;
}

static void take_all(const tc_json_object *from, tc_setting_list list, unsigned place, void *options) {
    const tc_setting *s;
    for (size_t i = 0; (s = next(list, place, &i));) tc_setting_take(s, from, options);
}

static void give_all(json_t *into, tc_setting_list list, unsigned place, const void *options) {
    const tc_setting *s;
    for (size_t i = 0; (s = next(list, place, &i));) tc_setting_give(s, options, into);
}

/* ---- keys and texts */

typedef struct key_list {
    const char *key[MOST_KEYS + 1]; /* ends with NULL */
    size_t count;
} key_list;

static void add_key(key_list *l, const char *key) {
    if (l->count < MOST_KEYS) l->key[l->count++] = key;
}

static void add_keys(key_list *l, tc_setting_list list, unsigned place) {
    const tc_setting *s;
    for (size_t i = 0; (s = next(list, place, &i));) add_key(l, s->key);
}

static void check_recipe_keys(const tc_json_object *recipe) {
    key_list known = {.key = {"name", "description", "source", "train"}, .count = 4};
    add_keys(&known, tc_train_setting, IN_RECIPE);
    add_key(&known, "stages");
    tc_json_only(recipe, known.key, "");
}

static void check_stage_keys(const tc_json_object *stage, bool automatic) {
    key_list known = {.key = {"name", "inheritance"}, .count = 2};
    if (automatic) add_keys(&known, tc_mask_setting, IN_STAGE);
    else add_key(&known, "student");
    add_keys(&known, tc_train_setting, IN_STAGE);
    add_key(&known, "train");
    tc_json_only(stage, known.key, automatic ? " in an automatic stage" : " in a manual stage");
}

/* A text of the file, copied; NULL if it is not there and need not be. */
static char *read_text(const tc_json_object *o, const char *key, bool needed) {
    const char *text = tc_json_text(o, key, needed, needed ? NAME_LIMIT : TEXT_LIMIT, needed);
    char *copy = text ? tc_strdup(text) : NULL;
    if (text && !copy) o->reader->status = tc_fail_memory(o->reader->err, strlen(text));
    return copy;
}

/* ---- a stage */

static void read_train(const tc_json_object *o, tc_train_options *t) {
    tc_json_object train = tc_json_inner(o, "train", false);
    key_list known = {.count = 0};
    add_keys(&known, tc_train_setting, IN_TRAIN);
    tc_json_only(&train, known.key, "");
    take_all(&train, tc_train_setting, IN_TRAIN, t);
}

static void read_length(const tc_json_object *o, tc_stage *s) {
    if (tc_json_has(o, "steps") == tc_json_has(o, "epochs"))
        tc_json_wrong(o, "", "give one of steps and epochs");
    take_all(o, tc_train_setting, IN_STAGE, &s->train);
}

static void read_masks(const tc_json_object *o, tc_stage *s) {
    tc_mask_options *m = &s->masks;
    int given = 0;
    for (int i = 0; i < GOALS; i++) given += tc_json_has(o, goals[i]);
    if (given != 1) tc_json_wrong(o, "", "give one of keep, params and macs");
    *m = tc_mask_options_default();
    take_all(o, tc_mask_setting, IN_STAGE, m);
    if (!tc_json_has(o, "fold_step")) tc_json_wrong(o, "fold_step", "it is missing");
    if (m->target_warmup < 0) m->target_warmup = fmin(PUBLISHED_WARMUP, floor((double)m->fold_step / 3));
    if (m->target_warmup > (double)m->fold_step)
        tc_json_wrong(o, "target_warmup", "%.15g steps are more than the %lld before the fold",
                      m->target_warmup, (long long)m->fold_step);
    if (s->train.steps && m->fold_step >= s->train.steps)
        tc_json_wrong(o, "fold_step", "%lld is not before the end of the stage's %lld steps",
                      (long long)m->fold_step, (long long)s->train.steps);
}

/* The configuration parser names the file first; here the key stands between that and what it found. */
static void parse_student(const tc_json_object *o, const json_t *config, tc_config *out) {
    char name[4096];
    snprintf(name, sizeof name, "%.3900s: %s.student", o->reader->name, o->path);
    o->reader->status = tc_config_parse(out, config, name, o->reader->err);
}

static void read_builtin_student(const tc_json_object *o, const char *name, tc_config *out) {
    size_t size;
    json_t *json = NULL;
    const char *text = tc_config_builtin(name, -1, NULL, &size);
    tc_json_reader *r = o->reader;
    if (!text) {
        tc_json_wrong(o, "student", "there is no built-in configuration \"%s\"; `tinyclip info` lists them",
                      tc_json_plain(name).text);
        return;
    }
    r->status = tc_json_parse(&json, text, size, name, r->err);
    if (r->status == TC_OK) r->status = tc_config_parse(out, json, name, r->err);
    json_decref(json);
}

static void read_student(const tc_json_object *o, tc_stage *s) {
    json_t *v = o->json ? json_object_get(o->json, "student") : NULL;
    tc_json_reader *r = o->reader;
    if (r->status != TC_OK) return;
    if (!v) tc_json_wrong(o, "student", "it is missing");
    else if (json_is_object(v)) parse_student(o, v, &s->config);
    else if (json_is_string(v)) read_builtin_student(o, json_string_value(v), &s->config);
    else tc_json_not(o, "student", "the name of a built-in configuration, or a configuration");
    if (r->status == TC_EUNSUPPORTED) r->status = TC_EFORMAT;
    if (r->status == TC_OK) s->student = json_incref(v);
}

static bool read_inheritance(const tc_json_object *o) {
    const json_t *how = o->json ? json_object_get(o->json, "inheritance") : NULL;
    const char *word = json_is_string(how) ? json_string_value(how) : "";
    bool automatic = strcmp(word, "auto") == 0;
    if (!how) tc_json_wrong(o, "inheritance", "it is missing");
    else if (!automatic && strcmp(word, "manual") != 0)
        tc_json_not(o, "inheritance", "\"auto\" or \"manual\"");
    return automatic;
}

static void read_stage(const tc_json_object *o, tc_stage *s, const tc_train_options *defaults) {
    s->train = *defaults;
    s->automatic = read_inheritance(o);
    check_stage_keys(o, s->automatic);
    s->name = read_text(o, "name", true);
    read_length(o, s);
    if (s->automatic) read_masks(o, s);
    else read_student(o, s);
    read_train(o, &s->train);
}

/* ---- what stages say of each other */

/* A goal of one kind must not be above one of the same kind before; goals of different kinds are compared
 * when the models are known. */
static void check_goal(const tc_json_object *o, const tc_recipe *recipe, int index) {
    for (int i = 0; i < GOALS; i++) {
        const tc_setting *s = tc_setting_find(tc_mask_setting, goals[i]);
        double goal = tc_setting_number(s, &recipe->stages[index].masks), least = INFINITY;
        for (int k = 0; k < index; k++) {
            double before = tc_setting_number(s, &recipe->stages[k].masks);
            if (before > 0) least = fmin(least, before);
        }
        if (goal > least)
            tc_json_wrong(o, goals[i], "%.15g is more than the %.15g of a stage before; stages must not grow",
                          goal, least);
    }
}

static void check_student(const tc_json_object *o, const tc_recipe *recipe, int index) {
    int before = index - 1;
    while (before >= 0 && recipe->stages[before].automatic) before--;
    tc_error why = {0};
    if (before < 0 || o->reader->status != TC_OK) return;
    tc_status status = tc_inherit_check(&recipe->stages[before].config, &recipe->stages[index].config, &why);
    if (status == TC_EARG) tc_json_wrong(o, "student", "%s; stages must not grow", why.message);
    else if (status != TC_OK) o->reader->status = tc_fail(o->reader->err, status, "%s", why.message);
}

static void check_cache(const tc_json_object *o, const tc_recipe *recipe, int index) {
    const tc_train_options *a = &recipe->stages[0].train, *b = &recipe->stages[index].train;
    if (!recipe->cache_augmentations || (a->flip == b->flip && a->crop_scale_min == b->crop_scale_min))
        return;
    tc_json_wrong(o, a->flip != b->flip ? "train.flip" : "train.crop_scale_min",
                  "with a teacher cache every stage must have the same, since it holds the teacher's view of "
                  "these pictures");
}

static void check_name(const tc_json_object *o, const tc_recipe *recipe, int index) {
    for (int k = 0; k < index; k++)
        if (strcmp(recipe->stages[k].name, recipe->stages[index].name) == 0)
            tc_json_wrong(o, "name", "\"%s\" is the name of stages[%d] too",
                          tc_json_plain(recipe->stages[k].name).text, k);
}

/* Stage `index` as messages call it. */
static tc_json_object stage_place(tc_json_reader *r, int index) {
    tc_json_object o = {.reader = r};
    snprintf(o.path, sizeof o.path, "stages[%d]", index);
    return o;
}

static void check_stages(tc_json_reader *r, const tc_recipe *recipe) {
    for (int i = 0; i < recipe->count && r->status == TC_OK; i++) {
        tc_json_object o = stage_place(r, i);
        check_name(&o, recipe, i);
        if (recipe->stages[i].automatic) check_goal(&o, recipe, i);
        else check_student(&o, recipe, i);
        check_cache(&o, recipe, i);
    }
}

/* ---- the whole */

static void read_stages(const tc_json_object *root, tc_recipe *out, const tc_train_options *defaults) {
    const json_t *stages = root->json ? json_object_get(root->json, "stages") : NULL;
    size_t n = json_array_size(stages);
    if (!stages) tc_json_wrong(root, "stages", "it is missing");
    else if (n < 1 || n > TC_MAX_STAGES)
        tc_json_wrong(root, "stages", "must be a list of 1 to %d stages", TC_MAX_STAGES);
    for (size_t i = 0; i < n && root->reader->status == TC_OK; i++) {
        tc_json_object stage = tc_json_entry(root, "stages", i);
        read_stage(&stage, &out->stages[out->count++], defaults);
    }
}

static void read_recipe(tc_json_reader *r, tc_recipe *out, const json_t *json) {
    tc_train_options defaults = tc_train_options_default();
    tc_json_object root = tc_json_root(r, json);
    check_recipe_keys(&root);
    out->name = read_text(&root, "name", true);
    out->description = read_text(&root, "description", false);
    out->source = read_text(&root, "source", false);
    read_train(&root, &defaults);
    take_all(&root, tc_train_setting, IN_RECIPE, &defaults);
    out->cache_augmentations = defaults.cache_augmentations;
    read_stages(&root, out, &defaults);
    check_stages(r, out);
}

tc_status tc_recipe_parse(tc_recipe **out, const json_t *json, const char *path, tc_error *err) {
    tc_recipe *recipe = tc_new(1, sizeof *recipe);
    tc_json_reader r = {.name = path, .dialect = &tc_json_rules, .err = err};
    *out = NULL;
    if (!recipe || !(recipe->path = tc_strdup(path))) {
        free(recipe);
        return tc_fail_memory(err, sizeof *recipe);
    }
    read_recipe(&r, recipe, json);
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

static void set_goal(const tc_json_object *o, tc_recipe *recipe, const double goal[GOALS]) {
    tc_mask_options *m = &recipe->stages[recipe->count - 1].masks;
    char range[128];
    for (int i = 0; i < GOALS; i++) {
        const tc_setting *s = tc_setting_find(tc_mask_setting, goals[i]);
        tc_range r = tc_setting_range(s);
        if (goal[i] != 0 && !tc_range_has(&r, goal[i]))
            tc_json_not(o, goals[i], tc_range_text(&r, s->kind == TC_SETTING_PARAMS, range, sizeof range));
        tc_setting_store(s, m, goal[i]);
    }
    check_goal(o, recipe, recipe->count - 1);
}

tc_status tc_recipe_set_goal(tc_recipe *recipe, double keep, int64_t params, double macs, tc_error *err) {
    tc_json_reader r = {.name = recipe->path, .dialect = &tc_json_rules, .err = err};
    tc_json_object o = stage_place(&r, recipe->count - 1);
    tc_stage *s = &recipe->stages[recipe->count - 1];
    tc_mask_options before = s->masks;
    if (s->automatic) set_goal(&o, recipe, (const double[GOALS]){keep, (double)params, macs});
    else
        tc_json_wrong(&o, "",
                      "a goal can be set for an automatic stage only, and the last one, \"%s\", is manual",
                      tc_json_plain(s->name).text);
    if (r.status == TC_OK) return TC_OK;
    s->masks = before;
    if (err) err->status = TC_EARG;
    return r.status == TC_EFORMAT ? TC_EARG : r.status;
}

void tc_recipe_resolve(tc_recipe *r, const tc_tower_family *family) {
    for (int i = 0; i < r->count; i++) tc_train_choose(&r->stages[i].train, family, true);
}

/* ---- writing */

static json_t *stage_json(const tc_stage *s) {
    json_t *v = json_pack("{s:s, s:s}", "name", s->name, "inheritance", s->automatic ? "auto" : "manual"),
           *train = json_object();
    if (s->automatic) give_all(v, tc_mask_setting, IN_STAGE, &s->masks);
    else json_object_set(v, "student", s->student);
    give_all(v, tc_train_setting, IN_STAGE, &s->train);
    give_all(train, tc_train_setting, IN_TRAIN, &s->train);
    json_object_set_new(v, "train", train);
    return v;
}

json_t *tc_recipe_json(const tc_recipe *r) {
    json_t *json = json_pack("{s:s}", "name", r->name), *stages = json_array();
    if (r->description) json_object_set_new(json, "description", json_string(r->description));
    if (r->source) json_object_set_new(json, "source", json_string(r->source));
    give_all(json, tc_train_setting, IN_RECIPE, &r->stages[0].train);
    for (int i = 0; i < r->count; i++) json_array_append_new(stages, stage_json(&r->stages[i]));
    json_object_set_new(json, "stages", stages);
    return json;
}
