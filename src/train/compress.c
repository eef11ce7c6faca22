/* compress.c - a compression in stages: each starts from the result of the one before, learns from the
 * teacher, is measured and noted.
 *
 * A stage is a training run with a folder of its own, and what it starts from always comes from the file that
 * the stage before left, in an undisturbed run too. So a compression that was stopped or killed somewhere
 * goes on exactly as it would have gone: a stage that compress.json does not call done is resumed from its
 * newest checkpoint, which may be its last one. */
#include "train/checkpoint.h"
#include "train/compress.h"
#include "train/lock.h"
#include "train/run_file.h"
#include "train/measure.h"
#include "model/model.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const double NOTED_EVERY = 10; /* seconds: the time spent is noted at least as often */

/* ---- what is told while a stage is trained */

static void note_seconds(tc_compression *c) {
    double seconds = c->stage_seconds + tc_now() - c->stage_begun;
    json_object_set_new(tc_record_stage(c, c->current), "seconds", json_real(seconds));
}

/* Seconds that the stages after this one will take if a multiply-accumulate takes as long there as here. */
static double seconds_after(const tc_compression *c) {
    double cost = 0;
    for (int k = c->current + 1; k < c->recipe->count; k++)
        cost += c->legs[k].cost * (double)c->legs[k].steps;
    return cost * c->step_seconds / (c->legs[c->current].cost > 0 ? c->legs[c->current].cost : 1);
}

static void on_step(void *user, int64_t step, int64_t steps, double seconds_left) {
    tc_compression *c = user;
    c->steps++;
    c->stage_left = seconds_left;
    if (step < steps) c->step_seconds = seconds_left / (double)(steps - step);
    if (c->o->on_step) c->o->on_step(c->o->on_step_user, seconds_left + seconds_after(c));
    if (tc_now() - c->written < NOTED_EVERY) return;
    note_seconds(c);
    tc_record_write(c, NULL); /* if this fails, so will the one that matters */
}

static void relay(void *user, int level, const char *line) {
    tc_compression *c = user;
    char left[32];
    if (level > 0) {
        tc_log_line(&c->log, level, "%s", line);
        return;
    }
    if (c->o->on_step) {
        tc_log_line(&c->log, 0, "stage %d/%d: %s", c->current + 1, c->recipe->count, line);
        return;
    }
    tc_format_duration(c->stage_left + seconds_after(c), left, sizeof left);
    tc_log_line(&c->log, 0, "stage %d/%d, %s in all: %s", c->current + 1, c->recipe->count, left, line);
}

static void tell_stage(const tc_compression *c) {
    const tc_stage *s = &c->recipe->stages[c->current];
    char goal[64] = "";
    if (s->automatic && s->masks.keep > 0)
        snprintf(goal, sizeof goal, ", to %.4g %% of the teacher", 100 * s->masks.keep);
    else if (s->automatic && s->masks.params)
        snprintf(goal, sizeof goal, ", to %lld parameters", (long long)s->masks.params);
    else if (s->automatic) snprintf(goal, sizeof goal, ", to %.4g GMACs", s->masks.macs / 1e9);
    tc_log_line(&c->log, 1, "stage %d of %d, \"%s\": %s%s", c->current + 1, c->recipe->count, s->name,
                s->automatic ? "automatic inheritance" : "manual inheritance", goal);
}

/* ---- files */

/* OUT/stage-K. */
static char *stage_folder(const tc_compression *c, int k) {
    char name[32];
    snprintf(name, sizeof name, "stage-%d", k + 1);
    return tc_path_join(c->o->out, name);
}

/* Where a run leaves its model: a folder, or the file of what a folder cannot hold. *name gets "model" or
 * "model.safetensors". */
static char *model_path(const char *folder, const char **name) {
    char *path = tc_path_join(folder, "model.safetensors");
    *name = "model.safetensors";
    if (path && tc_path_exists(path)) return path;
    free(path);
    *name = "model";
    return tc_path_join(folder, "model");
}

static tc_status open_stage(const tc_compression *c, int k, tc_model **out, tc_error *err) {
    const char *name;
    char *folder = stage_folder(c, k), *path = folder ? model_path(folder, &name) : NULL;
    tc_status status = path ? tc_model_open(out, path, NULL, err) : tc_fail_memory(err, 1);
    free(folder);
    free(path);
    return status;
}

/* The result of a stage that is done; an error if its weights are not those that were noted. */
static tc_status open_done(const tc_compression *c, int k, tc_model **out, tc_error *err) {
    uint64_t hash;
    tc_status status = open_stage(c, k, out, err);
    if (status == TC_OK) status = tc_model_hash(*out, &hash, err);
    if (status != TC_OK) return status;
    json_t *found = tc_record_hash(hash);
    bool same = json_equal(found, json_object_get(tc_record_stage(c, k), "weights_hash"));
    json_decref(found);
    if (same) return TC_OK;
    tc_model_close(out);
    return tc_fail(err, TC_ESTATE, "%s: the weights of stage-%d are not those that stage %d ended with",
                   c->record_path, k + 1, k + 1);
}

static tc_status copy_file(const char *from, const char *to, tc_error *err) {
    tc_map map = {0};
    if (link(from, to) == 0) return TC_OK;
    /* No links here, or not across these folders. */
    tc_status status = tc_map_open(&map, from, err);
    if (status != TC_OK) return status;
    status = tc_file_write(to, map.data, map.size, err);
    tc_map_close(&map);
    return status;
}

static void remove_folder(const char *path) {
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *inside = tc_path_join(path, e->d_name);
        if (inside && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) unlink(inside);
        free(inside);
    }
    if (d) closedir(d);
    rmdir(path);
}

static tc_status copy_folder(const char *from, const char *to, tc_error *err) {
    tc_status status = tc_make_dirs(to, err);
    DIR *d = status == TC_OK ? opendir(from) : NULL;
    if (status == TC_OK && !d)
        status = tc_fail(err, TC_EIO, "%s: cannot list the folder: %s", from, strerror(errno));
    for (struct dirent *e; status == TC_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.' || strstr(e->d_name, ".tmp-")) continue;
        char *a = tc_path_join(from, e->d_name), *b = tc_path_join(to, e->d_name);
        status = a && b ? copy_file(a, b, err) : tc_fail_memory(err, 1);
        free(a);
        free(b);
    }
    if (d) closedir(d);
    return status;
}

/* The last stage's model as OUT/model or OUT/model.safetensors: made beside it, then renamed. */
static tc_status publish(const tc_compression *c, tc_error *err) {
    const char *name;
    char *folder = stage_folder(c, c->recipe->count - 1);
    char *from = folder ? model_path(folder, &name) : NULL;
    char *to = from ? tc_path_join(c->o->out, name) : NULL;
    char *partial = tc_path_join(c->o->out, "model.tmp-partial");
    tc_status status = to && partial ? TC_OK : tc_fail_memory(err, 1);
    if (status == TC_OK) {
        unlink(partial);
        remove_folder(partial);
        bool is_folder = tc_path_is_dir(from);
        status = is_folder ? copy_folder(from, partial, err) : copy_file(from, partial, err);
        if (status == TC_OK && is_folder) remove_folder(to);
        if (status == TC_OK && rename(partial, to) != 0)
            status = tc_fail(err, TC_EIO, "%s: cannot rename to %s: %s", partial, to, strerror(errno));
        if (status == TC_OK) tc_log_line(&c->log, 1, "the compressed model: %s", to);
    }
    free(folder);
    free(from);
    free(to);
    free(partial);
    return status;
}

/* ---- one stage */

/* What the stage starts from. Of the first automatic stage that is the teacher itself: *own stays NULL. */
static tc_status stage_start(const tc_compression *c, int k, tc_model **own, const tc_model **start,
                             tc_error *err) {
    tc_model *before = NULL;
    tc_status status = k > 0 ? open_done(c, k - 1, &before, err) : TC_OK;
    const tc_model *from = k > 0 ? before : c->o->teacher;
    if (status == TC_OK && !c->recipe->stages[k].automatic) {
        status = tc_model_inherit_config(own, from, &c->recipe->stages[k].config, err);
        tc_model_close(&before);
    } else {
        *own = before;
    }
    *start = *own ? *own : from;
    return status == TC_OK ? TC_OK : tc_fail_in(err, status, "%s: stages[%d]", c->recipe->path, k);
}

/* Members of the model card: where the model comes from, and the stages that made it. No paths within OUT and
 * no times, so that the same compression gives the same file wherever and whenever it runs. */
static char *card_of(const tc_compression *c, int k) {
    const tc_model *teacher = c->o->teacher;
    const char *from = teacher->path ? teacher->path : teacher->source;
    json_t *stages = json_array(), *source = json_string(from ? from : "");
    if (!source) source = json_null();
    for (int i = 0; i <= k; i++) {
        const tc_stage *s = &c->recipe->stages[i];
        json_t *stage = json_pack("{s:s, s:s, s:I, s:I}", "name", s->name, "inheritance",
                                  s->automatic ? "auto" : "manual", "steps", (json_int_t)c->legs[i].steps,
                                  "batch", (json_int_t)s->train.batch);
        if (s->automatic)
            json_object_set_new(stage, "fold_step", json_integer((json_int_t)s->masks.fold_step));
        if (s->masks.keep > 0) json_object_set_new(stage, "keep", json_real(s->masks.keep));
        if (i < k)
            json_object_set(stage, "weights_hash", json_object_get(tc_record_stage(c, i), "weights_hash"));
        json_array_append_new(stages, stage);
    }
    char before[128] = "teacher";
    if (k > 0) snprintf(before, sizeof before, "stage %d", k);
    json_t *parents = json_pack("[{s:s, s:o, s:I}, {s:s, s:s}]", "role", "teacher", "source", source,
                                "params", (json_int_t)c->teacher.params, "role", "start", "source", before);
    json_t *card =
        json_pack("{s:o, s:s, s:o}", "parents", parents, "recipe", c->recipe->name, "stages", stages);
    char *text = card ? json_dumps(card, JSON_COMPACT) : NULL;
    json_decref(card);
    return text;
}

static tc_status train_stage(tc_compression *c, int k, bool *complete, tc_error *err) {
    tc_model *own = NULL;
    const tc_model *start = NULL;
    tc_mask_options masks;
    tc_train_result r = {0};
    char *folder = stage_folder(c, k), *card = card_of(c, k);
    int64_t before = c->steps;
    tc_status status = folder && card ? stage_start(c, k, &own, &start, err) : tc_fail_memory(err, 1);
    if (status == TC_OK) {
        tc_train_options t = tc_compression_train(c, k, &start->info, &masks);
        t.out = folder;
        t.init = start;
        t.resume = tc_checkpoint_exists(folder);
        t.stop_after = c->o->stop_after > 0 ? c->o->stop_after - before : 0;
        t.card = card;
        t.on_step = on_step;
        t.on_step_user = c;
        t.log = relay;
        t.log_user = c;
        status = tc_train(&t, NULL, &r, err);
    }
    *complete = status == TC_OK && r.steps == c->legs[k].steps;
    tc_model_close(&own);
    free(folder);
    free(card);
    return status;
}

static bool should_stop(const tc_compression *c) {
    return (c->o->stop && *c->o->stop) || (c->o->stop_after > 0 && c->steps >= c->o->stop_after);
}

static tc_status note_stage(tc_compression *c, int k, tc_error *err) {
    const char *name;
    char *folder = stage_folder(c, k), *path = folder ? model_path(folder, &name) : NULL;
    json_t *stage = tc_record_stage(c, k);
    tc_model *m = NULL;
    tc_status status = path ? open_stage(c, k, &m, err) : tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_record_model(c, m, path + strlen(c->o->out) + 1, stage, err);
    if (status == TC_OK) json_object_set_new(stage, "done", json_true());
    tc_model_close(&m);
    free(folder);
    free(path);
    return status;
}

/* *complete: the stage is done and noted. */
static tc_status run_stage(tc_compression *c, int k, bool *complete, tc_error *err) {
    c->current = k;
    c->stage_begun = tc_now();
    c->stage_seconds = json_number_value(json_object_get(tc_record_stage(c, k), "seconds"));
    tell_stage(c);
    tc_status status = train_stage(c, k, complete, err);
    note_seconds(c);
    /* What is not noted is found again by resuming: the stage then ends with its last checkpoint. */
    if (*complete && c->o->stop && *c->o->stop) *complete = false;
    if (status == TC_OK && *complete) status = note_stage(c, k, err);
    tc_status written = tc_record_write(c, status == TC_OK ? err : NULL);
    return status == TC_OK ? written : status;
}

/* ---- the whole */

static bool is_done(const tc_compression *c, int k) {
    return json_is_true(json_object_get(tc_record_stage(c, k), "done"));
}

static tc_status note_teacher(tc_compression *c, tc_error *err) {
    const tc_model *t = c->o->teacher;
    json_t *teacher = json_object_get(c->record, "teacher");
    if (json_object_get(teacher, "params")) return TC_OK;
    tc_log_line(&c->log, 1,
                "the teacher: %lld parameters (%lld without the token table), %lld of them prunable",
                (long long)t->info.params, (long long)t->info.params_without_tokens,
                (long long)t->info.params_prunable);
    tc_status status = tc_record_model(c, t, t->path ? t->path : t->source, teacher, err);
    return status == TC_OK ? tc_record_write(c, err) : status;
}

/* Teacher and stages are measured in one go, so that they can be compared. */
static tc_status note_speeds(tc_compression *c, tc_error *err) {
    int count = c->recipe->count;
    tc_model *stages[TC_MAX_STAGES] = {NULL};
    const tc_model *all[TC_MAX_STAGES + 1] = {c->o->teacher};
    tc_speed speeds[TC_MAX_STAGES + 1];
    tc_status status = TC_OK;
    if (!(c->o->speed_seconds > 0)) return TC_OK;
    for (int k = 0; k < count && status == TC_OK; k++) {
        status = open_done(c, k, &stages[k], err);
        all[k + 1] = stages[k];
    }
    if (status == TC_OK)
        status = tc_measure_speeds(all, count + 1, TC_SPEED_BATCH, TC_SPEED_CAPTION, c->o->speed_seconds,
                                   speeds, err);
    for (int k = 0; k <= count && status == TC_OK; k++)
        tc_record_speed(k ? tc_record_stage(c, k - 1) : json_object_get(c->record, "teacher"), &speeds[k]);
    if (status == TC_OK) json_object_set_new(c->record, "speeds_in_turn", json_true());
    for (int k = 0; k < count; k++) tc_model_close(&stages[k]);
    return status;
}

static tc_status run(tc_compression *c, tc_error *err) {
    bool complete = true;
    tc_status status = note_teacher(c, err);
    for (int k = 0; k < c->recipe->count && status == TC_OK && complete; k++) {
        if (is_done(c, k)) continue;
        complete = !should_stop(c);
        if (complete) status = run_stage(c, k, &complete, err);
    }
    if (status != TC_OK || !complete || json_is_true(json_object_get(c->record, "finished"))) return status;
    status = publish(c, err);
    if (status == TC_OK) status = note_speeds(c, err);
    json_object_set_new(c->record, "finished", json_true());
    return status == TC_OK ? tc_record_write(c, err) : status;
}

/* As a training run does. */
static tc_status note_request(const tc_compression *c, tc_error *err) {
    const tc_compress_options *o = c->o;
    if (o->resume && !o->restart && tc_run_file_exists(o->out)) return TC_OK;
    json_t *content = json_pack("{s:s}", "version", TC_VERSION), *settings = json_object();
    tc_settings_note(tc_compress_setting, o, TC_SETTING_CALL, false, settings);
    json_object_set_new(content, "settings", settings);
    tc_run_file_model(content, "teacher", o->teacher);
    tc_run_file_data(content, "data", o->data);
    tc_run_file_data(content, "eval_data", o->eval_data);
    return tc_run_file_write(o->out, content, o->restart, o->restart_count, err);
}

tc_status tc_compress(const tc_compress_options *options, tc_compress_result *result, tc_error *err) {
    tc_compression *c = tc_new(1, sizeof *c);
    if (!c) return tc_fail_memory(err, sizeof *c);
    double begun = tc_now();
    tc_status status = tc_compression_prepare(c, options, err);
    if (status == TC_OK) status = tc_record_find(c, err);
    if (status == TC_OK) status = tc_lock_folder(options->out, "compression", &c->lock, err);
    /* Again, now that nobody else can change it. */
    if (status == TC_OK) status = tc_record_find(c, err);
    if (status == TC_OK) status = tc_record_open(c, err);
    if (status == TC_OK) tc_remove_temporaries(options->out);
    if (status == TC_OK) status = note_request(c, err);
    if (status == TC_OK) status = tc_record_write(c, err);
    if (status == TC_OK) status = run(c, err);
    if (status == TC_OK && result) {
        *result = (tc_compress_result){.stages = c->recipe->count,
                                       .steps = c->steps,
                                       .seconds = tc_now() - begun,
                                       .finished = json_is_true(json_object_get(c->record, "finished"))};
        for (int k = 0; k < result->stages; k++) result->stages_done += is_done(c, k);
    }
    tc_compression_release(c);
    free(c);
    return status;
}
