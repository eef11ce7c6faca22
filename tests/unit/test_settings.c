/* test_settings.c - the tables of settings: every entry says all that is made of it, its default is right,
 * what lies outside its range is refused wherever it can be said (options, text, recipe), and text and JSON
 * give a value back. A new entry is tested by being there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "train/recipe.h"
#include "train/settings.h"

#include <string.h>

static const struct {
    const char *name;
    tc_setting_list list;
    size_t size;
} tables[] = {{"training", tc_train_setting, sizeof(tc_train_options)},
              {"masks", tc_mask_setting, sizeof(tc_mask_options)},
              {"compression", tc_compress_setting, sizeof(tc_compress_options)}};
enum { TABLES = sizeof tables / sizeof *tables };

/* The options of a table at their defaults; the caller frees them. */
static void *defaults_of(size_t table) {
    void *options = calloc(1, tables[table].size);
    tc_settings_default(tables[table].list, options);
    return options;
}

static bool is_number(const tc_setting *s) {
    return s->kind != TC_SETTING_TEXT && s->kind != TC_SETTING_FLAG;
}

/* Numbers that the range does not have and the default is not: below and above it. */
static int outside(const tc_setting *s, double x[2]) {
    const double tried[2] = {s->above ? s->least : s->least - 1, s->below ? s->most : 2 * s->most + 1};
    int n = 0;
    for (int i = 0; i < 2; i++)
        if (tried[i] != s->fallback) x[n++] = tried[i];
    if (n < 2) x[n++] = s->least - 2;
    return n;
}

static void entries_are_complete(void **state) {
    (void)state;
    for (size_t t = 0; t < TABLES; t++) {
        const tc_setting *s, *other;
        for (size_t i = 0; (s = tables[t].list(i)); i++) {
            assert_true(s->name && s->help && *s->help);
            assert_true(!s->option ||
                        (tc_starts_with(s->option, "--") && (s->kind == TC_SETTING_FLAG || s->value)));
            assert_true(s->at < tables[t].size);
            if (is_number(s)) assert_true(s->least < s->most);
            for (size_t k = 0; k < i; k++) {
                other = tables[t].list(k);
                assert_string_not_equal(s->name, other->name);
                if (s->option && other->option) assert_string_not_equal(s->option, other->option);
                assert_true(s->at != other->at);
            }
        }
    }
}

static void defaults_are_right(void **state) {
    (void)state;
    for (size_t t = 0; t < TABLES; t++) {
        void *options = defaults_of(t);
        tc_error err = {0};
        if (tc_settings_check(tables[t].list, options, tables[t].name, &err) != TC_OK)
            fail_msg("%s", err.message);
        free(options);
    }
}

static void what_is_outside_is_refused(void **state) {
    (void)state;
    for (size_t t = 0; t < TABLES; t++) {
        const tc_setting *s;
        for (size_t i = 0; (s = tables[t].list(i)); i++) {
            double x[2];
            for (int n = is_number(s) ? outside(s, x) : 0; n > 0; n--) {
                void *options = defaults_of(t);
                char says[128];
                tc_error err = {0};
                tc_setting_store(s, options, x[n - 1]);
                assert_int_equal(tc_settings_check(tables[t].list, options, tables[t].name, &err), TC_EARG);
                snprintf(says, sizeof says, "%s: %s must be a ", tables[t].name, s->name);
                if (!tc_starts_with(err.message, says)) fail_msg("%s: %s", says, err.message);
                free(options);
            }
            if (s->kind != TC_SETTING_REAL) continue;
            void *options = defaults_of(t);
            tc_setting_store(s, options, NAN);
            assert_int_equal(tc_settings_check(tables[t].list, options, tables[t].name, NULL), TC_EARG);
            free(options);
        }
    }
}

/* A value that is not the default and that the range has. */
static double another(const tc_setting *s) {
    if (s->kind == TC_SETTING_FLAG) return 1 - s->fallback;
    double x = s->most > 1 ? s->least + 3 : s->least + (s->most - s->least) / 4;
    return s->kind == TC_SETTING_MACS || s->kind == TC_SETTING_PARAMS ? 1234567 : x;
}

static void texts_give_values_back(void **state) {
    (void)state;
    for (size_t t = 0; t < TABLES; t++) {
        const tc_setting *s;
        for (size_t i = 0; (s = tables[t].list(i)); i++) {
            void *a = defaults_of(t), *b = defaults_of(t);
            char text[64], again[64];
            tc_error err = {0};
            if (s->kind == TC_SETTING_TEXT) assert_int_equal(tc_setting_read(s, a, "a text", &err), TC_OK);
            else tc_setting_store(s, a, another(s));
            tc_setting_write(s, a, text, sizeof text);
            if (tc_setting_read(s, b, text, &err) != TC_OK) fail_msg("%s: %s", s->name, err.message);
            assert_string_equal(tc_setting_write(s, b, again, sizeof again), text);
            assert_true(tc_setting_number(s, a) == tc_setting_number(s, b));
            if (s->kind != TC_SETTING_TEXT) {
                assert_int_equal(tc_setting_read(s, b, "x", &err), TC_EARG);
                assert_true(tc_starts_with(err.message, "'x' is not "));
                assert_true(tc_setting_number(s, a) == tc_setting_number(s, b)); /* nothing was changed */
            }
            free(a);
            free(b);
        }
    }
}

static void amounts_as_people_write_them(void **state) {
    static const struct {
        const char *name, *text;
        double value;
    } cases[] = {{"keep", "50%", 0.5},     {"keep", "0.25", 0.25}, {"params", "20M", 20e6},
                 {"params", "1.5k", 1500}, {"macs", "2G", 2e9},    {"macs", "3e6", 3e6}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_compress_options o = tc_compress_options_default();
        const tc_setting *s = tc_setting_find(tc_compress_setting, cases[i].name);
        assert_int_equal(tc_setting_read(s, &o, cases[i].text, NULL), TC_OK);
        assert_true(tc_setting_number(s, &o) == cases[i].value);
    }
}

/* ---- recipes */

/* A recipe of one automatic stage with one key more, or another value of one that is there anyway. */
static json_t *recipe_with(const tc_setting *s, json_t *value) {
    bool automatic = tc_setting_find(tc_mask_setting, s->name) == s;
    json_t *stage = automatic ? json_pack("{s:s, s:s, s:f, s:i, s:i}", "name", "a", "inheritance", "auto",
                                          "keep", 0.5, "fold_step", 1000, "steps", 1000000)
                              : json_pack("{s:s, s:s, s:s, s:i}", "name", "a", "inheritance", "manual",
                                          "student", "ViT-B-32", "steps", 1000000),
           *train = json_object();
    json_t *recipe = json_pack("{s:s, s:o, s:[o]}", "name", "r", "train", train, "stages", stage);
    json_t *place = s->flags & TC_SETTING_IN_STAGE ? stage : s->flags & TC_SETTING_IN_RECIPE ? recipe : train;
    if (strcmp(s->key, "params") == 0 || strcmp(s->key, "macs") == 0) json_object_del(stage, "keep");
    if (strcmp(s->key, "epochs") == 0) json_object_del(stage, "steps");
    json_object_set_new(place, s->key, value);
    return recipe;
}

static json_t *json_of(const tc_setting *s, double x) {
    if (s->kind == TC_SETTING_FLAG) return json_boolean(x != 0);
    return s->kind == TC_SETTING_INT || s->kind == TC_SETTING_WHOLE || s->kind == TC_SETTING_PARAMS
               ? json_integer((json_int_t)x)
               : json_real(x);
}

static void recipes_read_and_refuse(void **state) {
    (void)state;
    for (size_t t = 0; t < 2; t++) {
        const tc_setting *s;
        for (size_t i = 0; (s = tables[t].list(i)); i++) {
            if (!s->key) continue;
            tc_recipe *r = NULL, *again = NULL;
            tc_error err = {0};
            json_t *good = recipe_with(s, json_of(s, another(s))), *written,
                   *bad = recipe_with(s, s->kind == TC_SETTING_FLAG ? json_integer(2)
                                                                    : json_of(s, 2 * s->most + 1));
            if (tc_recipe_parse(&r, good, "r.json", &err) != TC_OK) fail_msg("%s: %s", s->key, err.message);
            const void *options = t == 0 ? (const void *)&r->stages[0].train : &r->stages[0].masks;
            assert_true(tc_setting_number(s, options) == another(s));
            /* What was read is written. */
            written = tc_recipe_json(r);
            assert_int_equal(tc_recipe_parse(&again, written, "r.json", &err), TC_OK);
            options = t == 0 ? (const void *)&again->stages[0].train : &again->stages[0].masks;
            assert_true(tc_setting_number(s, options) == another(s));
            tc_recipe_free(&r);
            tc_recipe_free(&again);
            assert_int_equal(tc_recipe_parse(&r, bad, "r.json", &err), TC_EFORMAT);
            if (!strstr(err.message, s->key) || !strstr(err.message, ": must be "))
                fail_msg("%s", err.message);
            json_decref(good);
            json_decref(bad);
            json_decref(written);
        }
    }
}

/* ---- what the run chooses */

static void what_is_left_open_is_chosen(void **state) {
    (void)state;
    for (int resnet = 0; resnet < 2; resnet++)
        for (int teacher = 0; teacher < 2; teacher++) {
            tc_train_options o = tc_train_options_default(), given = o;
            const tc_tower_family *tower = resnet ? &tc_modified_resnet : &tc_vit;
            tc_train_choose(&o, tower, teacher);
            assert_true(o.beta2 == (resnet ? 0.999 : 0.98));
            assert_true(o.eps == (resnet ? 1e-8 : 1e-6));
            assert_true(o.logit_scale == (teacher ? 50 : 0));
            given.beta2 = 0.5;
            given.eps = 1e-3;
            given.logit_scale = 7;
            tc_train_choose(&given, tower, teacher);
            assert_true(given.beta2 == 0.5 && given.eps == 1e-3 && given.logit_scale == 7);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_complete),         cmocka_unit_test(defaults_are_right),
        cmocka_unit_test(what_is_outside_is_refused),   cmocka_unit_test(texts_give_values_back),
        cmocka_unit_test(amounts_as_people_write_them), cmocka_unit_test(recipes_read_and_refuse),
        cmocka_unit_test(what_is_left_open_is_chosen)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
