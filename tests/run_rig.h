/* run_rig.h - whole training runs in tests, over the pictures of train_rig.h: what must succeed, what must be
 * refused, and that a run which is stopped or killed and gone on with ends as one that never was. `model` is
 * the file of the result within the folder of a run. */
#ifndef TC_RUN_RIG_H
#define TC_RUN_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train_rig.h"

#include <signal.h>
#include <sys/wait.h>

/* m may be NULL. */
static inline tc_train_result rig_train(const tc_train_options *o, tc_model **m) {
    tc_train_result r;
    tc_error err;
    if (tc_train(o, m, &r, &err) != TC_OK) fail_msg("%s", err.message);
    return r;
}

/* Fails, the message holds `says`, and nothing is given. */
static inline void rig_refused(const tc_train_options *o, tc_status status, const char *says) {
    tc_train_result r = {.steps = -7};
    tc_model *m = NULL;
    tc_error err = {0};
    tc_status got = tc_train(o, &m, &r, &err);
    if (got != status || !strstr(err.message, says))
        fail_msg("expected '%s' (%d), got '%s' (%d)", says, status, err.message, got);
    assert_null(m);
    assert_int_equal(r.steps, -7);
}

/* The run stopped after every `stride` steps and gone on with; its result. */
static inline tc_train_result rig_train_in_parts(const tc_train_options *options, const char *model,
                                                 int64_t stride) {
    tc_train_options o = *options;
    char *path = tc_path_join(o.out, model);
    o.stop_after = stride;
    tc_train_result r = rig_train(&o, NULL);
    assert_int_equal(r.steps, stride < o.steps ? stride : o.steps);
    for (o.resume = true; r.steps < o.steps;) {
        assert_false(tc_path_exists(path)); /* only a finished run leaves one */
        int64_t before = r.steps;
        r = rig_train(&o, NULL);
        assert_true(r.steps == before + stride || r.steps == o.steps);
    }
    free(path);
    return r;
}

/* The undisturbed run against those with stops after every 1, 2, .. steps; the final model and the final
 * checkpoint are compared byte by byte. */
static inline void rig_check_parts(const rig *r, const tc_train_options *options, const char *model) {
    tc_train_options o = *options;
    char *whole = rig_path(r, "whole"), *parts = rig_path(r, "parts"), last[64];
    o.out = whole;
    tc_train_result want = rig_train(&o, NULL);
    snprintf(last, sizeof last, "checkpoint-%012lld.safetensors", (long long)o.steps);
    tc_buf weights = rig_bytes(whole, model), state = rig_bytes(whole, last);
    o.out = parts;
    for (int64_t stride = 1; stride < o.steps; stride++) {
        tc_train_result got = rig_train_in_parts(&o, model, stride);
        if (!rig_same(&weights, parts, model) || !rig_same(&state, parts, last))
            fail_msg("stopped after every %d steps", (int)stride);
        assert_int_equal(got.skipped_steps, want.skipped_steps);
        assert_int_equal(got.skipped_samples, want.skipped_samples);
        assert_true(got.final_loss == want.final_loss);
        rig_remove(parts);
    }
    /* Not all runs are the same. */
    o.seed++;
    rig_train(&o, NULL);
    assert_false(rig_same(&weights, parts, model));
    rig_remove(parts);
    rig_remove(whole);
    tc_buf_free(&weights);
    tc_buf_free(&state);
    free(whole);
    free(parts);
}

/* The run in a child, killed after a random part of `most` seconds and gone on with by the next one, `kills`
 * times. Gives how often it was still running. */
static inline int rig_kill_at_random(const tc_train_options *options, int kills, double most) {
    tc_train_options o = *options;
    tc_rng rng = tc_rng_make((uint64_t)getpid(), 0, 0);
    int killed = 0;
    printf("# seed %ld\n", (long)getpid());
    for (int i = 0; i < kills; i++) {
        int status;
        o.resume = tc_checkpoint_exists(o.out);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) _exit(tc_train(&o, NULL, NULL, NULL));
        usleep((useconds_t)(1e6 * most * tc_rng_uniform(&rng)));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), TC_OK);
        killed += WIFSIGNALED(status);
    }
    assert_true(killed > 0);
    return killed;
}

#endif
