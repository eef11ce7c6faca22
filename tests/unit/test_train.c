/* test_train.c - whole training runs: stopped and resumed is never stopped, bit for bit; what is skipped and
 * counted; the log; the model that comes out. Damage, failing writes and kills are in test_checkpoint.c. */
#include "data/data.h"
#include "run_rig.h"

#include <math.h>

#define MODEL "model/model.safetensors"

/* ---- resuming */

static void resumed_is_never_stopped(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        rig r;
        rig_open(&r);
        tc_set_threads(threads);
        tc_train_options o = rig_options(&r, NULL);
        rig_check_parts(&r, &o, MODEL);
        o.teacher = r.teacher;
        o.alpha = 0.5;
        o.logit_scale = 50;
        rig_check_parts(&r, &o, MODEL);
        rig_close(&r);
    }
    tc_set_threads(1);
}

/* Products large enough to be split over two threads. */
static void resumed_with_work_for_two_threads(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    tc_set_threads(2);
    tc_model_close(&r.start);
    r.start = rig_model(2, 64, 32, 5);
    tc_train_options o = rig_options(&r, NULL);
    o.preprocess = tc_preprocess_default(32);
    o.batch = 24;
    o.steps = 3;
    rig_check_parts(&r, &o, MODEL);
    tc_set_threads(1);
    rig_close(&r);
}

static void number_of_workers_does_not_matter(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    tc_train_options o = rig_options(&r, out);
    tc_buf model = {0};
    for (o.workers = 1; o.workers <= 5; o.workers += 2) {
        rig_train(&o, NULL);
        if (!model.data) model = rig_bytes(out, MODEL);
        assert_true(rig_same(&model, out, MODEL));
        rig_remove(out);
    }
    tc_buf_free(&model);
    free(out);
    rig_close(&r);
}

/* A stop before the first step is kept too; and a finished run can be resumed: nothing changes. */
static void stopped_before_and_after(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out"), *whole = rig_path(&r, "whole");
    tc_train_options o = rig_options(&r, whole);
    tc_train_result want = rig_train(&o, NULL);
    tc_buf model = rig_bytes(whole, MODEL);
    volatile int stop = 1;
    o.out = out;
    o.stop = &stop;
    assert_int_equal(rig_train(&o, NULL).steps, 0);
    stop = 0;
    o.resume = true;
    rig_train(&o, NULL);
    assert_true(rig_same(&model, out, MODEL));
    tc_train_result again = rig_train(&o, NULL);
    assert_true(rig_same(&model, out, MODEL));
    assert_int_equal(again.steps, o.steps);
    /* the log has 9 digits */
    assert_true(fabs(again.final_loss - want.final_loss) <= 1e-8 * want.final_loss);
    tc_buf_free(&model);
    free(out);
    free(whole);
    rig_close(&r);
}

/* ---- options */

static void options_that_make_no_sense(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    const tc_train_options good = rig_options(&r, out);
    tc_model *long_texts = NULL, *other_size = rig_model(1, 16, 12, 1);
    tc_config c = rig_config(1, 16, RIG_SIDE);
    c.context_length = RIG_CONTEXT - 1;
    assert_int_equal(tc_model_random(&long_texts, &c, 1, NULL), TC_OK);
    tc_tokenizer *many_ids = NULL;
    assert_int_equal(tc_tokenizer_create(&many_ids, TC_TOKENIZER_HF, NULL), TC_OK);
    tc_train_options o;
#define REFUSED(change, says) \
    o = good;                 \
    change;                   \
    rig_refused(&o, TC_EARG, says)
    REFUSED(o.out = NULL, "output folder");
    REFUSED(o.out = "", "output folder");
    REFUSED(o.init = NULL, "model to start from");
    REFUSED(o.data = NULL, "data is needed");
    REFUSED(o.tokenizer = NULL, "a tokenizer is needed");
    REFUSED(o.batch = 0, "training: batch must be a whole number from 1 to 1048576");
    REFUSED(o.batch = (1 << 20) + 1, "batch must be a whole number from 1 to 1048576");
    REFUSED(o.steps = 0, "steps or epochs");
    REFUSED((o.steps = 0, o.epochs = INFINITY), "epochs must be a number above 0 to 1000000000, or 0");
    REFUSED(o.lr = -1, "lr must be a number from 0 to 1000");
    REFUSED(o.lr = NAN, "lr must be a number from 0 to 1000");
    REFUSED(o.warmup_steps = NAN, "warmup_steps must be a number from 0 to 1000000000000, or -1");
    REFUSED(o.beta1 = 1, "beta1 must be a number from 0 to below 1");
    REFUSED(o.beta2 = -0.1, "beta2 must be a number from 0 to below 1, or -1");
    REFUSED(o.eps = -1e-9, "eps must be a number above 0 to 1, or 0");
    REFUSED(o.eps = INFINITY, "eps must be a number above 0 to 1, or 0");
    REFUSED(o.weight_decay = -1, "weight_decay must be a number from 0");
    REFUSED(o.weight_decay = INFINITY, "weight_decay must be a number from 0");
    REFUSED(o.clip = NAN, "clip must be a number from 0");
    REFUSED(o.alpha = 1.1, "alpha must be a number from 0 to 1");
    REFUSED(o.logit_scale = -2, "logit_scale must be a number from 0 to 10000, or -1");
    REFUSED(o.crop_scale_min = 0, "crop_scale_min must be a number above 0 to 1");
    REFUSED(o.preprocess.crop = 16, "cropped to 16 pixels, but the model's image_size is 8");
    REFUSED(o.tokenizer = many_ids, "the tokenizer has 49408 ids, the model only 54");
    REFUSED(o.teacher = long_texts, "the teacher's context_length is 9, less than the student's 10");
    REFUSED(o.teacher = other_size, "the teacher's image_size is 12, the student's 8");
#undef REFUSED
    char *inside = tc_path_join(r.dir, "vocab.json/out");
    o = good;
    o.out = inside;
    rig_refused(&o, TC_EIO, "vocab.json");
    free(inside);
    tc_model_close(&long_texts);
    tc_model_close(&other_size);
    tc_tokenizer_close(&many_ids);
    free(out);
    rig_close(&r);
}

/* Whole batches of so many epochs, the last one begun counts. A batch may be larger than the data. */
static void epochs_make_steps(void **state) {
    (void)state;
    static const struct {
        double epochs;
        int batch, steps;
    } cases[] = {{1, 12, 1},   {1, 5, 3},  {2, 5, 5},  {1, 1, 12},  {0.5, 6, 1}, {0.01, 5, 1},
                 {1.75, 7, 3}, {3, 40, 1}, {7, 40, 3}, {0.3, 1, 4}, {2.25, 3, 9}};
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_train_options o = rig_options(&r, out);
        o.steps = 0;
        o.epochs = cases[i].epochs;
        o.batch = cases[i].batch;
        tc_train_result result = rig_train(&o, NULL);
        if (result.steps != cases[i].steps)
            fail_msg("%g epochs in batches of %d: %d steps", o.epochs, o.batch, (int)result.steps);
        rig_remove(out);
    }
    free(out);
    rig_close(&r);
}

/* ---- losses that are not finite */

/* The row of the token table that the word of pair `i` ends with becomes NaN: so does the loss of every batch
 * that has the pair. */
static void poison(tc_model *m, int i) {
    int id = tc_params_find(&m->params, "token_embedding.weight");
    assert_true(id >= 0);
    int64_t width = m->params.items[id].shape[1];
    for (int64_t k = 0; k < width; k++) m->flat[m->params.items[id].offset + (26 + i) * width + k] = NAN;
}

static void bad_steps_are_left_out(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    poison(r.start, 7);
    char *out = rig_path(&r, "out");
    tc_train_options o = rig_options(&r, out);
    o.crop_scale_min = 1;
    o.flip = false;
    o.steps = 24;
    o.batch = 3;
    rig_log log = {0};
    o.log = rig_listen;
    o.log_user = &log;
    tc_train_result result = rig_train(&o, NULL);
    /* 24 batches of 3 are 6 epochs: the pair is in 6 batches. */
    assert_int_equal(result.skipped_steps, 6);
    assert_int_equal(log.warnings, 6);
    assert_non_null(strstr(log.text.data, "the loss or its gradient is not finite; the step is left out"));
    assert_true(isfinite(result.final_loss));
    tc_buf text = rig_bytes(out, "log.jsonl");
    int lines = 0, skipped = 0;
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        lines++;
        if (strstr(line, "\"loss\":null,")) {
            skipped++;
            assert_non_null(strstr(line, "\"grad_norm\":null,"));
            assert_non_null(strstr(line, "\"skipped\":true,"));
        }
    }
    assert_int_equal(lines, 24);
    assert_int_equal(skipped, 6);
    tc_buf_free(&text);
    tc_buf_free(&log.text);
    rig_remove(out);
    /* The counts go with the checkpoints. */
    o.log = NULL;
    o.steps = 10;
    rig_check_parts(&r, &o, MODEL);
    free(out);
    rig_close(&r);
}

static void too_many_bad_steps_stop_the_run(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    for (int i = 0; i < RIG_PAIRS; i++) poison(r.start, i);
    char *out = rig_path(&r, "out");
    tc_train_options o = rig_options(&r, out);
    o.steps = 1000;
    rig_refused(&o, TC_ESTATE, "not finite in more than 100 steps in a row");
    tc_buf text = rig_bytes(out, "log.jsonl");
    int lines = 0;
    for (const char *p = text.data; (p = strchr(p, '\n')); p++) lines++;
    assert_int_equal(lines, 101);
    tc_buf_free(&text);
    rig_remove(out);
    /* 100 in a row are allowed; the row goes on after a stop. */
    o.stop_after = 100;
    assert_int_equal(rig_train(&o, NULL).skipped_steps, 100);
    o.resume = true;
    o.stop_after = 1;
    rig_refused(&o, TC_ESTATE, "not finite in more than 100 steps in a row");
    free(out);
    rig_close(&r);
}

/* A skipped step changes neither weights nor moments, and does not count for their bias correction: leaving
 * it out of the run makes no difference. */
static void a_bad_step_changes_nothing(void **state) {
    (void)state;
    tc_trainer *t[2];
    float pixels[4 * 3 * RIG_SIDE * RIG_SIDE], broken[4 * 3 * RIG_SIDE * RIG_SIDE];
    int32_t ids[4 * RIG_CONTEXT] = {0};
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_STEP, .base = 1e-2, .start = 1e9},
                  .weight_decay = 0.1,
                  .beta1 = 0.9,
                  .beta2 = 0.98,
                  .eps = 1e-6,
                  .clip = 5,
                  .weight = 1};
    tc_rng rng = tc_rng_make(1, 2, 3);
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        broken[i] = pixels[i] = (float)tc_rng_normal(&rng);
    broken[100] = INFINITY;
    for (int i = 0; i < 4; i++) ids[i * RIG_CONTEXT] = i, ids[i * RIG_CONTEXT + 1] = RIG_IDS - 1;
    for (int k = 0; k < 2; k++) {
        tc_model *m = rig_model(1, 16, RIG_SIDE, 1);
        tc_step_log log;
        assert_int_equal(tc_trainer_create(&t[k], &m, NULL, &h, NULL), TC_OK);
        for (int step = 0; step < 6; step++) {
            bool bad = k == 1 && step % 2 == 1;
            if (k == 0 && step % 2 == 1) continue;
            assert_int_equal(tc_trainer_step(t[k], bad ? broken : pixels, ids, 4, RIG_CONTEXT, &log, NULL),
                             TC_OK);
            assert_int_equal(log.skipped, bad);
        }
    }
    size_t bytes = (size_t)t[0]->student->params.total * sizeof(tc_real);
    assert_memory_equal(t[0]->student->flat, t[1]->student->flat, bytes);
    assert_memory_equal(t[0]->m, t[1]->m, bytes);
    assert_memory_equal(t[0]->v, t[1]->v, bytes);
    assert_int_equal(t[1]->skipped, 3);
    assert_int_equal(t[1]->skipped_in_a_row, 1);
    for (int k = 0; k < 2; k++) tc_trainer_free(&t[k]);
}

/* ---- samples that cannot be read */

static void bad_samples_are_counted(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *pairs = rig_path(&r, "pairs"), *out = rig_path(&r, "out");
    /* Listed while they were whole, then damaged. */
    for (int i = 2; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "%02d.bmp", i);
        scratch_text(pairs, name, "no picture");
    }
    tc_train_options o = rig_options(&r, out);
    rig_log log = {0};
    o.log = rig_listen;
    o.log_user = &log;
    o.steps = 12;
    o.batch = 3;
    tc_train_result result = rig_train(&o, NULL);
    assert_int_equal(result.skipped_samples, 9); /* 3 of them in each of 3 epochs */
    assert_int_equal(result.skipped_steps, 0);
    assert_non_null(strstr(log.text.data, "9 samples were left out: "));
    tc_buf_free(&log.text);
    rig_remove(out);
    o.log = NULL;
    rig_check_parts(&r, &o, MODEL);
    /* Batches of one: three of an epoch are empty. Each is a step that is left out, and a line of the log. */
    o.batch = 1;
    result = rig_train(&o, NULL);
    assert_int_equal(result.skipped_samples, 3);
    assert_int_equal(result.skipped_steps, 3);
    assert_int_equal(result.steps, 12);
    tc_buf text = rig_bytes(out, "log.jsonl");
    int empty = 0;
    for (const char *p = text.data; (p = strstr(p, "\"pairs\":0,\"skipped\":true")); p++) empty++;
    assert_int_equal(empty, 3);
    tc_buf_free(&text);
    rig_check_parts(&r, &o, MODEL);
    rig_remove(out);
    for (int i = 0; i < RIG_PAIRS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%02d.bmp", i);
        scratch_text(pairs, name, "no picture");
    }
    rig_refused(&o, TC_ESTATE, "none of the 12 samples could be read");
    free(pairs);
    free(out);
    rig_close(&r);
}

/* ---- log */

static double number(const json_t *o, const char *key) {
    const json_t *x = json_object_get(o, key);
    if (!json_is_number(x)) fail_msg("a line of the log has no number '%s'", key);
    return json_number_value(x);
}

/* One line a step, in order, with every key; evaluations in their places. */
static void check_log(const char *out, const tc_train_options *o) {
    static const char *const keys[] = {"loss", "lr", "grad_norm", "logit_scale", "pairs", "pairs_per_second"};
    tc_buf text = rig_bytes(out, "log.jsonl");
    int64_t step = 0, evaluated = 0;
    for (char *line = text.data, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        json_t *json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        if (!json) fail_msg("not JSON: %.*s", (int)(end - line), line);
        if (json_object_get(json, "top1")) {
            evaluated++;
            assert_int_equal(number(json, "step"), step);
            assert_true(step == o->steps || (o->eval_every && step % o->eval_every == 0));
            assert_in_range(1000 * number(json, "top5"), 1000 * number(json, "top1"), 1000);
            assert_int_equal(number(json, "images"), tc_data_count(o->eval_data));
        } else {
            assert_int_equal(number(json, "step"), ++step);
            for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) number(json, keys[i]);
            assert_true(fabs(number(json, "epoch") - (double)(step * o->batch) / RIG_PAIRS) < 1e-4);
            assert_int_equal(number(json, "pairs"), o->batch);
        }
        json_decref(json);
    }
    assert_int_equal(step, o->steps);
    assert_int_equal(evaluated, o->eval_data ? (o->steps - 1) / o->eval_every + 1 : 0);
    tc_buf_free(&text);
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

static void one_line_a_step(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out"), *path = tc_path_join(out, "log.jsonl");
    tc_data *labelled = NULL;
    open_labelled(&r, &labelled);
    tc_train_options o = rig_options(&r, out);
    rig_train(&o, NULL);
    check_log(out, &o);
    rig_remove(out);
    /* In parts, and with lines behind the checkpoint, as a killed run leaves them: of later steps, and one
     * that is not complete. */
    o.eval_data = labelled;
    o.eval_every = 2;
    o.stop_after = 4;
    rig_train(&o, NULL);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fputs("{\"step\":5,\"epoch\":2.0833,\"loss\":1}\n{\"step\":6,\"top1\":1}\n{\"step\":3,\"epo", f);
    fclose(f);
    o.resume = true;
    o.stop_after = 0;
    tc_train_result result = rig_train(&o, NULL);
    check_log(out, &o);
    assert_in_range(1000 * result.top1, 0, 1000);
    /* Finished: nothing is added; the accuracy is still known. */
    assert_true(fabs(rig_train(&o, NULL).top1 - result.top1) < 1e-6);
    check_log(out, &o);
    tc_data_close(&labelled);
    free(path);
    free(out);
    rig_close(&r);
}

/* ---- what comes out */

/* Embeddings of every pair: images, then texts. */
static float *embed(const rig *r, const tc_model *m, const tc_preprocess *p) {
    int dim = tc_model_get_info(m)->embed_dim;
    float *pixels = tc_new(RIG_PAIRS * 3 * RIG_SIDE * RIG_SIDE, sizeof *pixels),
          *out = tc_new((size_t)(2 * RIG_PAIRS * dim), sizeof *out);
    int32_t ids[RIG_PAIRS * RIG_CONTEXT];
    char caption[64];
    tc_session *s = NULL;
    assert_int_equal(tc_session_create(&s, m, NULL), TC_OK);
    for (int i = 0; i < RIG_PAIRS; i++) {
        assert_int_equal(tc_data_image(r->data, i, p, pixels + i * 3 * RIG_SIDE * RIG_SIDE, NULL), TC_OK);
        assert_int_equal(tc_data_caption(r->data, i, 0, caption, sizeof caption, NULL), TC_OK);
        assert_int_equal(
            tc_tokenizer_encode(r->tokenizer, caption, RIG_CONTEXT, ids + i * RIG_CONTEXT, NULL, NULL, NULL),
            TC_OK);
    }
    assert_int_equal(tc_session_encode_image(s, pixels, RIG_PAIRS, out, NULL), TC_OK);
    assert_int_equal(tc_session_encode_text(s, ids, RIG_PAIRS, RIG_CONTEXT, out + RIG_PAIRS * dim, NULL),
                     TC_OK);
    tc_session_close(&s);
    free(pixels);
    return out;
}

static double first_loss(const char *out) {
    tc_buf text = rig_bytes(out, "log.jsonl");
    double loss = NAN;
    assert_int_equal(sscanf(text.data, "{\"step\":1,\"epoch\":%*f,\"loss\":%lf", &loss), 1);
    tc_buf_free(&text);
    return loss;
}

/* The saved model is the one that was given back; and it has learnt: the loss, of batches that are the whole
 * data, is below what it was. */
static void check_result(const rig *r, const tc_train_options *o, double most) {
    tc_model *given = NULL, *saved = NULL;
    tc_train_result result;
    tc_error err;
    char *path = tc_path_join(o->out, "model");
    if (tc_train(o, &given, &result, &err) != TC_OK) fail_msg("%s", err.message);
    if (tc_model_open(&saved, path, NULL, &err) != TC_OK) fail_msg("%s", err.message);
    tc_preprocess p = tc_model_preprocess(saved);
    assert_int_equal(p.crop, o->preprocess.crop);
    float *a = embed(r, given, &o->preprocess), *b = embed(r, saved, &p);
    assert_memory_equal(a, b, (size_t)(2 * RIG_PAIRS * given->config.embed_dim) * sizeof *a);
    assert_true(tc_model_get_info(given)->logit_scale == tc_model_get_info(saved)->logit_scale);
    assert_non_null(strstr(tc_model_get_info(given)->card, "\"training_data\""));
    if (!(result.final_loss < most * first_loss(o->out)))
        fail_msg("the loss went from %.4f to %.4f", first_loss(o->out), result.final_loss);
    free(a);
    free(b);
    free(path);
    tc_model_close(&given);
    tc_model_close(&saved);
}

static void training_learns(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    tc_train_options o = rig_options(&r, out);
    o.batch = RIG_PAIRS;
    o.steps = 60;
    o.crop_scale_min = 1;
    o.flip = false;
    o.weight_decay = 0;
    o.preprocess.order = TC_IMAGE_HF;
    check_result(&r, &o, 0.5);
    /* What was trained teaches a smaller student that inherits from it. The affinity loss ends at the entropy
     * of the teacher's rows, not at 0, so a student that learns only gets near to its teacher. */
    char *trained = rig_path(&r, "teacher");
    assert_int_equal(rename(out, trained), 0);
    char *path = tc_path_join(trained, "model");
    tc_model *teacher = NULL, *student = NULL;
    tc_error err;
    if (tc_model_open(&teacher, path, NULL, &err) != TC_OK) fail_msg("%s", err.message);
    tc_config c = rig_config(1, 8, RIG_SIDE);
    if (tc_model_inherit_config(&student, teacher, &c, &err) != TC_OK) fail_msg("%s", err.message);
    o.init = student;
    o.teacher = teacher;
    o.logit_scale = 50;
    check_result(&r, &o, 0.9);
    tc_model_close(&teacher);
    tc_model_close(&student);
    free(path);
    free(trained);
    free(out);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(resumed_is_never_stopped),
                                       cmocka_unit_test(resumed_with_work_for_two_threads),
                                       cmocka_unit_test(number_of_workers_does_not_matter),
                                       cmocka_unit_test(stopped_before_and_after),
                                       cmocka_unit_test(options_that_make_no_sense),
                                       cmocka_unit_test(epochs_make_steps),
                                       cmocka_unit_test(bad_steps_are_left_out),
                                       cmocka_unit_test(too_many_bad_steps_stop_the_run),
                                       cmocka_unit_test(a_bad_step_changes_nothing),
                                       cmocka_unit_test(bad_samples_are_counted),
                                       cmocka_unit_test(one_line_a_step),
                                       cmocka_unit_test(training_learns)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    tc_set_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
