/* test_checkpoint.c - no checkpoint is lost: writes, syncs and renames that fail or never return, truncated
 * and changed files, two runs on one folder, another configuration.
 *
 * The program is linked with --wrap for the calls by which files are written (see tests.mk): each call of a
 * run that is armed has a number, and the one that is chosen fails, or kills the process. Files are not
 * really synced, since only a loss of power would show the difference. Everything runs on one thread, so that
 * forked children can go on. */
#include "run_rig.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

#define MODEL "model/model.safetensors"

/* ---- calls that fail */

typedef enum fault_kind {
    FAULT_NONE,
    FAULT_EIO,
    FAULT_ENOSPC,
    FAULT_SHORT,
    FAULT_FULL,
    FAULT_KILL,
    FAULT_KILL_HALF,
    FAULT_KINDS
} fault_kind;
static const char *const fault_names[] = {
    "none", "EIO", "ENOSPC", "short write", "full from here on", "kill -9 before", "kill -9 in the middle"};

static struct {
    bool armed;
    fault_kind kind;
    int at, count;     /* of the calls since arming, from 0 */
    char last[4096];   /* the last checkpoint that was renamed to its name */
    FILE *writing[16]; /* files opened for writing: others are not looked at */
} fault;
static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;

FILE *__real_fopen(const char *path, const char *mode);
size_t __real_fwrite(const void *data, size_t size, size_t n, FILE *f);
int __real_fflush(FILE *f);
int __real_fclose(FILE *f);
int __real_rename(const char *from, const char *to);
FILE *__wrap_fopen(const char *path, const char *mode);
size_t __wrap_fwrite(const void *data, size_t size, size_t n, FILE *f);
int __wrap_fflush(FILE *f);
int __wrap_fclose(FILE *f);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

static void arm(fault_kind kind, int at) {
    fault.kind = kind;
    fault.at = at;
    fault.count = 0;
    fault.last[0] = 0;
    fault.armed = true;
}

/* The number of calls. */
static int disarm(void) {
    fault.armed = false;
    return fault.count;
}

/* Whether this call is to fail; errno is set. */
static bool fails(void) {
    int number = fault.count++;
    if (fault.kind == FAULT_NONE || number < fault.at || (number > fault.at && fault.kind != FAULT_FULL))
        return false;
    if (fault.kind == FAULT_KILL) raise(SIGKILL);
    errno = fault.kind == FAULT_EIO ? EIO : ENOSPC;
    return true;
}

/* The place of a file that is being written, or of NULL; -1: there is none. */
static int place_of(FILE *f) {
    for (int i = 0; i < 16; i++)
        if (fault.writing[i] == f) return i;
    return -1;
}

static bool is_writing(FILE *f, bool forget) {
    pthread_mutex_lock(&fault_lock);
    int i = f ? place_of(f) : -1;
    if (i >= 0 && forget) fault.writing[i] = NULL;
    pthread_mutex_unlock(&fault_lock);
    return i >= 0;
}

FILE *__wrap_fopen(const char *path, const char *mode) {
    if (!fault.armed || *mode == 'r') return __real_fopen(path, mode);
    if (fails()) return NULL;
    FILE *f = __real_fopen(path, mode);
    if (!f || *mode != 'w') return f;
    pthread_mutex_lock(&fault_lock);
    fault.writing[place_of(NULL)] = f;
    pthread_mutex_unlock(&fault_lock);
    return f;
}

size_t __wrap_fwrite(const void *data, size_t size, size_t n, FILE *f) {
    if (!fault.armed || !is_writing(f, false) || !fails()) return __real_fwrite(data, size, n, f);
    if (fault.kind == FAULT_SHORT || fault.kind == FAULT_KILL_HALF) n = __real_fwrite(data, size, n / 2, f);
    else n = 0;
    if (fault.kind == FAULT_KILL_HALF) {
        __real_fflush(f);
        raise(SIGKILL);
    }
    return n;
}

int __wrap_fflush(FILE *f) {
    if (!fault.armed || !is_writing(f, false) || !fails()) return __real_fflush(f);
    if (fault.kind == FAULT_KILL_HALF) raise(SIGKILL);
    return EOF;
}

int __wrap_fclose(FILE *f) {
    if (!fault.armed || !is_writing(f, true)) return __real_fclose(f);
    bool fail = fails();
    int error = errno, result = __real_fclose(f);
    errno = error;
    return fail ? EOF : result;
}

int __wrap_fsync(int fd) {
    (void)fd;
    return fault.armed && fails() ? -1 : 0;
}

int __wrap_rename(const char *from, const char *to) {
    if (!fault.armed) return __real_rename(from, to);
    if (fails() && fault.kind != FAULT_KILL_HALF) return -1;
    int result = __real_rename(from, to);
    if (result == 0 && strstr(to, "/checkpoint-")) snprintf(fault.last, sizeof fault.last, "%s", to);
    if (fault.kind == FAULT_KILL_HALF && fault.count == fault.at + 1) raise(SIGKILL);
    return result;
}

/* ---- what lies in a folder */

static int count_entries(const char *dir, const char *part) {
    int n = 0;
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));) n += strstr(e->d_name, part) != NULL;
    if (d) closedir(d);
    return n;
}

static void expect_no_temporaries(const char *out) {
    char *model = tc_path_join(out, "model");
    assert_int_equal(count_entries(out, ".tmp-") + count_entries(model, ".tmp-"), 0);
    free(model);
}

/* Resumes if there is anything to resume from, as a user would; the result must be the undisturbed run's. */
static void expect_same_end(const tc_train_options *options, const tc_buf *want, const char *what) {
    tc_train_options o = *options;
    tc_error err;
    o.resume = tc_checkpoint_exists(o.out);
    o.stop_after = 0;
    if (tc_train(&o, NULL, NULL, &err) != TC_OK) fail_msg("%s: %s", what, err.message);
    if (!rig_same(want, o.out, MODEL)) fail_msg("%s: another result", what);
    expect_no_temporaries(o.out);
    tc_buf log = rig_bytes(o.out, "log.jsonl");
    int lines = 0;
    for (const char *p = log.data; (p = strchr(p, '\n')); p++) lines++;
    if (lines != (int)o.steps) fail_msg("%s: %d lines in the log", what, lines);
    tc_buf_free(&log);
}

/* ---- a run with a checkpoint after every step */

static tc_train_options faulty_options(const rig *r, const char *out) {
    tc_train_options o = rig_options(r, out);
    o.steps = 3;
    o.checkpoint_every = 1;
    o.workers = 1;
    return o;
}

/* The undisturbed run: its model, and the number of calls. */
static tc_buf undisturbed(const tc_train_options *o, int *calls) {
    tc_error err;
    arm(FAULT_NONE, 0);
    tc_status status = tc_train(o, NULL, NULL, &err);
    *calls = disarm();
    rig_or_die(status, &err, "undisturbed run");
    tc_buf model = rig_bytes(o->out, MODEL);
    rig_remove(o->out);
    return model;
}

static void every_call_may_fail(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out"), what[128];
    const tc_train_options o = faulty_options(&r, out);
    int calls;
    tc_buf model = undisturbed(&o, &calls);
    assert_in_range(calls, 40, 1000); /* 3 checkpoints and a model of several files */
    for (fault_kind kind = FAULT_EIO; kind <= FAULT_FULL; kind++)
        for (int at = 0; at < calls; at++) {
            tc_error err = {0};
            snprintf(what, sizeof what, "%s at call %d", fault_names[kind], at);
            arm(kind, at);
            tc_status status = tc_train(&o, NULL, NULL, &err);
            disarm();
            if (status != TC_EIO || !tc_starts_with(err.message, out) ||
                !strstr(err.message, strerror(kind == FAULT_EIO ? EIO : ENOSPC)))
                fail_msg("%s: %d '%s'", what, status, err.message);
            expect_no_temporaries(out);
            if (fault.last[0] && !tc_path_exists(fault.last)) fail_msg("%s: %s is lost", what, fault.last);
            if (!fault.last[0]) assert_false(tc_checkpoint_exists(out));
            expect_same_end(&o, &model, what);
            rig_remove(out);
        }
    tc_buf_free(&model);
    free(out);
    rig_close(&r);
}

/* Runs in a child; what it ended with. */
static int run_in_child(const tc_train_options *o, fault_kind kind, int at) {
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        arm(kind, at);
        _exit(tc_train(o, NULL, NULL, NULL));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void killed_at_every_call(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out"), what[128];
    const tc_train_options o = faulty_options(&r, out);
    int calls, killed = 0;
    tc_buf model = undisturbed(&o, &calls);
    for (fault_kind kind = FAULT_KILL; kind <= FAULT_KILL_HALF; kind++)
        for (int at = 0; at < calls; at++) {
            snprintf(what, sizeof what, "%s call %d", fault_names[kind], at);
            int status = run_in_child(&o, kind, at);
            killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
            expect_same_end(&o, &model, what);
            rig_remove(out);
        }
    assert_true(killed >= calls); /* at every call once; fsync and fclose have no middle */
    tc_buf_free(&model);
    free(out);
    rig_close(&r);
}

/* A run that is killed again and again, whenever it may be, still comes to the same end. */
static void killed_at_random(void **state) {
    (void)state;
    enum { KILLS = 24 };
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    tc_train_options o = faulty_options(&r, out);
    int calls;
    o.steps = 150;
    o.teacher = r.teacher;
    o.alpha = 0.5;
    double start = tc_now();
    tc_buf model = undisturbed(&o, &calls);
    double spent = tc_now() - start;
    int killed = rig_kill_at_random(&o, KILLS, 2 * spent / KILLS);
    printf("# killed %d times, %d files of half a save left behind\n", killed, count_entries(out, ".tmp-"));
    expect_same_end(&o, &model, "killed at random");
    tc_buf_free(&model);
    free(out);
    rig_close(&r);
}

/* A limit on the size of files instead of a full disk: the log is what reaches it first. */
static void log_that_cannot_be_written(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out"), *path = rig_path(&r, "message");
    tc_train_options o = rig_options(&r, out);
    o.stop_after = 1;
    assert_int_equal(tc_train(&o, NULL, NULL, NULL), TC_OK);
    tc_buf checkpoint = rig_bytes(out, "checkpoint-000000000001.safetensors");
    rig_remove(out);
    o.stop_after = 0;
    o.steps = (int64_t)checkpoint.size / 50;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        tc_error err = {0};
        struct rlimit limit = {checkpoint.size + 1024, checkpoint.size + 1024};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(100);
        tc_status status = tc_train(&o, NULL, NULL, &err);
        tc_file_write(path, err.message, strlen(err.message), NULL);
        _exit(status);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), TC_EIO);
    tc_buf message = rig_bytes(r.dir, "message");
    assert_true(tc_starts_with(message.data, out));
    assert_non_null(strstr(message.data, "/log.jsonl: cannot write: File too large"));
    /* What was trained till then is kept. */
    assert_int_equal(count_entries(out, "checkpoint-"), 1);
    tc_buf_free(&message);
    tc_buf_free(&checkpoint);
    free(path);
    free(out);
    rig_close(&r);
}

/* ---- damage */

typedef struct damage {
    rig r;
    char *newest, *before, *older_name;
    tc_buf bytes;          /* of the newest */
    tc_trainer *t, *fresh; /* fresh: what was never loaded into */
    const char *settings;
} damage;

static tc_trainer *make_trainer(uint64_t seed) {
    tc_trainer *t;
    tc_error err;
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 1e-2, .steps = 100},
                  .beta1 = 0.9,
                  .beta2 = 0.98,
                  .eps = 1e-6,
                  .weight = 1};
    tc_model *m = rig_model(1, 8, RIG_SIDE, seed);
    rig_or_die(tc_trainer_create(&t, &m, NULL, &h, &err), &err, "trainer");
    return t;
}

static void fill(tc_trainer *t, uint64_t seed) {
    tc_rng rng = tc_rng_make(seed, 0, 0);
    tc_real *all[] = {t->student->flat, t->m, t->v};
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < t->student->params.total; i++) all[k][i] = (tc_real)tc_rng_normal(&rng);
    t->step = (int64_t)seed;
    t->skipped = (int64_t)seed / 2;
    t->skipped_in_a_row = 1;
    t->bad_samples = (int64_t)seed + 1;
}

static bool same_state(const tc_trainer *a, const tc_trainer *b) {
    size_t bytes = (size_t)a->student->params.total * sizeof(tc_real);
    return memcmp(a->student->flat, b->student->flat, bytes) == 0 && memcmp(a->m, b->m, bytes) == 0 &&
           memcmp(a->v, b->v, bytes) == 0 && a->step == b->step && a->skipped == b->skipped &&
           a->skipped_in_a_row == b->skipped_in_a_row && a->bad_samples == b->bad_samples;
}

static const char settings_text[] = "{\"lr\":0.01,\"model\":{\"layers\":1,\"vision\":{\"width\":8}}}";

/* Checkpoints of steps 6 and 8 with random contents. */
static void damage_open(damage *d) {
    tc_error err;
    *d = (damage){.settings = settings_text};
    rig_open(&d->r);
    d->t = make_trainer(1);
    d->fresh = make_trainer(1);
    for (uint64_t step = 6; step <= 8; step += 2) {
        fill(d->t, step);
        rig_or_die(tc_checkpoint_save(d->t, d->r.dir, d->settings, &err), &err, "checkpoint");
    }
    d->newest = rig_path(&d->r, "checkpoint-000000000008.safetensors");
    d->before = rig_path(&d->r, "checkpoint-000000000006.safetensors");
    d->bytes = rig_bytes(d->r.dir, "checkpoint-000000000008.safetensors");
}

static void damage_close(damage *d) {
    tc_trainer_free(&d->t);
    tc_trainer_free(&d->fresh);
    tc_buf_free(&d->bytes);
    free(d->newest);
    free(d->before);
    rig_close(&d->r);
}

/* Whatever was done to the newest, it is passed over, said so, and the one before is loaded whole. */
static void expect_fallback(damage *d, const char *what, size_t at) {
    rig_log told = {0};
    tc_log log = {rig_listen, &told};
    tc_error err = {0};
    tc_trainer *want = d->fresh;
    fill(want, 6);
    fill(d->t, 99);
    if (tc_checkpoint_load(d->t, d->r.dir, d->settings, &log, &err) != TC_OK)
        fail_msg("%s at %zu: %s", what, at, err.message);
    if (!same_state(d->t, want)) fail_msg("%s at %zu: not the state of the one before", what, at);
    if (told.warnings != 1 || !tc_starts_with(told.text.data, d->newest) ||
        !strstr(told.text.data, "trying the one before"))
        fail_msg("%s at %zu: told '%s'", what, at, told.text.data);
    assert_true(
        d->t->student->info.logit_scale ==
        (float)d->t->student->flat[d->t->student->params.items[d->t->student->params.count - 1].offset]);
    tc_buf_free(&told.text);
}

static void overwrite(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static size_t header_size(const damage *d) {
    uint64_t n;
    memcpy(&n, d->bytes.data, 8);
    return 8 + (size_t)n;
}

static void whole_checkpoints_load(void **state) {
    (void)state;
    damage d;
    damage_open(&d);
    fill(d.fresh, 8);
    fill(d.t, 99);
    assert_int_equal(tc_checkpoint_load(d.t, d.r.dir, d.settings, NULL, NULL), TC_OK);
    assert_true(same_state(d.t, d.fresh));
    damage_close(&d);
}

static void truncated_anywhere(void **state) {
    (void)state;
    damage d;
    damage_open(&d);
    size_t head = header_size(&d);
    for (size_t at = 0; at < d.bytes.size; at += at < head + 64 || at + 64 > d.bytes.size ? 1 : 97) {
        overwrite(d.newest, d.bytes.data, at);
        expect_fallback(&d, "truncated", at);
    }
    d.bytes.data[d.bytes.size] = 'x'; /* a tc_buf has a byte behind its end */
    overwrite(d.newest, d.bytes.data, d.bytes.size + 1);
    expect_fallback(&d, "longer", d.bytes.size);
    damage_close(&d);
}

static void changed_anywhere(void **state) {
    (void)state;
    damage d;
    damage_open(&d);
    size_t head = header_size(&d);
    tc_rng rng = tc_rng_make(11, 0, 0);
    for (size_t at = 0; at < d.bytes.size; at += at < head + 64 || at + 64 > d.bytes.size ? 1 : 61) {
        char kept = d.bytes.data[at];
        d.bytes.data[at] = (char)(kept ^ 1 << tc_rng_below(&rng, 8));
        overwrite(d.newest, d.bytes.data, d.bytes.size);
        expect_fallback(&d, "a bit changed", at);
        d.bytes.data[at] = kept;
    }
    /* A hole of zeros, as a file system may leave it. */
    for (size_t at = head; at + 4096 < d.bytes.size; at += 4096) {
        char kept[4096];
        memcpy(kept, d.bytes.data + at, sizeof kept);
        memset(d.bytes.data + at, 0, sizeof kept);
        overwrite(d.newest, d.bytes.data, d.bytes.size);
        expect_fallback(&d, "zeros", at);
        memcpy(d.bytes.data + at, kept, sizeof kept);
    }
    damage_close(&d);
}

/* Not even a file that is a folder, or one that may not be read. */
static void none_valid_is_an_error(void **state) {
    (void)state;
    damage d;
    tc_error err = {0};
    damage_open(&d);
    overwrite(d.newest, d.bytes.data, d.bytes.size / 2);
    assert_int_equal(unlink(d.before), 0);
    assert_int_equal(mkdir(d.before, 0777), 0);
    fill(d.fresh, 99);
    fill(d.t, 99);
    assert_int_equal(tc_checkpoint_load(d.t, d.r.dir, d.settings, NULL, &err), TC_ESTATE);
    assert_true(tc_starts_with(err.message, d.r.dir));
    assert_non_null(strstr(err.message, "no checkpoint in it is valid"));
    assert_true(same_state(d.t, d.fresh)); /* nothing was half loaded */
    assert_int_equal(rmdir(d.before), 0);
    assert_int_equal(unlink(d.newest), 0);
    assert_int_equal(tc_checkpoint_load(d.t, d.r.dir, d.settings, NULL, &err), TC_ESTATE);
    assert_non_null(strstr(err.message, "there is no checkpoint to resume from"));
    damage_close(&d);
}

static void other_settings_are_named(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"lr\":0.02,\"model\":{\"layers\":1,\"vision\":{\"width\":8}}}", "lr was 0.01 and is now 0.02"},
        {"{\"lr\":0.01,\"model\":{\"layers\":1,\"vision\":{\"width\":16}}}",
         "model.vision.width was 8 and is now 16"},
        {"{\"lr\":0.01,\"model\":{\"layers\":2,\"vision\":{\"width\":16}}}",
         "model.layers was 1 and is now 2"},
        {"{\"lr\":0.01}", "model was {\"layers\":1,\"vision\":{\"width\":8}} and is now absent"},
        {"{\"lr\":0.01,\"seed\":1,\"model\":{\"layers\":1,\"vision\":{\"width\":8}}}",
         "seed was absent and is now 1"},
    };
    damage d;
    damage_open(&d);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_error err = {0};
        rig_log told = {0};
        tc_log log = {rig_listen, &told};
        fill(d.fresh, 99);
        fill(d.t, 99);
        assert_int_equal(tc_checkpoint_load(d.t, d.r.dir, cases[i][0], &log, &err), TC_EARG);
        if (!strstr(err.message, cases[i][1])) fail_msg("'%s' does not say: %s", err.message, cases[i][1]);
        assert_true(same_state(d.t, d.fresh));
        assert_int_equal(told.warnings, 0); /* it does not go on to the one before */
        tc_buf_free(&told.text);
    }
    /* The same settings, but a model of another size: the file cannot be this run's. */
    tc_trainer *other = NULL;
    tc_model *m = rig_model(2, 8, RIG_SIDE, 1);
    tc_hyper h = d.t->hyper;
    tc_error err = {0};
    assert_int_equal(tc_trainer_create(&other, &m, NULL, &h, NULL), TC_OK);
    assert_int_equal(tc_checkpoint_load(other, d.r.dir, d.settings, NULL, &err), TC_ESTATE);
    assert_non_null(strstr(err.message, "does not have the size of the model"));
    tc_trainer_free(&other);
    damage_close(&d);
}

/* Two are kept. A damaged one that was passed over goes with the next save, and does not push out the good
 * ones; other files stay. */
static void old_ones_are_removed(void **state) {
    (void)state;
    damage d;
    damage_open(&d);
    const char *names[] = {"checkpoint-best.safetensors", "checkpoint-12.safetensors.bak",
                           "checkpoint-.safetensors"};
    for (int i = 0; i < 3; i++) scratch_text(d.r.dir, names[i], "mine");
    overwrite(d.newest, d.bytes.data, d.bytes.size / 2);
    expect_fallback(&d, "truncated", d.bytes.size / 2);
    d.t->step = 7;
    assert_int_equal(tc_checkpoint_save(d.t, d.r.dir, d.settings, NULL), TC_OK);
    assert_false(tc_path_exists(d.newest));
    assert_true(tc_path_exists(d.before));
    for (int step = 8; step <= 12; step++) {
        d.t->step = step;
        assert_int_equal(tc_checkpoint_save(d.t, d.r.dir, d.settings, NULL), TC_OK);
        assert_int_equal(count_entries(d.r.dir, "checkpoint-0"), 2);
    }
    for (int i = 0; i < 3; i++) {
        char *path = rig_path(&d.r, names[i]);
        assert_true(tc_path_exists(path));
        free(path);
    }
    assert_int_equal(tc_checkpoint_load(d.t, d.r.dir, d.settings, NULL, NULL), TC_OK);
    assert_int_equal(d.t->step, 12);
    damage_close(&d);
}

/* ---- folders in use */

typedef struct intruder {
    const tc_train_options *o;
    int tried;
    tc_status inside; /* the same process */
    int outside;      /* another one */
    tc_error err;
} intruder;

/* Called in the middle of a run: another one on the same folder. */
static void intrude(void *user, int level, const char *line) {
    intruder *i = user;
    (void)level, (void)line;
    if (i->tried++) return;
    tc_train_options o = *i->o;
    o.log = NULL;
    i->inside = tc_train(&o, NULL, NULL, &i->err);
    o.resume = true;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(tc_train(&o, NULL, NULL, NULL));
    if (waitpid(child, &i->outside, 0) != child) i->outside = -1;
}

static void one_run_a_folder(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    tc_train_options o = rig_options(&r, out);
    tc_buf model = {0};
    assert_int_equal(tc_train(&o, NULL, NULL, NULL), TC_OK);
    model = rig_bytes(out, MODEL);
    rig_remove(out);
    intruder i = {.o = &o};
    o.log = intrude;
    o.log_user = &i;
    assert_int_equal(tc_train(&o, NULL, NULL, NULL), TC_OK);
    assert_true(i.tried > 0);
    assert_int_equal(i.inside, TC_ESTATE);
    assert_true(tc_starts_with(i.err.message, out));
    assert_non_null(strstr(i.err.message, "another training run is using this folder"));
    assert_true(WIFEXITED(i.outside) && WEXITSTATUS(i.outside) == TC_ESTATE);
    assert_true(rig_same(&model, out, MODEL));
    tc_buf_free(&model);
    free(out);
    rig_close(&r);
}

/* The same architecture with other weights is another teacher. */
static void another_teacher(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    tc_error err = {0};
    tc_train_options o = rig_options(&r, out);
    o.teacher = r.teacher;
    o.stop_after = 2;
    assert_int_equal(tc_train(&o, NULL, NULL, NULL), TC_OK);
    o.resume = true;
    tc_model *other = rig_model(2, 24, RIG_SIDE, 3);
    o.teacher = other;
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_EARG);
    assert_non_null(strstr(err.message, "cannot resume with other settings: teacher_weights was"));
    o.teacher = r.teacher;
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_OK);
    tc_model_close(&other);
    free(out);
    rig_close(&r);
}

static void folders_with_other_runs(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    char *out = rig_path(&r, "out");
    tc_error err = {0};
    tc_train_options o = rig_options(&r, out);
    o.resume = true;
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_ESTATE);
    assert_non_null(strstr(err.message, "there is no checkpoint to resume from"));
    o.resume = false;
    o.stop_after = 2;
    assert_int_equal(tc_train(&o, NULL, NULL, NULL), TC_OK);
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_EARG);
    assert_non_null(strstr(err.message, "there are checkpoints of another run in it"));
    o.resume = true;
    o.flip = false;
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_EARG);
    assert_non_null(strstr(err.message, "cannot resume with other settings: flip was true and is now false"));
    o.flip = true;
    o.teacher = r.teacher;
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_EARG);
    assert_non_null(strstr(err.message, "teacher was false and is now true"));
    o.teacher = NULL;
    tc_model_close(&r.start);
    o.init = r.start = rig_model(2, 16, RIG_SIDE, 1);
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_EARG);
    assert_non_null(strstr(err.message, "num_hidden_layers was 1 and is now 2"));
    /* A run whose checkpoints are all damaged is not begun anew in silence. */
    char *path = tc_path_join(out, "checkpoint-000000000002.safetensors");
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_ESTATE);
    o.resume = false;
    assert_int_equal(tc_train(&o, NULL, NULL, &err), TC_EARG);
    free(path);
    free(out);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_fail),      cmocka_unit_test(killed_at_every_call),
        cmocka_unit_test(killed_at_random),         cmocka_unit_test(log_that_cannot_be_written),
        cmocka_unit_test(whole_checkpoints_load),   cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(changed_anywhere),         cmocka_unit_test(none_valid_is_an_error),
        cmocka_unit_test(other_settings_are_named), cmocka_unit_test(old_ones_are_removed),
        cmocka_unit_test(one_run_a_folder),         cmocka_unit_test(another_teacher),
        cmocka_unit_test(folders_with_other_runs)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    tc_set_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
