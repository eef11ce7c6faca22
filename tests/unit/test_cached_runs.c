/* test_cached_runs.c - distillations with the teacher's features in a file give the same bits without it,
 * with it empty, full, half full, damaged, and killed at any of its writes; a stale file is refused before
 * anything is computed.
 *
 * pwrite goes through the test (see tests.mk), which lets a chosen call fail or kills the process there;
 * nothing is really synced, since only a loss of power would show the difference. One thread, so that forked
 * children go on. */
#include "run_rig.h"

#include <errno.h>
#include <signal.h>

#define MODEL "model/model.safetensors"
#define FILE_NAME "teacher.cache"
enum { HEADER = 4096 };

/* ---- writes that fail */

typedef enum fault_kind { FAULT_NONE, FAULT_FULL, FAULT_KILL, FAULT_KILL_HALF } fault_kind;
static struct {
    bool armed;
    fault_kind kind;
    int at, count; /* of the calls since arming, from 0 */
} fault;

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset) {
    if (!fault.armed || fault.count++ != fault.at || fault.kind == FAULT_NONE)
        return __real_pwrite(fd, data, size, offset);
    if (fault.kind == FAULT_KILL_HALF) (void)!__real_pwrite(fd, data, size / 2, offset);
    if (fault.kind != FAULT_FULL) raise(SIGKILL);
    errno = ENOSPC;
    return -1;
}

int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd) { return fd < 0; }
int __wrap_fdatasync(int fd) { return fd < 0; }

static void arm(fault_kind kind, int at) {
    fault.kind = kind;
    fault.at = at;
    fault.count = 0;
    fault.armed = true;
}

static int disarm(void) {
    fault.armed = false;
    return fault.count;
}

/* ---- runs */

typedef struct runs {
    rig r;
    char *out, *cache;
    tc_train_options o;
    tc_buf want; /* the model of the run that the others must equal */
} runs;

/* The rig's pictures are of one gray, on which crops do not show. */
static void make_pictures(const rig *r) {
    char *pairs = rig_path(r, "pairs");
    tc_rng rng = tc_rng_make(7, 7, 7);
    for (int i = 0; i < RIG_PAIRS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%02d.bmp", i);
        tc_buf b = rig_bytes(pairs, name);
        for (size_t k = 54; k < b.size; k++) b.data[k] = (char)tc_rng_below(&rng, 256);
        scratch_file(pairs, name, b.data, b.size);
        tc_buf_free(&b);
    }
    free(pairs);
}

/* Four and a half epochs of 12 in batches of 5, on crops and mirror images. */
static void runs_open(runs *x) {
    rig_open(&x->r);
    make_pictures(&x->r);
    x->out = rig_path(&x->r, "out");
    x->cache = rig_path(&x->r, "cache");
    x->want = (tc_buf){0};
    x->o = rig_options(&x->r, x->out);
    x->o.teacher = x->r.teacher;
    x->o.logit_scale = 50;
    x->o.alpha = 0.8;
    x->o.steps = 11;
    x->o.cache_augmentations = 2;
    x->o.teacher_cache = x->cache;
}

static void runs_close(runs *x) {
    tc_buf_free(&x->want);
    free(x->out);
    free(x->cache);
    rig_close(&x->r);
}

/* A run whose model is the one wanted, or the first. What it told is in *told. */
static void expect_same_run(runs *x, const char *what, rig_log *told) {
    *told = (rig_log){0};
    x->o.log = rig_listen;
    x->o.log_user = told;
    rig_train(&x->o, NULL);
    x->o.log = NULL;
    if (!x->want.data) x->want = rig_bytes(x->out, MODEL);
    if (!rig_same(&x->want, x->out, MODEL)) fail_msg("%s: another model", what);
    rig_remove(x->out);
}

/* The same, and what it told does not matter. */
static void same_run(runs *x, const char *what) {
    rig_log told;
    expect_same_run(x, what, &told);
    tc_buf_free(&told.text);
}

static void expect_counts(const rig_log *told, int found, int computed) {
    char line[80];
    snprintf(line, sizeof line, "teacher cache: %d pairs taken from it, %d computed\n", found, computed);
    if (!strstr(told->text.data, line)) fail_msg("'%s' does not say: %s", told->text.data, line);
}

/* With any number of augmentations a run is the same without the cache, with an empty one, a full one, and
 * one of which some rows are damaged. */
static void same_model_whatever_is_in_it(void **state) {
    (void)state;
    runs x;
    rig_log told;
    runs_open(&x);
    tc_buf previous = {0};
    for (int a = 1; a <= 5; a += 2) {
        x.o.cache_augmentations = a;
        x.o.teacher_cache = NULL;
        tc_buf_free(&x.want);
        same_run(&x, "without");
        x.o.teacher_cache = x.cache;
        expect_same_run(&x, "empty", &told);
        /* 55 pairs are 4 epochs and 7 pairs of a fifth. */
        int computed = a == 5 ? 55 : a * RIG_PAIRS;
        assert_non_null(strstr(told.text.data, "/cache/teacher.cache, up to "));
        assert_non_null(strstr(told.text.data, "teacher cache: "));
        char tail[40];
        snprintf(tail, sizeof tail, " %d computed\n", computed);
        assert_non_null(strstr(told.text.data, tail));
        tc_buf_free(&told.text);
        expect_same_run(&x, "full", &told);
        expect_counts(&told, 55, 0);
        tc_buf_free(&told.text);
        tc_buf b = rig_bytes(x.cache, FILE_NAME);
        for (size_t at = HEADER + 20; at < b.size; at += 300) b.data[at] ^= 16;
        scratch_file(x.cache, FILE_NAME, b.data, b.size);
        expect_same_run(&x, "damaged", &told);
        assert_non_null(strstr(told.text.data, " damaged rows computed again\n"));
        tc_buf_free(&told.text);
        tc_buf_free(&b);
        /* The number of augmentations matters, or these runs would show nothing. */
        if (previous.data)
            assert_false(previous.size == x.want.size &&
                         memcmp(previous.data, x.want.data, previous.size) == 0);
        tc_buf_free(&previous);
        previous = x.want;
        x.want = (tc_buf){0};
        rig_remove(x.cache);
    }
    /* With as many augmentations as epochs it is the run that has a new one in each. */
    x.want = previous;
    x.o.cache_augmentations = 0;
    x.o.teacher_cache = NULL;
    same_run(&x, "none");
    runs_close(&x);
}

/* Stopped after every few steps; in the end the cache is the undisturbed run's too. */
static void same_model_when_stopped(void **state) {
    (void)state;
    runs x;
    runs_open(&x);
    same_run(&x, "whole");
    tc_buf whole = rig_bytes(x.cache, FILE_NAME);
    rig_remove(x.cache);
    for (x.o.stop_after = 1; x.o.stop_after < 6; x.o.stop_after++) {
        x.o.resume = false;
        while (rig_train(&x.o, NULL).steps < x.o.steps) x.o.resume = true;
        assert_true(rig_same(&x.want, x.out, MODEL));
        assert_true(rig_same(&whole, x.cache, FILE_NAME));
        rig_remove(x.out);
        rig_remove(x.cache);
    }
    tc_buf_free(&whole);
    runs_close(&x);
}

/* A child that is killed at one of its writes to the cache, before it or in its middle; then the run goes on,
 * from a checkpoint if there is one. */
static void same_model_when_killed(void **state) {
    (void)state;
    runs x;
    rig_log told;
    runs_open(&x);
    x.o.checkpoint_every = 2;
    arm(FAULT_NONE, 0);
    expect_same_run(&x, "whole", &told);
    int writes = disarm(), resumed = 0;
    tc_buf_free(&told.text);
    assert_int_equal(writes, 1 + 2 * RIG_PAIRS); /* the header and the rows */
    tc_buf whole = rig_bytes(x.cache, FILE_NAME);
    rig_remove(x.cache);
    for (int at = 0; at < writes; at++)
        for (fault_kind kind = FAULT_KILL; kind <= FAULT_KILL_HALF; kind++) {
            /* half a header is refused: see test_teacher_cache.c */
            if (at == 0 && kind == FAULT_KILL_HALF) continue;
            fflush(stdout);
            pid_t child = fork();
            if (child == 0) {
                arm(kind, at);
                _exit(tc_train(&x.o, NULL, NULL, NULL));
            }
            int status;
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
            x.o.resume = tc_checkpoint_exists(x.out);
            resumed += x.o.resume;
            rig_train(&x.o, NULL);
            if (!rig_same(&x.want, x.out, MODEL) || !rig_same(&whole, x.cache, FILE_NAME))
                fail_msg("killed at write %d (%d)", at, kind);
            x.o.resume = false;
            rig_remove(x.out);
            rig_remove(x.cache);
        }
    assert_true(resumed > 10);
    tc_buf_free(&whole);
    runs_close(&x);
}

/* A full disk ends the run with an error that names the file; with room again it goes on. */
static void no_room_while_it_is_filled(void **state) {
    (void)state;
    runs x;
    runs_open(&x);
    x.o.checkpoint_every = 2;
    same_run(&x, "whole");
    rig_remove(x.cache);
    arm(FAULT_FULL, 18);
    rig_refused(&x.o, TC_EIO, "/cache/teacher.cache: cannot write: No space left on device");
    disarm();
    x.o.resume = true;
    same_run(&x, "resumed");
    rig_remove(x.cache);
    x.o.resume = false;
    arm(FAULT_FULL, 0);
    rig_refused(&x.o, TC_EIO, "/cache/teacher.cache: cannot write: No space left on device");
    disarm();
    rig_remove(x.out);
    char *path = tc_path_join(x.cache, FILE_NAME);
    assert_false(tc_path_exists(path));
    free(path);
    runs_close(&x);
}

/* A picture that cannot be read has no row, and changes no other's. */
static void same_model_with_bad_samples(void **state) {
    (void)state;
    runs x;
    rig_log told;
    runs_open(&x);
    char *pairs = rig_path(&x.r, "pairs");
    for (int i = 2; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "%02d.bmp", i);
        scratch_text(pairs, name, "no picture");
    }
    rig_open_data(&x.r, "pairs");
    x.o.data = x.r.data;
    x.o.teacher_cache = NULL;
    same_run(&x, "without");
    x.o.teacher_cache = x.cache;
    same_run(&x, "empty");
    expect_same_run(&x, "full", &told);
    assert_non_null(strstr(told.text.data, " pairs taken from it, 0 computed\n"));
    tc_buf_free(&told.text);
    free(pairs);
    runs_close(&x);
}

/* A ResNet's features depend in their last bits on the batch that they are computed in, here of two threads.
 */
static void same_model_from_a_resnet(void **state) {
    (void)state;
    runs x;
    rig_log told;
    runs_open(&x);
    tc_config c;
    json_t *json = json_pack("{s:i, s:{s:i, s:[i,i,i,i], s:i, s:i}, s:{s:i, s:i, s:i, s:i, s:i}}",
                             "embed_dim", 8, "vision_cfg", "image_size", 32, "layers", 1, 1, 1, 1, "width", 8,
                             "head_width", 16, "text_cfg", "context_length", RIG_CONTEXT, "vocab_size",
                             RIG_IDS, "width", 16, "heads", 2, "layers", 1);
    rig_or_die(tc_config_parse(&c, json, "test", NULL), &(tc_error){0}, "configuration");
    json_decref(json);
    tc_model_close(&x.r.teacher);
    assert_int_equal(tc_model_random(&x.r.teacher, &c, 2, NULL), TC_OK);
    tc_model_close(&x.r.start);
    x.r.start = rig_model(1, 16, 32, 1);
    x.o.teacher = x.r.teacher;
    x.o.init = x.r.start;
    x.o.preprocess = tc_preprocess_default(32);
    tc_set_threads(2);
    same_run(&x, "empty");
    expect_same_run(&x, "full", &told);
    expect_counts(&told, 55, 0);
    tc_buf_free(&told.text);
    for (x.o.stop_after = 1; x.o.stop_after < 4; x.o.stop_after++) {
        rig_remove(x.cache);
        x.o.resume = false;
        while (rig_train(&x.o, NULL).steps < x.o.steps) x.o.resume = true;
        assert_true(rig_same(&x.want, x.out, MODEL));
        rig_remove(x.out);
    }
    tc_set_threads(1);
    runs_close(&x);
}

/* Masks that are learnt and folded in the run: the features serve the large student and the small one. */
static void same_model_across_a_fold(void **state) {
    (void)state;
    runs x;
    runs_open(&x);
    tc_mask_options masks = tc_mask_options_default();
    masks.keep = 0.6;
    masks.fold_step = 5;
    masks.lr = 0.5;
    x.o.masks = &masks;
    x.o.teacher_cache = NULL;
    rig_train(&x.o, NULL);
    x.want = rig_bytes(x.out, "model.safetensors");
    rig_remove(x.out);
    x.o.teacher_cache = x.cache;
    for (int full = 0; full <= 1; full++) {
        rig_train(&x.o, NULL);
        if (!rig_same(&x.want, x.out, "model.safetensors"))
            fail_msg("the cache was %s: another model", full ? "full" : "empty");
        rig_remove(x.out);
    }
    for (x.o.stop_after = 1; x.o.stop_after < 6; x.o.stop_after += 2) {
        rig_remove(x.cache);
        x.o.resume = false;
        while (rig_train(&x.o, NULL).steps < x.o.steps) x.o.resume = true;
        if (!rig_same(&x.want, x.out, "model.safetensors"))
            fail_msg("stopped every %d steps: another model", (int)x.o.stop_after);
        rig_remove(x.out);
    }
    runs_close(&x);
}

/* The teacher's weights are prepared when a row is missing, not before. */
static void a_full_cache_needs_no_teacher(void **state) {
    (void)state;
    runs x;
    runs_open(&x);
    same_run(&x, "empty");
    assert_true(x.r.teacher->ready[TC_TOWER_VISION] && x.r.teacher->ready[TC_TOWER_TEXT]);
    tc_model *again = rig_model(2, 24, RIG_SIDE, 2);
    x.o.teacher = again;
    same_run(&x, "full");
    assert_false(again->ready[TC_TOWER_VISION] || again->ready[TC_TOWER_TEXT]);
    tc_model_close(&again);
    runs_close(&x);
}

/* If neither crop nor flip nor template is random, one row a sample is all, and the seed does not matter. */
static void nothing_random(void **state) {
    (void)state;
    runs x;
    rig_log told;
    runs_open(&x);
    x.o.crop_scale_min = 1;
    x.o.flip = false;
    x.o.cache_augmentations = 7;
    same_run(&x, "empty");
    tc_buf b = rig_bytes(x.cache, FILE_NAME);
    assert_int_equal(b.size, HEADER + RIG_PAIRS * (2 * 8 * 4 + 8));
    tc_buf_free(&b);
    x.o.seed++;
    tc_buf_free(&x.want);
    expect_same_run(&x, "another seed", &told);
    expect_counts(&told, 55, 0);
    tc_buf_free(&told.text);
    x.o.teacher_cache = NULL;
    same_run(&x, "another seed, without");
    runs_close(&x);
}

/* Each setting that a feature depends on, changed alone; nothing is computed or logged. What it does not
 * depend on may change. */
static void stale_caches_are_refused(void **state) {
    (void)state;
    runs x;
    runs_open(&x);
    same_run(&x, "empty");
    const tc_train_options good = x.o;
    tc_buf before = rig_bytes(x.cache, FILE_NAME);
    tc_model *other_weights = rig_model(2, 24, RIG_SIDE, 3), *other_config = rig_model(1, 24, RIG_SIDE, 2),
             *short_texts = NULL;
    tc_config c = rig_config(1, 16, RIG_SIDE);
    c.context_length--;
    assert_int_equal(tc_model_random(&short_texts, &c, 1, NULL), TC_OK);
    tc_tokenizer *other_kind;
    assert_int_equal(tc_tokenizer_open(&other_kind, x.r.dir, TC_TOKENIZER_HF, NULL), TC_OK);
    tc_train_options *o = &x.o;
#define REFUSED(change, says) \
    *o = good;                \
    change;                   \
    rig_refused(o, TC_EARG, says)
    REFUSED(o->teacher = other_weights,
            "teacher.cache: the teacher cache belongs to another teacher (its weights differ): ");
    REFUSED(o->teacher = other_config, "another teacher (its configuration differs)");
    REFUSED(o->init = short_texts, "another context length: 10 there, 9 here");
    REFUSED(o->tokenizer = other_kind, "another tokenizer");
    REFUSED(o->preprocess.mean[1] += 0.125f, "another preprocessing");
    REFUSED(o->preprocess.order = TC_IMAGE_HF, "another preprocessing");
    REFUSED(o->crop_scale_min = 0.75, "another smallest crop: 0.5 there, 0.75 here");
    REFUSED(o->flip = false, "another choice of mirroring: on there, off here");
    REFUSED(o->cache_augmentations = 3, "another number of augmentations: 2 there, 3 here");
    REFUSED(o->seed = 4, "another seed: 3 there, 4 here");
    char *pairs = rig_path(&x.r, "pairs"), *log = tc_path_join(x.out, "log.jsonl");
    scratch_text(pairs, "03.txt", "other");
    REFUSED(o->workers = 1, "another set of data");
    scratch_bmp(pairs, "99.bmp", RIG_SIDE, 1);
    scratch_text(pairs, "99.txt", "one more");
    rig_open_data(&x.r, "pairs");
    REFUSED(o->data = x.r.data, "another number of samples: 12 there, 13 here");
    REFUSED(o->teacher = NULL, "a cache of the teacher's features needs a teacher");
    REFUSED(o->cache_augmentations = 0, "needs a number of augmentations");
    REFUSED(o->cache_augmentations = -1,
            "training: cache_augmentations must be a whole number from 0 to 65536");
    REFUSED(o->teacher_cache = "", "needs a folder");
#undef REFUSED
    assert_false(tc_path_exists(log));
    assert_true(rig_same(&before, x.cache, FILE_NAME));
    tc_buf_free(&before);
    tc_model_close(&other_weights);
    tc_model_close(&other_config);
    tc_model_close(&short_texts);
    tc_tokenizer_close(&other_kind);
    free(pairs);
    free(log);
    runs_close(&x);
}

/* Other batches, rates and steps use the same features; a resumed run must have the same augmentations. */
static void what_may_change(void **state) {
    (void)state;
    runs x;
    rig_log told;
    runs_open(&x);
    same_run(&x, "empty");
    x.o.batch = 4;
    x.o.lr = 1e-3;
    x.o.steps = 5;
    x.o.alpha = 1;
    x.o.teacher_cache = NULL;
    tc_buf_free(&x.want);
    same_run(&x, "without");
    x.o.teacher_cache = x.cache;
    expect_same_run(&x, "full", &told);
    expect_counts(&told, 20, 0);
    tc_buf_free(&told.text);
    x.o.stop_after = 2;
    rig_train(&x.o, NULL);
    x.o.resume = true;
    x.o.cache_augmentations = 3;
    char *other = rig_path(&x.r, "other");
    x.o.teacher_cache = other;
    rig_refused(&x.o, TC_EARG, "cannot resume with other settings: cache_augmentations was 2 and is now 3");
    x.o.cache_augmentations = 2;
    x.o.teacher_cache = NULL;
    rig_refused(&x.o, TC_EARG, "cannot resume with other settings: teacher_cache was true and is now false");
    free(other);
    runs_close(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_model_whatever_is_in_it),
        cmocka_unit_test(same_model_when_stopped),
        cmocka_unit_test(same_model_when_killed),
        cmocka_unit_test(no_room_while_it_is_filled),
        cmocka_unit_test(same_model_with_bad_samples),
        cmocka_unit_test(same_model_from_a_resnet),
        cmocka_unit_test(same_model_across_a_fold),
        cmocka_unit_test(a_full_cache_needs_no_teacher),
        cmocka_unit_test(nothing_random),
        cmocka_unit_test(stale_caches_are_refused),
        cmocka_unit_test(what_may_change),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    tc_set_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
