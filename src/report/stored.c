/* stored.c - the files of the models: where they are, and whether they are still those that were measured. */
#include "report/report.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* DIR/model or DIR/model.safetensors, whichever is there. */
static char *model_in(const char *dir) {
    static const char *const names[] = {"model", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        char *path = tc_path_join(dir, names[i]);
        if (path && tc_path_exists(path)) return path;
        free(path);
    }
    return NULL;
}

/* The path that a compression was given: from here, from its folder, or from beside that. */
static char *teacher_path(const tc_compress_record *run) {
    static const char *const from[] = {".", ".."};
    const char *path = run->teacher.path;
    char *found = NULL;
    if (!path || tc_path_exists(path) || path[0] == '/') return path ? tc_strdup(path) : NULL;
    for (int i = 0; i < 2 && !found; i++) {
        char *dir = tc_path_join(run->dir, from[i]), *there = dir ? tc_path_join(dir, path) : NULL;
        free(dir);
        if (there && tc_path_exists(there)) found = there;
        else free(there);
    }
    return found ? found : tc_strdup(path);
}

char *tc_report_path(const tc_report_model *m) {
    if (!m->stage) return teacher_path(m->run);
    char *result = m->run->finished && m->last ? model_in(m->run->dir) : NULL;
    return result ? result : model_in(m->stage->dir);
}

static tc_status check_model(const tc_report_model *m, const tc_model *model, const char *path,
                             tc_error *err) {
    int64_t params = tc_model_get_info(model)->params;
    uint64_t hash;
    char text[32];
    if (params != m->record->params)
        return tc_fail(err, TC_EARG, "%s: %lld parameters; the model that was measured had %lld", path,
                       (long long)params, (long long)m->record->params);
    if (!m->record->hash) return TC_OK;
    tc_status status = tc_model_hash(model, &hash, err);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    if (status == TC_OK && strcmp(text, m->record->hash) != 0)
        status = tc_fail(err, TC_EARG, "%s: its weights are not those that were measured", path);
    return status;
}

tc_status tc_report_open(const tc_report_model *m, tc_model **out, tc_error *err) {
    char *path = tc_report_path(m);
    if (!path) return tc_fail(err, TC_EIO, "its file is not there");
    tc_status status = tc_model_open(out, path, NULL, err);
    if (status == TC_OK) status = check_model(m, *out, path, err);
    if (status != TC_OK) tc_model_close(out);
    free(path);
    return status;
}
