/* test_recipe.c - recipes of compressions: what they give, and what is refused with which message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "train/recipe.h"

#include <dirent.h>

static tc_status parse(tc_recipe **out, const char *text, tc_error *err) {
    json_t *json = NULL;
    tc_status status = tc_json_parse(&json, text, strlen(text), "r.json", err);
    if (status == TC_OK) status = tc_recipe_parse(out, json, "r.json", err);
    json_decref(json);
    return status;
}

/* ---- what a recipe gives */

static const char small[] =
    "{\"name\":\"x\",\"train\":{\"batch\":64,\"lr\":1e-3,\"flip\":true},\"cache_augmentations\":4,\"stages\":"
    "["
    "{\"name\":\"75\",\"inheritance\":\"auto\",\"keep\":0.75,\"fold_step\":60,\"steps\":200,\"train\":{"
    "\"lr\":2e-3}},"
    "{\"name\":\"50\",\"inheritance\":\"auto\",\"keep\":0.5,\"fold_step\":9000,\"target_warmup\":10,\"mask_"
    "lr\":0.05,\"epochs\":2.5,"
    "\"train\":{\"beta2\":0.9,\"eps\":1e-7,\"warmup_steps\":0,\"checkpoint_every\":7}},"
    "{\"name\":\"hand\",\"inheritance\":\"manual\",\"student\":\"TinyCLIP-ViT-40M-32-Text-19M\",\"steps\":10}"
    "]}";

static void test_values(void **state) {
    (void)state;
    tc_recipe *r;
    tc_error err = {0};
    if (parse(&r, small, &err) != TC_OK) fail_msg("%s", err.message);
    assert_string_equal(r->name, "x");
    assert_null(r->description);
    assert_int_equal(r->cache_augmentations, 4);
    assert_int_equal(r->count, 3);
    const tc_stage *s = r->stages;
    assert_string_equal(s[0].name, "75");
    assert_true(s[0].automatic && s[1].automatic && !s[2].automatic);
    assert_true(s[0].masks.keep == 0.75 && s[0].masks.params == 0 && s[0].masks.macs == 0);
    assert_true(s[0].masks.fold_step == 60 && s[0].train.steps == 200 && s[0].train.epochs == 0);
    /* Without its own: at most a third of the steps before the fold, at most the published 1,000. */
    assert_true(s[0].masks.target_warmup == 20 && s[0].masks.lr == 0.02);
    assert_true(s[1].masks.target_warmup == 10 && s[1].masks.lr == 0.05 && s[1].train.steps == 0 &&
                s[1].train.epochs == 2.5);
    for (int i = 0; i < 3; i++) assert_true(s[i].train.batch == 64 && s[i].train.flip);
    assert_true(s[0].train.lr == 2e-3 && s[1].train.lr == 1e-3);
    /* The published values. */
    assert_true(s[0].train.weight_decay == 0.2 && s[0].train.beta1 == 0.9 && s[0].train.clip == 5 &&
                s[0].train.alpha == 1);
    assert_true(s[0].train.logit_scale == -1 && s[0].train.crop_scale_min == 1 &&
                s[0].train.checkpoint_every == 0);
    assert_true(s[0].train.beta2 == -1 && s[0].train.eps == 0 && s[0].train.warmup_steps == -1);
    assert_true(s[1].train.beta2 == 0.9 && s[1].train.eps == 1e-7 && s[1].train.warmup_steps == 0 &&
                s[1].train.checkpoint_every == 7);
    assert_int_equal(s[2].config.vision.width, 512);
    tc_recipe_resolve(r, &tc_modified_resnet);
    assert_true(s[0].train.beta2 == 0.999 && s[0].train.eps == 1e-8 && s[0].train.logit_scale == 50 &&
                s[1].train.beta2 == 0.9 && s[1].train.eps == 1e-7);
    tc_recipe_free(&r);
    assert_null(r);
    assert_int_equal(parse(&r, small, &err), TC_OK);
    tc_recipe_resolve(r, &tc_vit);
    assert_true(r->stages[0].train.beta2 == 0.98 && r->stages[0].train.eps == 1e-6);
    tc_recipe_free(&r);
}

/* A recipe written and read again is the same one. */
static void test_again(void **state) {
    (void)state;
    tc_recipe *r, *again;
    tc_error err = {0};
    assert_int_equal(parse(&r, small, &err), TC_OK);
    json_t *json = tc_recipe_json(r), *twice = NULL;
    if (tc_recipe_parse(&again, json, "r.json", &err) != TC_OK) fail_msg("%s", err.message);
    twice = tc_recipe_json(again);
    assert_true(json_equal(json, twice));
    assert_true(again->stages[0].masks.target_warmup == 20 && again->stages[1].train.eps == 1e-7 &&
                again->stages[0].train.warmup_steps == -1);
    json_decref(json);
    json_decref(twice);
    tc_recipe_free(&again);
    tc_recipe_free(&r);
}

static void test_goal(void **state) {
    (void)state;
    tc_recipe *r;
    tc_error err = {0};
    static const char two[] =
        "{\"name\":\"x\",\"stages\":[{\"name\":\"a\",\"inheritance\":\"auto\",\"keep\":0.75,\"fold_step\":60,"
        "\"steps\":200},"
        "{\"name\":\"b\",\"inheritance\":\"auto\",\"keep\":0.5,\"fold_step\":60,\"steps\":200}]}";
    assert_int_equal(parse(&r, two, &err), TC_OK);
    assert_int_equal(tc_recipe_set_goal(r, 0.6, 0, 0, &err), TC_OK);
    assert_true(r->stages[1].masks.keep == 0.6 && r->stages[0].masks.keep == 0.75);
    assert_int_equal(tc_recipe_set_goal(r, 0, 2000, 0, &err), TC_OK);
    assert_true(r->stages[1].masks.keep == 0 && r->stages[1].masks.params == 2000);
    assert_int_equal(tc_recipe_set_goal(r, 0, 0, 3e6, &err), TC_OK);
    assert_true(r->stages[1].masks.params == 0 && r->stages[1].masks.macs == 3e6);
    assert_int_equal(tc_recipe_set_goal(r, 0.8, 0, 0, &err), TC_EARG);
    assert_string_equal(
        err.message,
        "r.json: stages[1].keep: 0.8 is more than the 0.75 of a stage before; stages must not grow");
    assert_true(r->stages[1].masks.macs == 3e6);
    assert_int_equal(tc_recipe_set_goal(r, 1.5, 0, 0, &err), TC_EARG);
    tc_recipe_free(&r);
    assert_int_equal(parse(&r, small, &err), TC_OK);
    assert_int_equal(tc_recipe_set_goal(r, 0.4, 0, 0, &err), TC_EARG);
    assert_string_equal(err.message, "r.json: stages[2]: a goal can be set for an automatic stage only, and "
                                     "the last one, \"hand\", is manual");
    tc_recipe_free(&r);
}

/* ---- what is refused: a good recipe in which one text is replaced by another */

static const char good[] =
    "{\"name\":\"n\",\"train\":{\"batch\":8},\"stages\":["
    "{\"name\":\"a\",\"inheritance\":\"auto\",\"keep\":0.75,\"fold_step\":30,\"target_warmup\":10,\"mask_"
    "lr\":0.02,\"steps\":100},"
    "{\"name\":\"b\",\"inheritance\":\"auto\",\"keep\":0.5,\"fold_step\":30,\"epochs\":2},"
    "{\"name\":\"c\",\"inheritance\":\"manual\",\"student\":{\"embed_dim\":16,\"vision_cfg\":{\"image_size\":"
    "8,\"layers\":2,\"width\":16,\"patch_"
    "size\":4,"
    "\"head_width\":8},\"text_cfg\":{\"context_length\":8,\"vocab_size\":99,\"width\":8,\"heads\":1,"
    "\"layers\":1}},\"steps\":5},"
    "{\"name\":\"d\",\"inheritance\":\"manual\",\"student\":{\"embed_dim\":16,\"vision_cfg\":{\"image_size\":"
    "8,\"layers\":1,\"width\":8,\"patch_"
    "size\":4,"
    "\"head_width\":8},\"text_cfg\":{\"context_length\":8,\"vocab_size\":99,\"width\":8,\"heads\":1,"
    "\"layers\":1}},\"steps\":5,\"train\":{\"lr\":0.5}"
    "}]}";

typedef struct change {
    const char *from, *to, *message; /* message NULL: it is a good recipe still */
} change;

static void expect(const change *c) {
    const char *at = strstr(good, c->from);
    if (!at) fail_msg("%s does not stand in the recipe", c->from);
    tc_buf text = {0};
    tc_buf_printf(&text, "%.*s%s%s", (int)(at - good), good, c->to, at + strlen(c->from));
    tc_recipe *r = NULL;
    tc_error err = {0};
    tc_status status = parse(&r, text.data, &err);
    if (c->message && status != TC_EFORMAT) fail_msg("%s -> %s: status %d", c->from, c->to, status);
    if (!c->message && status != TC_OK) fail_msg("%s -> %s: %s", c->from, c->to, err.message);
    if (c->message && strcmp(err.message, c->message) != 0)
        fail_msg("%s -> %s:\n  %s\n  %s", c->from, c->to, err.message, c->message);
    if (status != TC_OK) assert_null(r);
    tc_recipe_free(&r);
    tc_buf_free(&text);
}

static void test_refused(void **state) {
    static const change changes[] = {
        {"\"name\":\"n\"", "\"name\":\"n\"", NULL},
        {"\"name\":\"n\"", "\"name\":\"n\",\"nmae\":1",
         "r.json: nmae: there is no such key; known are name, description, source, train, "
         "cache_augmentations, stages"},
        {"\"name\":\"n\",", "", "r.json: name: it is missing"},
        {"\"name\":\"n\"", "\"name\":3", "r.json: name: must be a text"},
        {"\"name\":\"n\"", "\"name\":\"\"", "r.json: name: must be a text of 1 to 100 bytes"},
        {"\"name\":\"n\"", "\"name\":\"n\",\"description\":[]", "r.json: description: must be a text"},
        {"\"name\":\"n\"", "\"name\":\"n\",\"source\":\"s\",\"description\":\"\"", NULL},
        {"\"name\":\"n\"", "\"name\":\"n\",\"cache_augmentations\":-1",
         "r.json: cache_augmentations: must be a whole number from 0 to 65536"},
        {"\"name\":\"n\"", "\"name\":\"n\",\"cache_augmentations\":1.5",
         "r.json: cache_augmentations: must be a whole number from 0 to 65536"},
        {"\"name\":\"n\"", "\"name\":\"n\",\"a\\u000ab\\u0007\":1",
         "r.json: a b : there is no such key; known are name, description, source, train, "
         "cache_augmentations, stages"},
        {"{\"batch\":8}", "[]", "r.json: train: must be an object"},
        {"{\"batch\":8}", "{\"batch\":8,\"LR\":1}",
         "r.json: train.LR: there is no such key; known are batch, lr, warmup_steps, weight_decay, beta1, "
         "beta2, eps, clip, alpha, logit_scale, "
         "crop_scale_min, flip, "
         "checkpoint_every"},
        {"{\"batch\":8}", "{\"batch\":0}", "r.json: train.batch: must be a whole number from 1 to 1048576"},
        {"{\"batch\":8}", "{\"batch\":\"8\"}",
         "r.json: train.batch: must be a whole number from 1 to 1048576"},
        {"{\"batch\":8}", "{\"batch\":8.0}", "r.json: train.batch: must be a whole number from 1 to 1048576"},
        {"{\"batch\":8}", "{\"batch\":null}",
         "r.json: train.batch: must be a whole number from 1 to 1048576"},
        {"{\"batch\":8}", "{\"batch\":9223372036854775807}",
         "r.json: train.batch: must be a whole number from 1 to 1048576"},
        {"{\"batch\":8}", "{\"lr\":-1}", "r.json: train.lr: must be a number from 0 to 1000"},
        {"{\"batch\":8}", "{\"lr\":true}", "r.json: train.lr: must be a number from 0 to 1000"},
        {"{\"batch\":8}", "{\"lr\":1}", NULL},
        {"{\"batch\":8}", "{\"beta1\":1}", "r.json: train.beta1: must be a number from 0 to below 1"},
        {"{\"batch\":8}", "{\"beta2\":1.0}", "r.json: train.beta2: must be a number from 0 to below 1"},
        {"{\"batch\":8}", "{\"eps\":0}", "r.json: train.eps: must be a number above 0 to 1"},
        {"{\"batch\":8}", "{\"alpha\":1.01}", "r.json: train.alpha: must be a number from 0 to 1"},
        {"{\"batch\":8}", "{\"crop_scale_min\":0}",
         "r.json: train.crop_scale_min: must be a number above 0 to 1"},
        {"{\"batch\":8}", "{\"flip\":1}", "r.json: train.flip: must be true or false"},
        {"{\"batch\":8}", "{\"warmup_steps\":-1}",
         "r.json: train.warmup_steps: must be a number from 0 to 1000000000000"},
        {"{\"batch\":8}", "{\"clip\":-2}", "r.json: train.clip: must be a number from 0 to 1000000000000"},
        {"{\"batch\":8}", "{\"logit_scale\":1e9}",
         "r.json: train.logit_scale: must be a number from 0 to 10000"},
        {"{\"batch\":8}", "{\"weight_decay\":1e9}",
         "r.json: train.weight_decay: must be a number from 0 to 1000"},
        {"{\"batch\":8}", "{\"checkpoint_every\":-3}",
         "r.json: train.checkpoint_every: must be a whole number from 0 to 1000000000000"},
        {"{\"lr\":0.5}", "{\"lr\":\"0.5\"}", "r.json: stages[3].train.lr: must be a number from 0 to 1000"},
        {"{\"lr\":0.5}", "{\"rate\":0.5}",
         "r.json: stages[3].train.rate: there is no such key; known are batch, lr, warmup_steps, "
         "weight_decay, beta1, beta2, eps, clip, alpha, "
         "logit_scale, "
         "crop_scale_min, flip, checkpoint_every"},
        {"\"stages\":[", "\"stages\":{},\"x\":[",
         "r.json: x: there is no such key; known are name, description, source, train, cache_augmentations, "
         "stages"},
        {"\"name\":\"a\"", "\"name\":\"a\",\"student\":\"ViT-B-32\"",
         "r.json: stages[0].student: there is no such key in an automatic stage; known are name, "
         "inheritance, keep, params, macs, fold_step, "
         "target_warmup, mask_lr, "
         "steps, epochs, train"},
        {"\"name\":\"c\"", "\"name\":\"c\",\"keep\":0.25",
         "r.json: stages[2].keep: there is no such key in a manual stage; known are name, inheritance, "
         "student, steps, epochs, train"},
        {"\"name\":\"a\",", "", "r.json: stages[0].name: it is missing"},
        {"\"name\":\"b\"", "\"name\":\"a\"", "r.json: stages[1].name: \"a\" is the name of stages[0] too"},
        {"\"inheritance\":\"auto\",", "", "r.json: stages[0].inheritance: it is missing"},
        {"\"inheritance\":\"auto\",", "\"inheritance\":\"automatic\",",
         "r.json: stages[0].inheritance: must be \"auto\" or \"manual\""},
        {"\"inheritance\":\"auto\",", "\"inheritance\":1,",
         "r.json: stages[0].inheritance: must be \"auto\" or \"manual\""},
        {"\"keep\":0.75,", "", "r.json: stages[0]: give one of keep, params and macs"},
        {"\"keep\":0.75,", "\"keep\":0.75,\"macs\":1e9,",
         "r.json: stages[0]: give one of keep, params and macs"},
        {"\"keep\":0.75,", "\"keep\":0,", "r.json: stages[0].keep: must be a number above 0 to 1"},
        {"\"keep\":0.75,", "\"keep\":-0.5,", "r.json: stages[0].keep: must be a number above 0 to 1"},
        {"\"keep\":0.75,", "\"keep\":75,", "r.json: stages[0].keep: must be a number above 0 to 1"},
        {"\"keep\":0.75,", "\"keep\":1,", NULL},
        {"\"keep\":0.75,", "\"params\":0,",
         "r.json: stages[0].params: must be a whole number from 1 to 1e+15"},
        {"\"keep\":0.75,", "\"params\":1000,", NULL},
        {"\"keep\":0.75,", "\"macs\":0,", "r.json: stages[0].macs: must be a number above 0 to 1e+18"},
        {"\"keep\":0.5,", "\"keep\":0.76,",
         "r.json: stages[1].keep: 0.76 is more than the 0.75 of a stage before; stages must not grow"},
        {"\"keep\":0.5,", "\"keep\":0.75,", NULL},
        {"\"fold_step\":30,", "", "r.json: stages[0].fold_step: it is missing"},
        {"\"fold_step\":30,", "\"fold_step\":0,",
         "r.json: stages[0].fold_step: must be a whole number from 1 to 1000000000000"},
        {"\"fold_step\":30,", "\"fold_step\":100,",
         "r.json: stages[0].fold_step: 100 is not before the end of the stage's 100 steps"},
        {"\"fold_step\":30,", "\"fold_step\":99,", NULL},
        {"\"target_warmup\":10", "\"target_warmup\":31",
         "r.json: stages[0].target_warmup: 31 steps are more than the 30 before the fold"},
        {"\"target_warmup\":10", "\"target_warmup\":-1",
         "r.json: stages[0].target_warmup: must be a number from 0 to 1000000000000"},
        {"\"mask_lr\":0.02", "\"mask_lr\":1001",
         "r.json: stages[0].mask_lr: must be a number from 0 to 1000"},
        {"\"steps\":100", "\"steps\":0",
         "r.json: stages[0].steps: must be a whole number from 1 to 1000000000000"},
        {"\"steps\":100", "\"steps\":100,\"epochs\":1", "r.json: stages[0]: give one of steps and epochs"},
        {",\"steps\":100", "", "r.json: stages[0]: give one of steps and epochs"},
        {"\"epochs\":2", "\"epochs\":0", "r.json: stages[1].epochs: must be a number above 0 to 1000000000"},
        {"\"student\":{\"embed_dim\":16", "\"student\":{\"embed_dim\":\"16\"",
         "r.json: stages[2].student: embed_dim must be a whole number from 1 to 65536"},
        {"\"student\":{", "\"student\":7,\"x\":{",
         "r.json: stages[2].x: there is no such key in a manual stage; known are name, inheritance, student, "
         "steps, epochs, train"},
        {"\"width\":8,\"patch_size\":4", "\"width\":24,\"patch_size\":4",
         "r.json: stages[3].student: inherit: visual.class_embedding is [24] in the student, larger than the "
         "teacher's [16]; stages must not grow"},
        {"\"layers\":1,\"width\":8,\"patch_size\":4", "\"layers\":3,\"width\":8,\"patch_size\":4",
         "r.json: stages[3].student: inherit: the student has 3 vision layers, its teacher only 2; stages "
         "must not grow"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) expect(&changes[i]);
}

static void test_shape(void **state) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "r.json: must be an object"},
        {"{}", "r.json: name: it is missing"},
        {"{\"name\":\"x\"}", "r.json: stages: it is missing"},
        {"{\"name\":\"x\",\"stages\":{}}", "r.json: stages: must be a list of 1 to 16 stages"},
        {"{\"name\":\"x\",\"stages\":[]}", "r.json: stages: must be a list of 1 to 16 stages"},
        {"{\"name\":\"x\",\"stages\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]}",
         "r.json: stages: must be a list of 1 to 16 stages"},
        {"{\"name\":\"x\",\"stages\":[1]}", "r.json: stages[0]: must be an object"},
        {"{\"name\":\"x\",\"stages\":[{\"name\":\"a\",\"inheritance\":\"manual\",\"steps\":1}]}",
         "r.json: stages[0].student: it is missing"},
        {"{\"name\":\"x\",\"stages\":[{\"name\":\"a\",\"inheritance\":\"manual\",\"student\":1,\"steps\":1}]"
         "}",
         "r.json: stages[0].student: must be the name of a built-in configuration, or a configuration"},
        {"{\"name\":\"x\",\"stages\":[{\"name\":\"a\",\"inheritance\":\"manual\",\"student\":\"../"
         "x\",\"steps\":1}]}",
         "r.json: stages[0].student: there is no built-in configuration \"../x\"; `tinyclip info` lists "
         "them"},
        {"{\"name\":\"x\",\"cache_augmentations\":2,\"stages\":[{\"name\":\"a\",\"inheritance\":\"manual\","
         "\"student\":\"ViT-B-32\",\"steps\":1},"
         "{\"name\":\"b\",\"inheritance\":\"manual\",\"student\":\"ViT-B-32\",\"steps\":1,\"train\":{"
         "\"flip\":true}}]}",
         "r.json: stages[1].train.flip: with a teacher cache every stage must have the same, since it holds "
         "the teacher's view of these pictures"},
        {"{\"name\":\"x\",\"cache_augmentations\":2,\"stages\":[{\"name\":\"a\",\"inheritance\":\"manual\","
         "\"student\":\"ViT-B-32\",\"steps\":1},"
         "{\"name\":\"b\",\"inheritance\":\"manual\",\"student\":\"ViT-B-32\",\"steps\":1,\"train\":{\"crop_"
         "scale_min\":0.5}}]}",
         "r.json: stages[1].train.crop_scale_min: with a teacher cache every stage must have the same, since "
         "it holds the teacher's view of these "
         "pictures"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_recipe *r;
        tc_error err = {0};
        assert_int_equal(parse(&r, cases[i].text, &err), TC_EFORMAT);
        assert_string_equal(err.message, cases[i].message);
        assert_null(r);
    }
}

static void test_files(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_recipe *r;
    tc_error err = {0};
    const char *path = scratch_text(dir, "r.json", small);
    assert_int_equal(tc_recipe_open(&r, path, &err), TC_OK);
    assert_string_equal(r->path, path);
    tc_recipe_free(&r);
    path = scratch_text(dir, "s.json", "{\"name\":\"x\",\"name\":\"y\"}");
    assert_int_equal(tc_recipe_open(&r, path, &err), TC_EFORMAT);
    assert_non_null(strstr(err.message, "duplicate"));
    assert_true(tc_starts_with(err.message, path));
    assert_int_equal(tc_recipe_open(&r, "no-such-recipe.json", &err), TC_EIO);
    scratch_remove(dir);
}

/* Every recipe that comes with the program is one. */
static void test_published(void **state) {
    (void)state;
    DIR *d = opendir("recipes");
    assert_non_null(d);
    int count = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (!tc_ends_with(e->d_name, ".json")) continue;
        char *path = tc_path_join("recipes", e->d_name);
        tc_recipe *r;
        tc_error err = {0};
        if (tc_recipe_open(&r, path, &err) != TC_OK) fail_msg("%s", err.message);
        assert_true(strlen(r->name) + strlen(".json") == strlen(e->d_name) &&
                    tc_starts_with(e->d_name, r->name));
        assert_non_null(r->source);
        tc_recipe_free(&r);
        free(path);
        count++;
    }
    closedir(d);
    assert_true(count >= 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),   cmocka_unit_test(test_again),
                                       cmocka_unit_test(test_goal),     cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_shape),    cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_published)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
