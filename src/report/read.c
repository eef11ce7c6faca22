/* read.c - a compression's folder, or a folder of several, as the structures of report.h.
 *
 * compress.json is written by this program, but may be anybody's: each value that is there must have its type
 * and range, or the file is refused with the path of the value. What may be missing is "not known"; what a
 * page cannot do without is asked for. Keys that are not known are left alone. */
#include "report/report.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t FILE_LIMIT = (size_t)1 << 24;
static const double MOST = 1e15; /* of any count */

/* The object that is being read: where it stands in the file, and the first thing that was wrong. */
typedef struct reader {
    const char *file;
    tc_error *err;
    tc_status status;
} reader;
typedef struct place {
    reader *r;
    const json_t *json; /* NULL: it is not there */
    char path[96];      /* "stages[1].vision." */
} place;

static void wrong(const place *p, const char *key, const char *what) {
    if (p->r->status == TC_OK)
        p->r->status = tc_fail(p->r->err, TC_EFORMAT, "%s: %s%s %s", p->r->file, p->path, key, what);
}

/* NULL if it is not there or null; then it is an error if it is needed. */
static const json_t *value(const place *p, const char *key, bool needed) {
    const json_t *v = p->json ? json_object_get(p->json, key) : NULL;
    if (v && !json_is_null(v)) return v;
    if (needed) wrong(p, key, "is missing");
    return NULL;
}

static const char *get_text(const place *p, const char *key, bool needed) {
    const json_t *v = value(p, key, needed);
    if (v && !json_is_string(v)) wrong(p, key, "is not a text");
    return json_string_value(v);
}

static int64_t get_whole(const place *p, const char *key, double least, bool needed) {
    const json_t *v = value(p, key, needed);
    if (!v) return -1;
    double x = (double)json_integer_value(v);
    if (!json_is_integer(v) || x < least || x > MOST) {
        char what[64];
        snprintf(what, sizeof what, "is not a whole number of at least %g", least);
        wrong(p, key, what);
        return -1;
    }
    return (int64_t)json_integer_value(v);
}

static double get_real(const place *p, const char *key, double most) {
    const json_t *v = value(p, key, false);
    if (!v) return NAN;
    double x = json_number_value(v);
    if (json_is_number(v) && x >= 0 && x <= most) return x;
    char what[64];
    snprintf(what, sizeof what, "is not a number from 0 to %g", most);
    wrong(p, key, what);
    return NAN;
}

static bool get_bool(const place *p, const char *key) {
    const json_t *v = value(p, key, true);
    if (v && !json_is_boolean(v)) wrong(p, key, "is neither true nor false");
    return json_is_true(v);
}

static const json_t *get_array(const place *p, const char *key, bool needed) {
    const json_t *v = value(p, key, needed);
    if (v && !json_is_array(v)) wrong(p, key, "is not a list");
    return json_is_array(v) ? v : NULL;
}

static place get_object(const place *p, const char *key, bool needed) {
    const json_t *v = value(p, key, needed);
    if (v && !json_is_object(v)) wrong(p, key, "is not an object");
    place inner = {.r = p->r, .json = json_is_object(v) ? v : NULL};
    snprintf(inner.path, sizeof inner.path, "%.60s%.30s.", p->path, key);
    return inner;
}

/* ---- a model */

/* n numbers from `least` on; NULL if there are not. */
static int *get_counts(const place *p, const char *key, int n, int least) {
    const json_t *list = get_array(p, key, true);
    if (!list) return NULL;
    if (json_array_size(list) != (size_t)n) {
        wrong(p, key, "has not as many numbers as the tower has layers");
        return NULL;
    }
    int *out = tc_new((size_t)n, sizeof *out);
    if (!out) p->r->status = tc_fail_memory(p->r->err, (size_t)n * sizeof *out);
    if (!out) return NULL;
    for (int i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        json_int_t x = json_integer_value(v);
        if (!json_is_integer(v) || x < least || x > 1 << 24)
            wrong(p, key, "holds something that is no count");
        else out[i] = (int)x;
    }
    return out;
}

static void read_stages_of_resnet(tc_report_tower *t, const place *p) {
    if (!value(p, "stages", false)) return;
    int *stages = get_counts(p, "stages", 4, 1);
    int64_t all = 0;
    for (int i = 0; i < 4 && stages; i++) all += t->stages[i] = stages[i];
    if (stages && all != t->layers) wrong(p, "stages", "are not as many blocks as layers");
    free(stages);
}

static void read_tower(tc_report_tower *t, const place *facts, const char *key) {
    place p = get_object(facts, key, false);
    if (!p.json) return;
    const char *kind = get_text(&p, "kind", true);
    if (kind && strcmp(kind, "vit") != 0 && strcmp(kind, "resnet") != 0 && strcmp(kind, "text") != 0)
        wrong(&p, "kind", "is none of vit, resnet, text");
    int64_t width = get_whole(&p, "width", 1, true), layers = get_whole(&p, "layers", 1, true);
    if (width > 1 << 24) wrong(&p, "width", "is too large");
    if (layers > TC_REPORT_LAYERS) wrong(&p, "layers", "is too large");
    if (p.r->status != TC_OK) return;
    *t = (tc_report_tower){
        .given = true, .resnet = strcmp(kind, "resnet") == 0, .width = (int)width, .layers = (int)layers};
    if (t->resnet) {
        t->channels = get_counts(&p, "channels", 2 + 2 * t->layers, 0);
        read_stages_of_resnet(t, &p);
    } else {
        t->heads = get_counts(&p, "heads", t->layers, 0);
        t->ffn = get_counts(&p, "ffn", t->layers, -1);
    }
}

static void read_direction(tc_retrieval_direction *d, const place *retrieval, const char *key) {
    place p = get_object(retrieval, key, true);
    *d = (tc_retrieval_direction){.r1 = get_real(&p, "r1", 1),
                                  .r5 = get_real(&p, "r5", 1),
                                  .r10 = get_real(&p, "r10", 1),
                                  .mean_rank = get_real(&p, "mean_rank", MOST),
                                  .median_rank = get_real(&p, "median_rank", MOST)};
}

/* The facts among the keys of p; `needed`: the sizes must be there. */
static void read_facts(tc_report_facts *f, const place *p, bool needed) {
    f->given = value(p, "params", needed) != NULL;
    f->path = get_text(p, "path", false);
    f->hash = get_text(p, "weights_hash", false);
    f->params = get_whole(p, "params", 1, needed);
    f->params_without_tokens = get_whole(p, "params_without_tokens", 1, f->given);
    f->macs_image = get_real(p, "macs_image", 1e30);
    f->macs_text = get_real(p, "macs_text", 1e30);
    f->embed_dim = (int)get_whole(p, "embed_dim", 1, false);
    read_tower(&f->vision, p, "vision");
    read_tower(&f->text, p, "text");
    f->top1 = get_real(p, "top1", 1);
    f->top5 = get_real(p, "top5", 1);
    f->images = get_whole(p, "images", 0, false);
    f->images_per_second = get_real(p, "images_per_second", MOST);
    f->texts_per_second = get_real(p, "texts_per_second", MOST);
    place retrieval = get_object(p, "retrieval", false);
    f->pairs = -1;
    f->image_to_text.r1 = f->text_to_image.r1 = NAN;
    if (!retrieval.json) return;
    f->pairs = get_whole(&retrieval, "pairs", 1, true);
    read_direction(&f->image_to_text, &retrieval, "image_to_text");
    read_direction(&f->text_to_image, &retrieval, "text_to_image");
}

/* ---- a compression */

static void read_stage(tc_report_stage *s, const place *p, const char *dir) {
    s->log.fold = -1;
    s->name = get_text(p, "name", true);
    s->inheritance = get_text(p, "inheritance", true);
    s->teacher_loss = get_text(p, "teacher_loss", false);
    s->folder = get_text(p, "folder", true);
    s->steps = get_whole(p, "steps", 1, true);
    s->seconds = get_real(p, "seconds", MOST);
    s->done = get_bool(p, "done");
    if (s->folder && (!*s->folder || *s->folder == '.' || strchr(s->folder, '/')))
        wrong(p, "folder", "is not the name of a folder");
    read_facts(&s->facts, p, s->done);
    if (p->r->status == TC_OK && !(s->dir = tc_path_join(dir, s->folder)))
        p->r->status = tc_fail_memory(p->r->err, 1);
}

static void read_stages(tc_report_run *run, const place *root) {
    const json_t *list = get_array(root, "stages", true);
    size_t n = json_array_size(list);
    if (list && (n < 1 || n > TC_REPORT_STAGES)) wrong(root, "stages", "has none, or too many");
    bool all = true;
    int64_t before = 0;
    for (size_t i = 0; i < n && root->r->status == TC_OK; i++) {
        tc_report_stage *s = &run->stages[run->stage_count++];
        place p = {.r = root->r, .json = json_array_get(list, i)};
        snprintf(p.path, sizeof p.path, "stages[%zu].", i);
        if (!json_is_object(p.json)) wrong(&p, "", "is not an object");
        read_stage(s, &p, run->dir);
        if (s->done && !all) wrong(&p, "done", "is true, but not of the stage before");
        all = all && s->done;
        s->before = before;
        before += s->steps;
    }
    if (run->finished && !all) wrong(root, "finished", "is true, but not every stage is done");
}

static void read_data(tc_report_data *d, const place *root, const char *key) {
    place p = get_object(root, key, false);
    if (!p.json) return;
    *d = (tc_report_data){.given = true,
                          .spec = get_text(&p, "spec", true),
                          .split = get_text(&p, "split", false),
                          .hash = get_text(&p, "hash", false),
                          .samples = get_whole(&p, "samples", 0, false)};
}

static void read_origin(tc_report_run *run, const place *root) {
    run->version = get_text(root, "version", true);
    run->recipe_name = get_text(root, "recipe_name", false);
    run->seed = get_whole(root, "seed", 0, false);
    run->recipe = get_object(root, "recipe", false).json;
    run->command = get_array(root, "command", false);
    for (size_t i = 0; i < json_array_size(run->command); i++)
        if (!json_is_string(json_array_get(run->command, i)) &&
            !json_is_null(json_array_get(run->command, i)))
            wrong(root, "command", "holds something that is no text");
    place machine = get_object(root, "machine", false);
    run->cpu = get_text(&machine, "cpu", false);
    run->threads = get_whole(&machine, "threads", 1, false);
    read_data(&run->data, root, "data");
    read_data(&run->eval, root, "eval_data");
}

/* The last part of a path, which may be "." or end in "/". */
static char *folder_name(const char *dir) {
    char *real = realpath(dir, NULL), *name;
    const char *last = real ? strrchr(real, '/') : NULL;
    name = tc_strdup(last && last[1] ? last + 1 : dir);
    free(real);
    return name;
}

tc_status tc_report_parse(tc_report_run *run, const char *dir, const char *file, const char *text,
                          size_t size, tc_error *err) {
    *run = (tc_report_run){.dir = tc_strdup(dir), .name = folder_name(dir)};
    if (!run->dir || !run->name) return tc_fail_memory(err, strlen(dir));
    tc_status status = tc_json_parse(&run->json, text, size, file, err);
    if (status != TC_OK) return status;
    reader r = {.file = file, .err = err};
    if (!json_is_object(run->json)) return tc_fail(err, TC_EFORMAT, "%s: not a JSON object", file);
    place root = {.r = &r, .json = run->json};
    read_origin(run, &root);
    place teacher = get_object(&root, "teacher", true);
    run->finished = get_bool(&root, "finished");
    read_facts(&run->teacher, &teacher, teacher.json && run->finished);
    read_stages(run, &root);
    return r.status;
}

static void free_facts(tc_report_facts *f) {
    tc_report_tower *towers[] = {&f->vision, &f->text};
    for (int i = 0; i < 2; i++) {
        free(towers[i]->heads);
        free(towers[i]->ffn);
        free(towers[i]->channels);
    }
}

void tc_report_run_free(tc_report_run *run) {
    for (int i = 0; i < run->stage_count; i++) {
        free_facts(&run->stages[i].facts);
        tc_report_log_free(&run->stages[i].log);
        free(run->stages[i].dir);
    }
    free_facts(&run->teacher);
    json_decref(run->json);
    free(run->dir);
    free(run->name);
    *run = (tc_report_run){0};
}

/* ---- folders */

static tc_status read_run(tc_report_run *run, const char *dir, const char *file, tc_error *err) {
    char *text;
    size_t size;
    tc_status status = tc_file_read(file, FILE_LIMIT, &text, &size, err);
    if (status != TC_OK) return status;
    status = tc_report_parse(run, dir, file, text, size, err);
    free(text);
    for (int i = 0; i < run->stage_count && status == TC_OK; i++) {
        char *log = tc_path_join(run->stages[i].dir, "log.jsonl");
        if (!log) return tc_fail_memory(err, 1);
        if (tc_path_exists(log)) status = tc_report_log_read(&run->stages[i].log, log, err);
        free(log);
    }
    return status;
}

/* The folder itself if there is a compress.json in it; *is says so. */
static tc_status try_folder(tc_report *r, const char *dir, bool *is, tc_error *err) {
    char *file = tc_path_join(dir, "compress.json");
    if (!file) return tc_fail_memory(err, 1);
    *is = tc_path_exists(file);
    tc_status status = TC_OK;
    if (*is && r->count == TC_REPORT_RUNS)
        status = tc_fail(err, TC_EARG, "%s: more than %d compressions", r->dir, TC_REPORT_RUNS);
    else if (*is) status = read_run(&r->runs[r->count++], dir, file, err);
    free(file);
    return status;
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static tc_status read_subfolders(tc_report *r, tc_error *err) {
    struct dirent **names;
    int n = scandir(r->dir, &names, visible, alphasort);
    if (n < 0) return tc_fail(err, TC_EIO, "%s: %s", r->dir, strerror(errno));
    tc_status status = TC_OK;
    for (int i = 0; i < n; i++) {
        char *dir = tc_path_join(r->dir, names[i]->d_name);
        bool is;
        if (!dir) status = tc_fail_memory(err, 1);
        else if (status == TC_OK && tc_path_is_dir(dir)) status = try_folder(r, dir, &is, err);
        free(dir);
        free(names[i]);
    }
    free(names);
    if (status == TC_OK && r->count == 0)
        status = tc_fail(
            err, TC_EARG,
            "%s: no compress.json in it nor in its folders; it is not the folder of a compression", r->dir);
    return status;
}

/* A page compares with one teacher. */
static tc_status check_teachers(const tc_report *r, tc_error *err) {
    const tc_report_facts *a = &r->runs[0].teacher;
    for (int i = 1; i < r->count; i++) {
        const tc_report_facts *b = &r->runs[i].teacher;
        bool sizes = a->given && b->given &&
                     (a->params != b->params || a->params_without_tokens != b->params_without_tokens);
        if (sizes || (a->hash && b->hash && strcmp(a->hash, b->hash) != 0))
            return tc_fail(err, TC_EARG, "%s and %s have different teachers; a report is about one",
                           r->runs[0].dir, r->runs[i].dir);
    }
    return TC_OK;
}

tc_status tc_report_read(tc_report *r, const char *dir, tc_error *err) {
    *r = (tc_report){.dir = dir, .runs = tc_new(TC_REPORT_RUNS, sizeof *r->runs)};
    if (!r->runs) return tc_fail_memory(err, TC_REPORT_RUNS * sizeof *r->runs);
    bool is;
    tc_status status = try_folder(r, dir, &is, err);
    if (status == TC_OK && !is) status = read_subfolders(r, err);
    if (status == TC_OK) status = check_teachers(r, err);
    if (status != TC_OK) tc_report_free(r);
    return status;
}

void tc_report_free(tc_report *r) {
    for (int i = 0; i < r->count; i++) tc_report_run_free(&r->runs[i]);
    free(r->runs);
    *r = (tc_report){0};
}

/* ---- what follows from it */

const tc_report_facts *tc_report_teacher(const tc_report *r) {
    for (int i = 0; i < r->count; i++)
        if (r->runs[i].teacher.given) return &r->runs[i].teacher;
    return &r->runs[0].teacher;
}

const tc_report_stage *tc_report_last(const tc_report_run *run) {
    const tc_report_stage *last = NULL;
    for (int i = 0; i < run->stage_count; i++)
        if (run->stages[i].done) last = &run->stages[i];
    return last;
}

int64_t tc_report_steps_planned(const tc_report_run *run) {
    const tc_report_stage *last = &run->stages[run->stage_count - 1];
    return last->before + last->steps;
}

int64_t tc_report_steps_made(const tc_report_run *run) {
    int64_t made = 0;
    for (int i = 0; i < run->stage_count; i++) {
        const tc_report_stage *s = &run->stages[i];
        made += s->done || s->log.last > s->steps ? s->steps : s->log.last;
    }
    return made;
}

double tc_report_seconds(const tc_report_run *run) {
    double all = 0;
    for (int i = 0; i < run->stage_count; i++)
        if (run->stages[i].done) all += run->stages[i].seconds;
    return all;
}

/* What the teacher was measured by counts; without one, what the first result was. */
tc_report_metric tc_report_metric_of(const tc_report *r) {
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < r->count; i++) {
            const tc_report_stage *s = tc_report_last(&r->runs[i]);
            const tc_report_facts *f = pass == 0 ? &r->runs[i].teacher : s ? &s->facts : NULL;
            if (f && !isnan(f->top1)) return TC_REPORT_TOP1;
            if (f && f->pairs > 0) return TC_REPORT_R1;
        }
    return TC_REPORT_NONE;
}

const char *tc_report_metric_name(tc_report_metric m) {
    return m == TC_REPORT_TOP1 ? "zero-shot top-1" : m == TC_REPORT_R1 ? "R@1, caption of an image" : "";
}

double tc_report_metric_value(const tc_report_facts *f, tc_report_metric m) {
    return m == TC_REPORT_TOP1 ? f->top1 : m == TC_REPORT_R1 && f->pairs > 0 ? f->image_to_text.r1 : NAN;
}

const char *tc_report_model_name(const tc_report *r, const tc_report_run *run, const tc_report_stage *stage,
                                 tc_report_name *name) {
    int number = (int)(stage - run->stages) + 1;
    if (r->count == 1) snprintf(name->s, sizeof name->s, "stage %d (%.300s)", number, stage->name);
    else if (number == run->stage_count) snprintf(name->s, sizeof name->s, "%.300s", run->name);
    else snprintf(name->s, sizeof name->s, "%.300s, stage %d", run->name, number);
    return name->s;
}
