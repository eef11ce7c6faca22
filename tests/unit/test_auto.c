/* test_auto.c - training runs with masks: the fold meets its budget; stopped, killed and resumed before, at
 * and after the fold is never stopped, bit for bit; what is logged, kept and refused. */
#include "data/data.h"
#include "net/resnet.h"
#include "run_rig.h"
#include "train/fit.h"

#include <math.h>

#define MODEL "model.safetensors"

/* Gates that move fast enough to matter in a few steps. */
static tc_mask_options masks_of(double keep, int64_t fold_step) {
    tc_mask_options m = tc_mask_options_default();
    m.keep = keep;
    m.fold_step = fold_step;
    m.target_warmup = 1;
    m.lr = 1.2;
    m.start = 2;
    return m;
}

static tc_train_options options_of(const rig *r, const char *out, const tc_mask_options *m) {
    tc_train_options o = rig_options(r, out);
    o.teacher = r->teacher;
    o.logit_scale = 50;
    o.lr = 1e-3;
    o.masks = m;
    return o;
}

static double prunable(const tc_model *m) { return (double)tc_model_get_info(m)->params_prunable; }

/* ---- resuming: stops after every 1, 2, .. steps, so also right before, at and after the fold */

static void resumed_is_never_stopped(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        rig r;
        rig_open(&r);
        tc_set_threads(threads);
        tc_model_close(&r.start);
        r.start = rig_model(2, 32, RIG_SIDE, 1);
        tc_mask_options m = masks_of(0.5, 5);
        tc_train_options o = options_of(&r, NULL, &m);
        rig_check_parts(&r, &o, MODEL);
        m.fold_step = o.steps; /* the last thing that happens */
        rig_check_parts(&r, &o, MODEL);
        rig_close(&r);
    }
    tc_set_threads(1);
}

static tc_model *resnet(void) {
    tc_config c = rig_config(2, 16, 32);
    tc_model *m;
    tc_error err;
    c.vision = (tc_tower_config){.family = &tc_modified_resnet, .width = 16, .layers = 4, .head_dim = 32};
    c.vision.block[0].heads = 16;
    for (int i = 0; i < TC_STAGES; i++) c.vision.stages[i] = 1;
    tc_resnet_fill(&c.vision);
    rig_or_die(tc_model_random(&m, &c, 3, &err), &err, "ResNet");
    return m;
}

static void resnets_resume_too(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    tc_model_close(&r.start);
    r.start = resnet();
    tc_mask_options m = masks_of(0.6, 3);
    tc_train_options o = options_of(&r, NULL, &m);
    o.teacher = NULL;
    o.preprocess = tc_preprocess_default(32);
    o.steps = 5;
    rig_check_parts(&r, &o, MODEL);
    rig_close(&r);
}

/* Killed whenever it may be, also between the fold and its checkpoint. */
static void killed_at_random(void **state) {
    (void)state;
    enum { KILLS = 24 };
    rig r;
    rig_open(&r);
    char *whole = rig_path(&r, "whole"), *out = rig_path(&r, "out");
    tc_mask_options m = masks_of(0.5, 30);
    tc_train_options o = options_of(&r, whole, &m);
    o.steps = 60;
    o.checkpoint_every = 7;
    o.workers = 1;
    double start = tc_now();
    rig_train(&o, NULL);
    double spent = tc_now() - start;
    tc_buf model = rig_bytes(whole, MODEL);
    o.out = out;
    rig_kill_at_random(&o, KILLS, spent);
    o.resume = tc_checkpoint_exists(out);
    rig_train(&o, NULL);
    assert_true(rig_same(&model, out, MODEL));
    tc_buf log = rig_bytes(out, "log.jsonl");
    int folds = 0, lines = 0;
    for (const char *p = log.data; (p = strstr(p, "\"fold\":true")); p++) folds++;
    for (const char *p = log.data; (p = strchr(p, '\n')); p++) lines++;
    assert_int_equal(folds, 1);
    assert_int_equal(lines, o.steps + 1);
    tc_buf_free(&log);
    tc_buf_free(&model);
    free(whole);
    free(out);
    rig_close(&r);
}

static void die_at_the_fold(void *user, int level, const char *line) {
    (void)user, (void)level;
    if (strstr(line, "masks folded")) raise(SIGKILL);
}

/* The fold is told when it is made and not yet saved. */
static void killed_between_fold_and_checkpoint(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *whole = rig_path(&r, "whole"), *out = rig_path(&r, "out");
    tc_mask_options m = masks_of(0.5, 5);
    tc_train_options o = options_of(&r, whole, &m);
    o.checkpoint_every = 2;
    o.workers = 1;
    rig_train(&o, NULL);
    tc_buf model = rig_bytes(whole, MODEL);
    o.out = out;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        o.log = die_at_the_fold;
        _exit(tc_train(&o, NULL, NULL, NULL));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    char *before = tc_path_join(out, "checkpoint-000000000004.safetensors"),
         *at = tc_path_join(out, "checkpoint-000000000005.safetensors");
    assert_true(tc_path_exists(before));
    assert_false(tc_path_exists(at));
    o.resume = true;
    rig_train(&o, NULL);
    assert_true(rig_same(&model, out, MODEL));
    tc_buf_free(&model);
    free(before);
    free(at);
    free(whole);
    free(out);
    rig_close(&r);
}

/* The cache of the teacher's features goes on through the fold. */
static void a_teacher_cache_changes_nothing(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *plain = rig_path(&r, "plain"), *out = rig_path(&r, "out"), *cache = rig_path(&r, "cache");
    tc_mask_options m = masks_of(0.5, 5);
    tc_train_options o = options_of(&r, plain, &m);
    o.cache_augmentations = 2;
    rig_train(&o, NULL);
    tc_buf model = rig_bytes(plain, MODEL);
    o.out = out;
    o.teacher_cache = cache;
    for (int full = 0; full < 2; full++) {
        rig_train(&o, NULL);
        assert_true(rig_same(&model, out, MODEL));
        rig_remove(out);
    }
    tc_buf_free(&model);
    free(plain);
    free(out);
    free(cache);
    rig_close(&r);
}

/* ---- budgets */

/* The goals of the three kinds, from 75 % to 25 % of what the start has. */
static void folded_models_meet_their_budget(void **state) {
    (void)state;
    static const double parts[] = {0.75, 0.5, 0.25}, rates[] = {0, 0.4, 3};
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    tc_model_close(&r.start);
    r.start = rig_model(4, 64, RIG_SIDE, 1);
    const tc_model_info *i = tc_model_get_info(r.start);
    for (int kind = 0; kind < 3; kind++)
        for (int p = 0; p < 3; p++) {
            tc_mask_options m = masks_of(0, 4);
            double goal = parts[p] * (kind == 0   ? (double)i->params_prunable
                                      : kind == 1 ? (double)i->params_without_tokens
                                                  : i->macs_image + i->macs_text);
            m.lr = rates[p];
            if (kind == 0) m.keep = parts[p];
            else if (kind == 1) m.params = (int64_t)goal;
            else m.macs = goal;
            tc_train_options o = options_of(&r, out, &m);
            tc_model *small = NULL;
            o.steps = 5;
            rig_train(&o, &small);
            const tc_model_info *now = tc_model_get_info(small);
            double got = kind == 0   ? (double)now->params_prunable
                         : kind == 1 ? (double)now->params_without_tokens
                                     : now->macs_image + now->macs_text;
            if (fabs(got / goal - 1) > 0.01)
                fail_msg("kind %d, %g: %.4f of the goal", kind, parts[p], got / goal);
            tc_model_close(&small);
            rig_remove(out);
        }
    free(out);
    rig_close(&r);
}

/* What is small already is masked itself: a second stage. */
static void stages_follow_each_other(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *one = rig_path(&r, "one"), *two = rig_path(&r, "two"), *path = tc_path_join(one, MODEL);
    tc_mask_options m = masks_of(0.6, 4);
    tc_model_close(&r.start);
    r.start = rig_model(4, 64, RIG_SIDE, 1);
    tc_train_options o = options_of(&r, one, &m);
    tc_model *first = NULL, *second = NULL;
    tc_error err;
    o.steps = 6;
    rig_train(&o, NULL);
    rig_or_die(tc_model_open(&first, path, NULL, &err), &err, "first stage");
    o.init = first;
    o.out = two;
    rig_train(&o, &second);
    assert_true(fabs(prunable(first) / prunable(r.start) / 0.6 - 1) < 0.01);
    assert_true(fabs(prunable(second) / prunable(first) / 0.6 - 1) < 0.01);
    tc_model_close(&first);
    tc_model_close(&second);
    free(path);
    free(one);
    free(two);
    rig_close(&r);
}

/* ---- what is written */

static double number(const json_t *o, const char *key) {
    const json_t *x = json_object_get(o, key);
    if (!json_is_number(x)) fail_msg("a line of the log has no number '%s'", key);
    return json_number_value(x);
}

static void check_masked_line(const json_t *line, const tc_mask_options *m, double sparsity) {
    bool masked = number(line, "step") <= (double)m->fold_step;
    if (!masked) {
        assert_null(json_object_get(line, "sparsity"));
        return;
    }
    double target = number(line, "target_sparsity"), step = number(line, "step") - 1;
    assert_true(fabs(target - sparsity * fmin(1, step / m->target_warmup)) < 1e-8);
    assert_in_range(1000 * number(line, "sparsity"), 0, 1000);
    assert_true(number(line, "lagrangian") >= 0);
    assert_int_equal(json_array_size(json_object_get(line, "lambda")), 4);
}

static void open_labelled(const rig *r, tc_data **out) {
    char spec[4096], *dir = r->dir;
    uint8_t images[16 + 6 * 4] = "\0\0\x08\x03\0\0\0\x06\0\0\0\x02\0\0\0\x02",
                            labels[8 + 6] = "\0\0\x08\x01\0\0\0\x06";
    for (int i = 0; i < 6 * 4; i++) images[16 + i] = (uint8_t)(i / 4 % 2 ? 200 : 20);
    for (int i = 0; i < 6; i++) labels[8 + i] = (uint8_t)(i % 2);
    snprintf(spec, sizeof spec, "idx:%s,%s,%s", scratch_file(dir, "i", images, sizeof images),
             scratch_file(dir, "l", labels, sizeof labels), scratch_text(dir, "c", "a\nj\n"));
    tc_error err;
    rig_or_die(tc_data_open(out, spec, NULL, &err), &err, "labelled data");
}

static void what_is_logged_and_kept(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    tc_mask_options m = masks_of(0.5, 6);
    tc_train_options o = options_of(&r, out, &m);
    tc_data *labelled = NULL;
    tc_model *small = NULL;
    rig_log told = {0};
    open_labelled(&r, &labelled);
    m.target_warmup = 3;
    o.eval_data = labelled;
    o.eval_every = 2;
    o.log = rig_listen;
    o.log_user = &told;
    rig_train(&o, &small);
    tc_buf log = rig_bytes(out, "log.jsonl");
    int steps = 0, folds = 0, evaluated = 0;
    for (char *line = log.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        if (!json) fail_msg("not JSON: %.*s", (int)(end - line), line);
        if (json_is_true(json_object_get(json, "fold"))) {
            folds++;
            assert_int_equal(steps, 6);
            assert_int_equal(number(json, "step"), 6);
            assert_int_equal(number(json, "params"), tc_model_get_info(small)->params);
            assert_int_equal(number(json, "params_without_tokens"),
                             tc_model_get_info(small)->params_without_tokens);
            assert_true(fabs(number(json, "kept") - prunable(small) / prunable(r.start)) < 1e-8);
        } else if (json_object_get(json, "top1")) {
            evaluated++;
        } else {
            assert_int_equal(number(json, "step"), ++steps);
            check_masked_line(json, &m, 0.5);
        }
        json_decref(json);
    }
    assert_int_equal(steps, o.steps);
    assert_int_equal(folds, 1);
    assert_int_equal(evaluated, 5);
    assert_non_null(strstr(told.text.data, "masks: "));
    assert_non_null(strstr(told.text.data, "step 6: masks folded; "));
    json_t *card = json_loads(tc_model_get_info(small)->card, 0, NULL),
           *kept = json_object_get(card, "masks");
    assert_int_equal(number(kept, "fold_step"), 6);
    assert_int_equal(number(kept, "prunable_after"), tc_model_get_info(small)->params_prunable);
    assert_int_equal(number(json_object_get(kept, "text"), "width"), tc_model_get_info(small)->text_width);
    assert_int_equal(
        json_integer_value(json_array_get(json_object_get(json_object_get(kept, "vision"), "ffn"), 0)),
        tc_model_get_info(small)->vision_layer_ffn[0]);
    json_decref(card);
    tc_buf_free(&log);
    tc_buf_free(&told.text);
    tc_model_close(&small);
    tc_data_close(&labelled);
    free(out);
    rig_close(&r);
}

/* ---- checkpoints */

/* The trainer that is loaded into is one with masks, and becomes what the checkpoint is. */
static tc_trainer *make_trainer(void) {
    tc_trainer *t;
    tc_error err;
    tc_mask_hyper masks = {
        .lr = {.kind = TC_SCHEDULE_STEP, .base = 0.3, .start = 1e9},
        .start = 2,
        .target = {.end = {0.5, 0.5}},
        .folded = {.kind = TC_SCHEDULE_COSINE_START_NOWARMUP, .base = 0.25, .start = 5, .steps = 10}};
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 1e-2, .steps = 100},
                  .beta1 = 0.9,
                  .beta2 = 0.98,
                  .eps = 1e-6,
                  .weight = 1,
                  .masks = &masks};
    tc_model *m = rig_model(1, 16, RIG_SIDE, 1);
    rig_or_die(tc_trainer_create(&t, &m, NULL, &h, &err), &err, "trainer");
    t->hyper.masks = NULL;
    return t;
}

static void step(tc_trainer *t, double *lr) {
    float pixels[4 * 3 * RIG_SIDE * RIG_SIDE];
    int32_t ids[4 * RIG_CONTEXT] = {0};
    tc_rng rng = tc_rng_make((uint64_t)t->step, 0, 0);
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int i = 0; i < 4; i++)
        ids[i * RIG_CONTEXT] = 52, ids[i * RIG_CONTEXT + 1] = i + (int32_t)t->step,
                ids[i * RIG_CONTEXT + 2] = 53;
    tc_step_log log;
    tc_error err;
    rig_or_die(tc_trainer_step(t, pixels, ids, 4, RIG_CONTEXT, &log, &err), &err, "step");
    assert_false(log.skipped);
    *lr = log.lr;
}

static bool same(const tc_trainer *a, const tc_trainer *b) {
    size_t bytes = (size_t)a->student->params.total * sizeof(tc_real);
    if (a->folded != b->folded || !a->gates != !b->gates ||
        a->student->params.total != b->student->params.total || a->step != b->step ||
        a->folded_after != b->folded_after)
        return false;
    if (a->gates) {
        size_t n = (size_t)a->gates->count * sizeof(double);
        if (memcmp(a->gates->value, b->gates->value, n) || memcmp(a->gates->m, b->gates->m, n) ||
            memcmp(a->gates->v, b->gates->v, n))
            return false;
    }
    return memcmp(a->student->flat, b->student->flat, bytes) == 0 && memcmp(a->m, b->m, bytes) == 0 &&
           memcmp(a->v, b->v, bytes) == 0;
}

static void fold_now(tc_trainer *t) {
    tc_error err;
    tc_model *small = NULL;
    tc_real *mask = tc_new((size_t)t->gates->sites.total, sizeof *mask);
    rig_or_die(tc_gates_fit(t->gates, TC_BUDGET_KEEP, t->student, 0.5 * prunable(t->student), mask, &err),
               &err, "fit");
    rig_or_die(tc_model_fold(&small, t->student, &t->gates->sites, mask, &err), &err, "fold");
    rig_or_die(tc_trainer_become(t, &small, &err), &err, "become");
    free(mask);
}

/* Each loaded state goes on like the one that was saved; a changed bit in any part of the file is found. */
static void checkpoints_hold_gates_and_folds(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_trainer *t = make_trainer();
    tc_error err;
    double lr, lr2;
    for (int folded = 0; folded < 2; folded++) {
        for (int i = 0; i < 3; i++) step(t, &lr);
        if (folded) {
            int64_t before = t->step;
            fold_now(t);
            assert_true(!t->gates && t->folded && t->step == before && t->folded_after == before);
            for (int64_t i = 0; i < t->student->params.total; i++) assert_true(t->m[i] == 0 && t->v[i] == 0);
            step(t, &lr);
            assert_true(lr == tc_schedule_lr(&(tc_schedule){.kind = TC_SCHEDULE_COSINE_START_NOWARMUP,
                                                            .base = 0.25,
                                                            .start = 5,
                                                            .steps = 10},
                                             (double)before, 0));
        }
        rig_or_die(tc_checkpoint_save(t, dir, "{}", &err), &err, "save");
        tc_trainer *back = make_trainer();
        rig_or_die(tc_checkpoint_load(back, dir, "{}", NULL, &err), &err, "load");
        assert_true(same(t, back));
        step(t, &lr);
        step(back, &lr2);
        assert_true(lr == lr2 && same(t, back));
        tc_trainer_free(&back);
        char name[64];
        snprintf(name, sizeof name, "checkpoint-%012lld.safetensors", (long long)t->step - 1);
        tc_buf bytes = rig_bytes(dir, name);
        char *path = tc_path_join(dir, name);
        for (size_t at = 0; at < bytes.size; at += at < 2000 ? 1 : 173) {
            bytes.data[at] ^= 4;
            rig_or_die(tc_file_write(path, bytes.data, bytes.size, &err), &err, "write");
            bytes.data[at] ^= 4;
            tc_trainer *fresh = make_trainer(), *other = make_trainer();
            tc_status status = tc_checkpoint_load(fresh, dir, "{}", NULL, &err);
            /* Before the fold there is no other; after it the masked one is taken. */
            if (status != (folded ? TC_OK : TC_ESTATE))
                fail_msg("changed at %zu: %d %s", at, status, err.message);
            if (folded) assert_true(fresh->gates && !fresh->folded);
            else assert_true(same(fresh, other));
            tc_trainer_free(&fresh);
            tc_trainer_free(&other);
            if (folded && at > 2000) at += 2000;
        }
        rig_or_die(tc_file_write(path, bytes.data, bytes.size, &err), &err, "write");
        tc_buf_free(&bytes);
        free(path);
    }
    tc_trainer_free(&t);
    scratch_remove(dir);
}

/* ---- options */

static void options_that_make_no_sense(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    const tc_mask_options good = masks_of(0.5, 4);
    tc_mask_options m;
    tc_train_options o = options_of(&r, out, &m);
#define REFUSED(change, says) \
    m = good;                 \
    change;                   \
    rig_refused(&o, TC_EARG, says)
    REFUSED(m.keep = 0, "one of keep, params and macs");
    REFUSED(m.params = 1000, "one of keep, params and macs");
    REFUSED(m.keep = 1.01, "masks: keep must be a number above 0 to 1");
    REFUSED(m.keep = -0.5, "keep must be a number above 0 to 1");
    REFUSED(m.keep = NAN, "keep must be a number above 0 to 1");
    REFUSED((m.keep = 0, m.params = -5), "params must be a whole number from 1");
    REFUSED((m.keep = 0, m.macs = INFINITY), "macs must be a number above 0");
    REFUSED(m.fold_step = -1, "fold_step must be a whole number from 1");
    REFUSED(m.fold_step = o.steps + 1, "after at least one step and at most all");
    REFUSED(m.target_warmup = NAN, "target_warmup must be a number from 0");
    REFUSED(m.lr = -1, "lr must be a number from 0 to 1000");
    REFUSED(m.start = INFINITY, "start must be a number from -1000000");
    /* Goals that no mask meets. */
    REFUSED(m.keep = 1e-6, "masks: a goal of");
    REFUSED(m.keep = 1e-6, "with one head and one channel everywhere");
    REFUSED((m.keep = 0, m.params = 100), "with one head and one channel everywhere");
    REFUSED((m.keep = 0, m.params = tc_model_get_info(r.start)->params_without_tokens + 1),
            "is more than the model's");
    REFUSED((m.keep = 0, m.macs = 1), "with one head and one channel everywhere");
    REFUSED((m.keep = 0, m.macs = 1e12), "is more than the model's");
#undef REFUSED
    assert_false(tc_path_exists(out)); /* nothing was begun */
    /* Other masks are other settings. */
    m = good;
    o.stop_after = 2;
    rig_train(&o, NULL);
    o.resume = true;
    m.keep = 0.75;
    rig_refused(&o, TC_EARG, "masks.keep was 0.5 and is now 0.75");
    m = good;
    m.fold_step = 5;
    rig_refused(&o, TC_EARG, "masks.fold_step was 4 and is now 5");
    o.masks = NULL;
    rig_refused(&o, TC_EARG, "cannot resume with other settings: ");
    free(out);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(resumed_is_never_stopped),
                                       cmocka_unit_test(resnets_resume_too),
                                       cmocka_unit_test(killed_at_random),
                                       cmocka_unit_test(killed_between_fold_and_checkpoint),
                                       cmocka_unit_test(a_teacher_cache_changes_nothing),
                                       cmocka_unit_test(folded_models_meet_their_budget),
                                       cmocka_unit_test(stages_follow_each_other),
                                       cmocka_unit_test(what_is_logged_and_kept),
                                       cmocka_unit_test(checkpoints_hold_gates_and_folds),
                                       cmocka_unit_test(options_that_make_no_sense)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    tc_set_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
