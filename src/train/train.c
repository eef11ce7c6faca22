/* train.c - a whole training run: what it begins with, its steps, checkpoints on the way, and its end.
 *
 * What a run depends on is in its settings, its checkpoint (weights, moments, counters) and the number of the
 * next batch, from which the loader makes order and augmentation anew. So a run that was stopped or killed
 * goes on to the same weights, bit for bit, as one that never was. */
#include "train/checkpoint.h"
#include "train/lock.h"
#include "train/run_file.h"
#include "train/run_plan.h"
#include "train/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SKIPPED_IN_A_ROW = 100 };
static const double TOLD_EVERY = 0.5; /* seconds */

typedef tc_training training;

/* ---- what it begins with */

/* What a run that was killed while it wrote has left behind; the lock says that nobody is writing now. */
static void remove_temporaries(const char *out) {
    char *model = tc_path_join(out, "model");
    tc_remove_temporaries(out);
    if (model) tc_remove_temporaries(model);
    free(model);
}

/* Without a cache the teacher is made ready now; with one, when a row is missing. */
static tc_status make_teacher(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    tc_status status = TC_OK;
    for (int tower = TC_TOWER_VISION;
         tower <= TC_TOWER_TEXT && status == TC_OK && o->teacher && !o->teacher_cache; tower++)
        status = tc_model_prepare(o->teacher, tower, err);
    if (status != TC_OK || !o->teacher_cache) return status;
    tc_teacher_key key;
    const tc_teacher_use use = {.teacher = o->teacher,
                                .weights = t->teacher_hash,
                                .data = o->data,
                                .tokenizer = o->tokenizer,
                                .preprocess = &o->preprocess,
                                .context = t->trainer->student->config.context_length,
                                .crop_scale_min = o->crop_scale_min,
                                .flip = o->flip,
                                .seed = o->seed,
                                .augmentations = o->cache_augmentations};
    t->cache_rows = tc_new((size_t)o->batch, sizeof *t->cache_rows);
    if (!t->cache_rows) return tc_fail_memory(err, (size_t)o->batch * sizeof *t->cache_rows);
    status = tc_teacher_key_make(&key, &use, err);
    if (status == TC_OK) status = tc_teacher_cache_open(&t->cache, o->teacher_cache, &key, err);
    t->trainer->cache = t->cache;
    t->trainer->cache_rows = t->cache_rows;
    return status;
}

static void tell_lines(const tc_log *log, const char *text) {
    while (text && *text) {
        size_t n = strcspn(text, "\n");
        tc_log_line(log, 1, "%.*s", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static tc_status tell_beginning(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    const tc_model_info *m = &t->trainer->student->info;
    tc_buf report = {0};
    tc_status status = tc_data_check(o->data, &o->preprocess, 3, &report, err);
    if (status == TC_OK) tell_lines(&t->log, report.data);
    tc_buf_free(&report);
    if (status != TC_OK) return status;
    size_t usual, most;
    int caption = tc_training_memory(t, &usual, &most);
    tc_log_line(&t->log, 1, "student: %lld parameters (%lld without the token table); %s",
                (long long)m->params, (long long)m->params_without_tokens,
                o->teacher ? "affinity mimicking" : "contrastive loss");
    tc_auto_tell(t);
    tc_log_line(&t->log, 1, "memory: %zu MB with captions of %d tokens, at most %zu MB; %d threads",
                (usual >> 20) + 1, caption, (most >> 20) + 1, tc_threads());
    if (t->cache)
        tc_log_line(&t->log, 1,
                    "teacher cache: %s, up to %zu MB; the teacher's part of the memory is taken when "
                    "features are missing in it",
                    tc_teacher_cache_path(t->cache), (tc_teacher_cache_size(t->cache) >> 20) + 1);
    tc_log_line(&t->log, 1, "%lld steps of %d pairs (%.1f epochs)", (long long)t->steps, o->batch,
                (double)t->steps * t->epochs_per_step);
    return TC_OK;
}

/* A run that goes on says it anew only if it was started anew: with words that may tell where things are now.
 */
static tc_status note_request(const training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    if (o->resume && !o->restart && tc_run_file_exists(o->out)) return TC_OK;
    json_t *content = json_pack("{s:s}", "version", TC_VERSION), *settings = json_object();
    tc_settings_note(tc_train_setting, o, TC_SETTING_CALL, false, settings);
    json_object_set_new(content, "settings", settings);
    if (o->masks) {
        json_t *masks = json_object();
        tc_settings_note(tc_mask_setting, &t->masks, TC_SETTING_CALL, false, masks);
        json_object_set_new(content, "masks", masks);
    }
    tc_run_file_model(content, "start", o->init);
    tc_run_file_model(content, "teacher", o->teacher);
    tc_run_file_data(content, "data", o->data);
    tc_run_file_data(content, "eval_data", o->eval_data);
    return tc_run_file_write(o->out, content, o->restart, o->restart_count, err);
}

static tc_status start(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    tc_status status = tc_lock_folder(o->out, "training run", &t->lock, err);
    if (status == TC_OK) remove_temporaries(o->out);
    if (status == TC_OK) status = tc_training_trainer(t, err);
    if (status == TC_OK) status = tc_training_settings(t, err);
    if (status == TC_OK) status = make_teacher(t, err);
    if (status == TC_OK && !o->resume && tc_checkpoint_exists(o->out))
        status = tc_fail(
            err, TC_EARG,
            "%s: there are checkpoints of another run in it; resume that run or choose another folder",
            o->out);
    if (status == TC_OK && o->resume)
        status = tc_checkpoint_load(t->trainer, o->out, t->settings, &t->log, err);
    if (status == TC_OK) status = note_request(t, err);
    if (status != TC_OK) return status;
    t->first = t->trainer->step;
    t->saved = o->resume ? t->first : -1;
    t->bad_before = t->trainer->bad_samples;
    status = tell_beginning(t, err);
    if (status != TC_OK) return status;
    tc_loader_options l = tc_training_loader(t);
    if (t->first < t->steps) status = tc_loader_create(&t->loader, &l, err);
    if (status == TC_OK) status = tc_log_file_open(&t->file, o->out, t->first, &t->last_loss, &t->top1, err);
    t->started = t->last_line = tc_now();
    return status;
}

/* ---- a step */

/* What matters most stands first: a narrow terminal cuts the rest off. */
static void tell_step(const training *t, const tc_step_line *s, double seconds_left) {
    char left[32], more[64];
    tc_format_duration(seconds_left, left, sizeof left);
    if (s->masked) snprintf(more, sizeof more, "sparsity %.2f/%.2f", s->sparsity, s->target);
    else snprintf(more, sizeof more, "epoch %.2f", s->epoch);
    tc_log_line(&t->log, 0, "step %lld/%lld  %s left  loss %.4f  %s  %.0f pairs/s", (long long)s->step,
                (long long)t->steps, left, s->loss, more, s->pairs_per_second);
}

static tc_status log_step(training *t, const tc_step_log *s, int pairs, tc_error *err) {
    double now = tc_now(), spent = now - t->started, rate = spent > 0 ? (double)t->pairs / spent : 0;
    int64_t done = t->trainer->step;
    tc_step_line line = {.step = done,
                         .epoch = (double)done * t->epochs_per_step,
                         .loss = s->loss.loss,
                         .lr = s->lr,
                         .grad_norm = s->grad_norm,
                         .logit_scale = s->scale_used,
                         .pairs = pairs,
                         .skipped = s->skipped,
                         .pairs_per_second = rate};
    if (pairs > 0) tc_auto_log(t, s, &line);
    tc_status status = tc_log_file_step(&t->file, &line, err);
    double seconds_left = spent / (double)(done - t->first) * (double)(t->steps - done);
    if (t->o->on_step) t->o->on_step(t->o->on_step_user, done, t->steps, seconds_left);
    if (done < t->steps && now - t->last_line < TOLD_EVERY) return status;
    t->last_line = now;
    tell_step(t, &line, seconds_left);
    return status;
}

/* A batch of which no sample could be read: the step is left out, but it is a step. */
static void leave_out(training *t, tc_step_log *log) {
    tc_trainer *r = t->trainer;
    *log = (tc_step_log){.lr = tc_schedule_lr(&r->hyper.schedule, (double)r->step, r->hyper.schedule.base),
                         .grad_norm = NAN,
                         .scale_used = exp((double)r->student->logit_scale),
                         .loss.loss = NAN,
                         .skipped = true};
    r->step++;
    r->skipped++;
}

/* *done: the step was made, whatever went wrong with the log. */
static tc_status one_step(training *t, bool *done, tc_error *err) {
    const tc_batch *b;
    tc_step_log log;
    tc_trainer *r = t->trainer;
    *done = false;
    tc_status status = tc_loader_next(t->loader, &b, err);
    for (int i = 0; status == TC_OK && t->cache && i < b->n; i++)
        t->cache_rows[i] = tc_teacher_cache_row(t->cache, b->augmentation[i], b->index[i]);
    if (status == TC_OK && b->n > 0)
        status =
            tc_trainer_step(r, b->pixel_values, b->ids, b->n, r->student->config.context_length, &log, err);
    if (status != TC_OK) return status;
    if (b->n == 0) leave_out(t, &log);
    t->pairs += b->n;
    r->bad_samples = t->bad_before + tc_loader_skipped(t->loader, NULL, 0);
    if (log.skipped)
        tc_log_line(&t->log, 2, "step %lld: %s; the step is left out", (long long)r->step,
                    b->n > 0 ? "the loss or its gradient is not finite"
                             : "no sample of the batch could be read");
    else t->last_loss = log.loss.loss;
    status = log_step(t, &log, b->n, err);
    if (r->skipped_in_a_row > MAX_SKIPPED_IN_A_ROW)
        return tc_fail(err, TC_ESTATE,
                       "the loss was not finite in more than %d steps in a row; lower the learning rate or "
                       "look at the data",
                       MAX_SKIPPED_IN_A_ROW);
    *done = true;
    return status;
}

/* ---- all steps */

static bool should_stop(const training *t) {
    const tc_train_options *o = t->o;
    return (o->stop && *o->stop) || (o->stop_after > 0 && t->trainer->step - t->first >= o->stop_after);
}

static tc_status save(training *t, tc_error *err) {
    if (t->saved == t->trainer->step) return TC_OK;
    /* A run that goes on from the checkpoint finds the rows that were there. */
    tc_status status = t->cache ? tc_teacher_cache_sync(t->cache, err) : TC_OK;
    if (status == TC_OK) status = tc_checkpoint_save(t->trainer, t->o->out, t->settings, err);
    if (status == TC_OK) t->saved = t->trainer->step;
    return status;
}

static tc_status after_step(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    int64_t done = t->trainer->step;
    bool last = done == t->steps, folded;
    tc_status status = tc_auto_fold(t, &folded, err);
    if (status == TC_OK && o->eval_data && (last || (o->eval_every > 0 && done % o->eval_every == 0)))
        status = tc_training_evaluate(t, err);
    if (status == TC_OK && (folded || (o->checkpoint_every > 0 && done % o->checkpoint_every == 0)))
        status = save(t, err);
    return status;
}

static tc_status run_steps(training *t, tc_error *err) {
    bool done = true, folded;
    /* Due already if the fold itself failed the last time. */
    tc_status status = tc_auto_fold(t, &folded, err);
    if (folded) t->saved = -1;
    while (status == TC_OK && t->trainer->step < t->steps && !should_stop(t)) {
        status = one_step(t, &done, err);
        if (status == TC_OK) status = after_step(t, err);
    }
    /* If only the log, an evaluation or a checkpoint failed, what was trained is still worth keeping. */
    tc_status saved = done ? save(t, status == TC_OK ? err : NULL) : TC_OK;
    return status == TC_OK ? saved : status;
}

/* ---- the end */

static void tell_cache(const training *t) {
    tc_teacher_cache_counts c = tc_teacher_cache_count(t->cache);
    tc_log_line(&t->log, 1, "teacher cache: %lld pairs taken from it, %lld computed", (long long)c.found,
                (long long)c.computed);
    if (c.damaged)
        tc_log_line(&t->log, 2, "%s: %lld damaged row%s computed again", tc_teacher_cache_path(t->cache),
                    (long long)c.damaged, c.damaged == 1 ? "" : "s");
}

static void tell_end(const training *t) {
    char reason[256] = "";
    int64_t bad = t->loader ? tc_loader_skipped(t->loader, reason, sizeof reason) : 0;
    int64_t cut = t->loader ? tc_loader_cut(t->loader) : 0;
    if (bad) tc_log_line(&t->log, 2, "%lld samples were left out: %s", (long long)bad, reason);
    if (cut) tc_log_line(&t->log, 2, "captions longer than the context were cut, %lld times", (long long)cut);
    if (t->cache) tell_cache(t);
}

static tc_status finish(training *t, tc_model **out, tc_train_result *result, tc_error *err) {
    double spent = tc_now() - t->started;
    tc_status status = TC_OK;
    tell_end(t);
    if (t->trainer->step == t->steps) status = tc_training_save_model(t, err);
    else
        tc_log_line(&t->log, 1, "stopped after step %lld of %lld; go on with resume",
                    (long long)t->trainer->step, (long long)t->steps);
    if (status == TC_OK && result)
        *result = (tc_train_result){.steps = t->trainer->step,
                                    .skipped_samples = t->trainer->bad_samples,
                                    .skipped_steps = t->trainer->skipped,
                                    .final_loss = t->last_loss,
                                    .seconds = spent,
                                    .pairs_per_second = spent > 0 ? (double)t->pairs / spent : 0,
                                    .top1 = t->top1};
    if (status == TC_OK && out) {
        *out = t->trainer->student;
        t->trainer->student = NULL;
    }
    return status;
}

tc_status tc_train(const tc_train_options *options, tc_model **out, tc_train_result *result, tc_error *err) {
    training t = {.o = options, .log = {options->log, options->log_user}, .lock = -1, .top1 = -1};
    if (out) *out = NULL;
    const tc_mask_options *masks = options->masks;
    tc_status status =
        tc_check_reserved(options->reserved, sizeof options->reserved, "tc_train_options", err);
    if (status == TC_OK && masks)
        status = tc_check_reserved(masks->reserved, sizeof masks->reserved, "tc_mask_options", err);
    if (status == TC_OK) status = tc_train_check(options, err);
    if (status == TC_OK) status = tc_training_plan(&t, err);
    if (status == TC_OK) status = start(&t, err);
    if (status == TC_OK) status = run_steps(&t, err);
    if (status == TC_OK) status = finish(&t, out, result, err);
    tc_loader_close(&t.loader);
    tc_trainer_free(&t.trainer);
    tc_teacher_cache_close(&t.cache);
    free(t.cache_rows);
    tc_log_file_close(&t.file);
    free(t.settings);
    if (t.lock >= 0) close(t.lock);
    return status;
}
