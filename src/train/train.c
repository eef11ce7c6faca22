/* train.c - a whole training run: check of the data, steps, log, evaluation, checkpoints, the finished model.
 *
 * What a run depends on is in its settings, its checkpoint (weights, moments, counters) and the number of the
 * next batch, from which the loader makes order and augmentation anew. So a run that was stopped or killed
 * goes on to the same weights, bit for bit, as one that never was. */
#include "format/preprocess_json.h"
#include "train/checkpoint.h"
#include "train/lock.h"
#include "train/run_plan.h"
#include "train/settings.h"
#include "train/train_run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SKIPPED_IN_A_ROW = 100, USUAL_CAPTION = 12 /* tokens */ };

typedef tc_training training;

/* ---- preparation */

tc_status tc_train_check(const tc_train_options *o, tc_error *err) {
    const struct {
        bool ok;
        const char *what;
    } rules[] = {
        {o->out && o->out[0], "an output folder is needed"},
        {o->init != NULL, "a model to start from is needed"},
        {o->data != NULL, "data is needed"},
        {o->tokenizer != NULL, "a tokenizer is needed"},
        {!o->teacher_cache || o->teacher, "a cache of the teacher's features needs a teacher"},
        {!o->teacher_cache || o->teacher_cache[0], "a cache of the teacher's features needs a folder"},
        {!o->teacher_cache || o->cache_augmentations > 0,
         "a cache of the teacher's features needs a number of augmentations"},
        {o->steps > 0 || o->epochs > 0, "steps or epochs must be above 0"}};
    tc_status status = tc_settings_check(tc_train_setting, o, "training", err);
    if (status != TC_OK) return status;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].ok) return tc_fail(err, TC_EARG, "training: %s", rules[i].what);
    json_t *card = NULL;
    status = o->card ? tc_json_parse(&card, o->card, strlen(o->card),
                                     "training: the members of the model card", err)
                     : TC_OK;
    bool object = json_is_object(card);
    json_decref(card);
    if (status != TC_OK) return status;
    if (o->card && !object)
        return tc_fail(err, TC_EARG, "training: the members of the model card must be a JSON object");
    if (o->preprocess.crop != o->init->config.image_size)
        return tc_fail(err, TC_EARG,
                       "training: images are cropped to %d pixels, but the model's image_size is %d",
                       o->preprocess.crop, o->init->config.image_size);
    const tc_model *both[] = {o->init, o->teacher};
    for (int i = 0; i < 2 && both[i]; i++)
        if (tc_tokenizer_size(o->tokenizer) > both[i]->config.vocab_size)
            return tc_fail(err, TC_EARG, "training: the tokenizer has %d ids, the %s only %d",
                           tc_tokenizer_size(o->tokenizer), i ? "teacher" : "model",
                           both[i]->config.vocab_size);
    if (o->teacher && o->teacher->config.context_length < o->init->config.context_length)
        return tc_fail(err, TC_EARG,
                       "training: the teacher's context_length is %d, less than the student's %d",
                       o->teacher->config.context_length, o->init->config.context_length);
    return TC_OK;
}

/* Everything that a resumed run must share with the first one. */
static tc_status describe_settings(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    json_t *json = json_pack("{s:o, s:f, s:I, s:i, s:i, s:b, s:o, s:i, s:b}", "model",
                             tc_config_full_json(&o->init->config), "warmup",
                             t->trainer->hyper.schedule.warmup, "samples", (json_int_t)tc_data_count(o->data),
                             "classes", tc_data_classes(o->data), "templates", tc_data_templates(o->data),
                             "teacher", o->teacher != NULL, "preprocess", tc_preprocess_json(&o->preprocess),
                             "image_order", (int)o->preprocess.order, "exif", o->preprocess.exif);
    if (json) tc_settings_note(tc_train_setting, o, TC_SETTING_RESUMED, true, json);
    if (json && o->cache_augmentations) {
        json_object_set_new(json, "cache_augmentations", json_integer(o->cache_augmentations));
        json_object_set_new(json, "teacher_cache", json_boolean(o->teacher_cache != NULL));
    }
    if (json && o->teacher) {
        char text[32];
        tc_status status = tc_model_hash(o->teacher, &t->teacher_hash, err);
        if (status != TC_OK) {
            json_decref(json);
            return status;
        }
        snprintf(text, sizeof text, "%016llx", (unsigned long long)t->teacher_hash);
        json_object_set_new(json, "teacher_model", tc_config_full_json(&o->teacher->config));
        json_object_set_new(json, "teacher_weights", json_string(text));
    }
    if (json) tc_auto_settings(t, json);
    t->settings = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    return t->settings ? TC_OK : tc_fail_memory(err, 1024);
}

/* What a run that was killed while it wrote has left behind; the lock says that nobody is writing now. */
static void remove_temporaries(const char *out) {
    char *model = tc_path_join(out, "model");
    tc_remove_temporaries(out);
    if (model) tc_remove_temporaries(model);
    free(model);
}

/* Steps for so many epochs, rounded up, but not for the rounding of epochs in binary (0.1 of 30 samples are
 * 3). */
int64_t tc_train_steps(double epochs, int64_t samples, int batch) {
    double steps = ceil(epochs * (double)samples / batch * (1 - 1e-12));
    return steps >= 1e15 ? (int64_t)1e15 : steps > 1 ? (int64_t)steps : 1;
}

static tc_status plan(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    int64_t samples = tc_data_count(o->data);
    if (samples < 1) return tc_fail(err, TC_EARG, "training: the data has no samples");
    t->epochs_per_step = (double)o->batch / (double)samples;
    t->steps = o->steps > 0 ? o->steps : tc_train_steps(o->epochs, samples, o->batch);
    t->chosen = *o;
    t->o = &t->chosen;
    t->chosen.steps = t->steps;
    tc_train_choose(&t->chosen, o->init->config.image_tower, o->teacher != NULL);
    return tc_auto_plan(t, err);
}

static tc_status make_trainer(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    /* Unless told otherwise the masked steps warm up; without masks a tenth of the run, at most the recipe's
     * 2,000 steps. */
    double warmup = o->warmup_steps >= 0 ? o->warmup_steps
                    : o->masks           ? (double)t->masks.fold_step
                                         : fmin(2000, (double)(t->steps / 10));
    tc_hyper h = {
        .schedule = {.kind = TC_SCHEDULE_COSINE, .base = o->lr, .warmup = warmup, .steps = (double)t->steps},
        .weight_decay = o->weight_decay,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .clip = o->clip,
        .alpha = o->alpha,
        .weight = 1,
        .logit_scale = o->logit_scale};
    tc_mask_hyper masks;
    tc_model *student = NULL;
    tc_status status = tc_model_copy(&student, o->init, err);
    if (status != TC_OK) return status;
    student->preprocess = o->preprocess;
    if (o->masks) {
        masks = tc_auto_hyper(t, &h);
        h.masks = &masks;
    }
    status = tc_trainer_create(&t->trainer, &student, o->teacher, &h, err);
    if (status == TC_OK) t->trainer->hyper.masks = NULL;
    return status;
}

static void tell_lines(const tc_log *log, const char *text) {
    while (text && *text) {
        size_t n = strcspn(text, "\n");
        tc_log_line(log, 1, "%.*s", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static tc_loader_options loader_options(const training *t) {
    const tc_train_options *o = t->o;
    return (tc_loader_options){.data = o->data,
                               .tokenizer = o->tokenizer,
                               .preprocess = o->preprocess,
                               .context = t->trainer->student->config.context_length,
                               .batch = o->batch,
                               .workers = o->workers,
                               .seed = o->seed,
                               .crop_scale_min = o->crop_scale_min,
                               .flip = o->flip,
                               .augmentations = o->cache_augmentations,
                               .first_step = t->trainer->step};
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

static void tell_cache(const training *t) {
    tc_teacher_cache_counts c = tc_teacher_cache_count(t->cache);
    tc_log_line(&t->log, 1, "teacher cache: %lld pairs taken from it, %lld computed", (long long)c.found,
                (long long)c.computed);
    if (c.damaged)
        tc_log_line(&t->log, 2, "%s: %lld damaged row%s computed again", tc_teacher_cache_path(t->cache),
                    (long long)c.damaged, c.damaged == 1 ? "" : "s");
}

/* Bytes that the run will take with captions of this length: steps, batches read ahead, and the copies of the
 * model that it starts from and that are made for evaluating and saving it. */
static size_t memory(const training *t, int caption) {
    tc_loader_options l = loader_options(t);
    size_t model = (size_t)t->trainer->student->params.total * sizeof(tc_real),
           all = tc_trainer_memory(t->trainer, t->o->batch, caption);
    if (!tc_add(all, tc_loader_memory(&l), &all) || !tc_add(all, (t->o->init->flat ? 2 : 1) * model, &all))
        return SIZE_MAX;
    return all;
}

static tc_status tell_beginning(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    const tc_model_info *m = &t->trainer->student->info;
    tc_buf report = {0};
    tc_status status = tc_data_check(o->data, &o->preprocess, 3, &report, err);
    if (status == TC_OK) tell_lines(&t->log, report.data);
    tc_buf_free(&report);
    if (status != TC_OK) return status;
    int context = t->trainer->student->config.context_length,
        caption = context < USUAL_CAPTION ? context : USUAL_CAPTION;
    size_t usual = memory(t, caption), most = memory(t, context);
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

/* ---- log.jsonl: what stands in it is described at tc_train */

/* A complete line of a step up to the one that is resumed from. The last loss and the last accuracy are those
 * of the run so far. */
static bool keep_line(training *t, const char *line) {
    long long step;
    double x;
    if (sscanf(line, "{\"step\":%lld,", &step) != 1 || step > t->first) return false;
    if (sscanf(line, "{\"step\":%*d,\"epoch\":%*f,\"loss\":%lf", &x) == 1) t->last_loss = x;
    if (sscanf(line, "{\"step\":%*d,\"top1\":%lf", &x) == 1) t->top1 = x;
    return true;
}

/* A run that was killed may have logged steps after its last checkpoint: they will be logged again. Lines are
 * written one by one, so that no killed run lacks any that its checkpoint has gone past. */
static tc_status open_log(training *t, tc_error *err) {
    char *path = tc_path_join(t->o->out, "log.jsonl"), *old = NULL;
    size_t size = 0;
    if (!path) return tc_fail_memory(err, 1);
    tc_status status = TC_OK;
    tc_buf kept = {0};
    if (t->first > 0 && tc_path_exists(path)) status = tc_file_read(path, SIZE_MAX >> 1, &old, &size, err);
    for (char *line = old, *end; status == TC_OK && line && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        if (keep_line(t, line)) tc_buf_printf(&kept, "%s\n", line);
    }
    if (kept.failed && status == TC_OK) status = tc_fail_memory(err, size);
    if (status == TC_OK) status = tc_file_write(path, kept.data ? kept.data : "", kept.size, err);
    if (status == TC_OK && !(t->log_file = fopen(path, "ae")))
        status = tc_fail(err, TC_EIO, "%s: cannot write: %s", path, strerror(errno));
    if (status == TC_OK) setvbuf(t->log_file, NULL, _IOLBF, BUFSIZ);
    tc_buf_free(&kept);
    free(old);
    free(path);
    return status;
}

tc_status tc_training_line(training *t, const char *line, tc_error *err) {
    errno = 0;
    if (fputs(line, t->log_file) >= 0 && !ferror(t->log_file)) return TC_OK;
    return tc_fail(err, TC_EIO, "%s/log.jsonl: cannot write: %s", t->o->out, strerror(errno ? errno : EIO));
}

/* JSON has no number for what is not finite. */
static const char *number(double x, char out[32]) {
    if (isfinite(x)) snprintf(out, 32, "%.9g", x);
    else snprintf(out, 32, "null");
    return out;
}

static tc_status log_step(training *t, const tc_step_log *s, int pairs, tc_error *err) {
    double now = tc_now(), spent = now - t->started, rate = spent > 0 ? (double)t->pairs / spent : 0;
    int64_t done = t->trainer->step;
    char line[1024], loss[32], norm[32], left[32], masks[320] = "", sparsity[64] = "";
    if (t->trainer->gates && pairs > 0) {
        tc_auto_log(t, s, masks, sizeof masks);
        snprintf(sparsity, sizeof sparsity, "  sparsity %.3f of %.3f", s->sparsity.expected[0],
                 s->sparsity.target[0]);
    }
    snprintf(line, sizeof line,
             "{\"step\":%lld,\"epoch\":%.4f,\"loss\":%s,\"lr\":%.9g,\"grad_norm\":%s,\"logit_scale\":%.9g,"
             "\"pairs\":%d%s,\"pairs_per_second\":%.1f%s}\n",
             (long long)done, (double)done * t->epochs_per_step, number(s->loss.loss, loss), s->lr,
             number(s->grad_norm, norm), s->scale_used, pairs, s->skipped ? ",\"skipped\":true" : "", rate,
             masks);
    tc_status status = tc_training_line(t, line, err);
    bool last = done == t->steps;
    double seconds_left = spent / (double)(done - t->first) * (double)(t->steps - done);
    if (t->o->on_step) t->o->on_step(t->o->on_step_user, done, t->steps, seconds_left);
    if (!last && now - t->last_line < 0.5) return status;
    t->last_line = now;
    tc_format_duration(seconds_left, left, sizeof left);
    tc_log_line(&t->log, 0, "step %lld/%lld  epoch %.2f  loss %.4f%s  %.0f pairs/s  %s left", (long long)done,
                (long long)t->steps, (double)done * t->epochs_per_step, s->loss.loss, sparsity, rate, left);
    return status;
}

/* ---- during and after */

static tc_status evaluate_classes(training *t, const tc_model *now, tc_error *err) {
    const tc_train_options *o = t->o;
    tc_zeroshot_result r = {0};
    tc_status status =
        tc_eval_zeroshot(now, o->eval_data, o->tokenizer, &o->preprocess, o->eval_limit, NULL, NULL, &r, err);
    if (status != TC_OK) return status;
    t->top1 = r.top1;
    char line[256];
    snprintf(line, sizeof line, "{\"step\":%lld,\"top1\":%.6f,\"top5\":%.6f,\"images\":%lld}\n",
             (long long)t->trainer->step, r.top1, r.top5, (long long)r.images);
    tc_log_line(&t->log, 1, "step %lld: zero-shot top-1 %.2f %%", (long long)t->trainer->step, 100 * r.top1);
    tc_zeroshot_result_free(&r);
    return tc_training_line(t, line, err);
}

static tc_status evaluate_pairs(training *t, const tc_model *now, tc_error *err) {
    const tc_train_options *o = t->o;
    tc_retrieval_result r;
    tc_status status = tc_eval_retrieval(now, o->eval_data, o->tokenizer, &o->preprocess, o->eval_limit, NULL,
                                         NULL, &r, err);
    if (status != TC_OK) return status;
    const tc_retrieval_direction *to[2] = {&r.image_to_text, &r.text_to_image};
    char line[768];
    int n = snprintf(line, sizeof line, "{\"step\":%lld,\"retrieval\":{\"pairs\":%lld",
                     (long long)t->trainer->step, (long long)r.pairs);
    for (int i = 0; i < 2; i++)
        n +=
            snprintf(line + n, sizeof line - (size_t)n,
                     ",\"%s\":{\"r1\":%.6f,\"r5\":%.6f,\"r10\":%.6f,\"mean_rank\":%.9g,\"median_rank\":%.9g}",
                     i ? "text_to_image" : "image_to_text", to[i]->r1, to[i]->r5, to[i]->r10,
                     to[i]->mean_rank, to[i]->median_rank);
    snprintf(line + n, sizeof line - (size_t)n, "}}\n");
    tc_log_line(&t->log, 1,
                "step %lld: the caption of an image is first for %.2f %%, among ten for %.2f %%; its image "
                "for %.2f and %.2f %%",
                (long long)t->trainer->step, 100 * to[0]->r1, 100 * to[0]->r10, 100 * to[1]->r1,
                100 * to[1]->r10);
    return tc_training_line(t, line, err);
}

static tc_status evaluate(training *t, tc_error *err) {
    tc_model *now = NULL;
    tc_status status = tc_auto_model(t, &now, err);
    if (status == TC_OK && !now) status = tc_model_copy(&now, t->trainer->student, err);
    if (status == TC_OK)
        status = tc_data_classes(t->o->eval_data) > 0 ? evaluate_classes(t, now, err)
                                                      : evaluate_pairs(t, now, err);
    tc_model_close(&now);
    return status;
}

/* Paths need not be UTF-8, JSON must be. */
static json_t *text_or_null(const char *s) {
    json_t *text = s ? json_string(s) : NULL;
    return text ? text : json_null();
}

static tc_status write_card(training *t, tc_model *m, tc_error *err) {
    const tc_train_options *o = t->o;
    const tc_model_info *i = &m->info;
    json_t *parents = json_array();
    if (o->teacher)
        json_array_append_new(
            parents, json_pack("{s:s, s:o, s:I}", "role", "teacher", "source",
                               text_or_null(o->teacher->path ? o->teacher->path : o->teacher->source),
                               "params", (json_int_t)o->teacher->info.params));
    json_array_append_new(parents, json_pack("{s:s, s:o}", "role", "start", "source",
                                             text_or_null(o->init->path ? o->init->path : o->init->source)));
    json_t *json =
        json_pack("{s:{s:o, s:s, s:I}, s:o, s:I, s:I, s:f, s:f, s:I, s:i, s:s}", "training_data", "source",
                  text_or_null(tc_data_spec(o->data)), "kind", tc_data_kind(o->data), "samples",
                  (json_int_t)tc_data_count(o->data), "parents", parents, "params", (json_int_t)i->params,
                  "params_without_tokens", (json_int_t)i->params_without_tokens, "macs_image", i->macs_image,
                  "macs_text", i->macs_text, "steps", (json_int_t)t->trainer->step, "batch", o->batch,
                  "objective", o->teacher ? "affinity mimicking" : "contrastive");
    if (json) tc_auto_card(t, json);
    json_t *more = NULL;
    tc_status status =
        o->card ? tc_json_parse(&more, o->card, strlen(o->card), "the model card", err) : TC_OK;
    if (more) json_object_update(json, more);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    json_decref(more);
    if (status == TC_OK) status = text ? tc_model_set_card(m, text, err) : tc_fail_memory(err, 1024);
    free(text);
    return status;
}

static bool should_stop(const training *t) {
    const tc_train_options *o = t->o;
    return (o->stop && *o->stop) || (o->stop_after > 0 && t->trainer->step - t->first >= o->stop_after);
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
        status = evaluate(t, err);
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

static tc_status start(training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    tc_status status = tc_lock_folder(o->out, "training run", &t->lock, err);
    if (status == TC_OK) remove_temporaries(o->out);
    if (status == TC_OK) status = make_trainer(t, err);
    if (status == TC_OK) status = describe_settings(t, err);
    if (status == TC_OK) status = make_teacher(t, err);
    if (status == TC_OK && !o->resume && tc_checkpoint_exists(o->out))
        status = tc_fail(
            err, TC_EARG,
            "%s: there are checkpoints of another run in it; resume that run or choose another folder",
            o->out);
    if (status == TC_OK && o->resume)
        status = tc_checkpoint_load(t->trainer, o->out, t->settings, &t->log, err);
    if (status != TC_OK) return status;
    t->first = t->trainer->step;
    t->saved = o->resume ? t->first : -1;
    t->bad_before = t->trainer->bad_samples;
    status = tell_beginning(t, err);
    if (status != TC_OK) return status;
    tc_loader_options l = loader_options(t);
    if (t->first < t->steps) status = tc_loader_create(&t->loader, &l, err);
    if (status == TC_OK) status = open_log(t, err);
    t->started = t->last_line = tc_now();
    return status;
}

static tc_status finish(training *t, tc_model **out, tc_train_result *result, tc_error *err) {
    tc_model *m = t->trainer->student;
    bool file = !tc_config_fits_hf(&m->config);
    char reason[256] = "", *path = tc_path_join(t->o->out, file ? "model.safetensors" : "model");
    double spent = tc_now() - t->started;
    int64_t bad = t->loader ? tc_loader_skipped(t->loader, reason, sizeof reason) : 0;
    if (bad) tc_log_line(&t->log, 2, "%lld samples were left out: %s", (long long)bad, reason);
    int64_t cut = t->loader ? tc_loader_cut(t->loader) : 0;
    if (cut) tc_log_line(&t->log, 2, "captions longer than the context were cut, %lld times", (long long)cut);
    if (t->cache) tell_cache(t);
    tc_status status = path ? TC_OK : tc_fail_memory(err, 1);
    if (status == TC_OK && t->trainer->step == t->steps) {
        status = write_card(t, m, err);
        if (status == TC_OK) status = tc_model_save(m, path, file ? TC_FORMAT_FILE : TC_FORMAT_HF, err);
        if (status == TC_OK) tc_log_line(&t->log, 1, "saved %s", path);
    } else if (status == TC_OK) {
        tc_log_line(&t->log, 1, "stopped after step %lld of %lld; go on with resume",
                    (long long)t->trainer->step, (long long)t->steps);
    }
    free(path);
    if (status == TC_OK && result)
        *result = (tc_train_result){.steps = t->trainer->step,
                                    .skipped_samples = t->trainer->bad_samples,
                                    .skipped_steps = t->trainer->skipped,
                                    .final_loss = t->last_loss,
                                    .seconds = spent,
                                    .pairs_per_second = spent > 0 ? (double)t->pairs / spent : 0,
                                    .top1 = t->top1};
    if (status == TC_OK && out) {
        *out = m;
        t->trainer->student = NULL;
    }
    return status;
}

tc_status tc_train_memory(const tc_train_options *o, size_t *usual, size_t *most, tc_error *err) {
    training t = {.o = o, .lock = -1};
    tc_status status = plan(&t, err);
    if (status == TC_OK) status = make_trainer(&t, err);
    if (status == TC_OK) {
        int context = t.trainer->student->config.context_length;
        *usual = memory(&t, context < USUAL_CAPTION ? context : USUAL_CAPTION);
        *most = memory(&t, context);
    }
    tc_trainer_free(&t.trainer);
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
    if (status == TC_OK) status = plan(&t, err);
    if (status == TC_OK) status = start(&t, err);
    if (status == TC_OK) status = run_steps(&t, err);
    if (status == TC_OK) status = finish(&t, out, result, err);
    tc_loader_close(&t.loader);
    tc_trainer_free(&t.trainer);
    tc_teacher_cache_close(&t.cache);
    free(t.cache_rows);
    if (t.log_file) fclose(t.log_file);
    free(t.settings);
    if (t.lock >= 0) close(t.lock);
    return status;
}
