/* golden_inherit.c - manual weight inheritance: every tensor of the student, bit for bit, and the blocks that
 * it comes from. */
#include "golden/golden.h"
#include "model/model.h"
#include "scratch.h"

static bool matches(const tc_model *m, size_t i, const tc_tensor *t, tc_real *got, tc_real *wanted) {
    const tc_param *p = &m->params.items[i];
    bool same = t->ndim == p->ndim && tc_tensor_numel(t) == p->numel;
    for (int k = 0; k < p->ndim && same; k++) same = t->shape[k] == p->shape[k];
    /* The files hold F16, which widens exactly: equal bits there are equal bits here. */
    return same && tc_tensor_read(t, 0, p->numel, wanted) && tc_model_read(m, i, got, NULL) == TC_OK &&
           memcmp(got, wanted, (size_t)p->numel * sizeof *got) == 0;
}

/* The student's tensors against the file's: the same set but for logit_scale, the same shapes, the same
 * values. */
static void compare_student(const tc_model *m, const tc_store *s, const char *label) {
    char first[160] = "";
    size_t wrong = 0, found = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        if (p->tower == TC_TOWER_JOINT) continue;
        const tc_tensor *t = tc_store_find(s, p->name);
        tc_real *got = tc_new((size_t)p->numel, sizeof *got),
                *wanted = tc_new((size_t)p->numel, sizeof *wanted);
        found += t != NULL;
        if (!t || !got || !wanted || !matches(m, i, t, got, wanted)) {
            if (!wrong++) snprintf(first, sizeof first, "%s", p->name);
        }
        free(got);
        free(wanted);
    }
    golden_report(wrong == 0 && found == tc_store_count(s), label,
                  "%zu of %zu tensors differ, the first is %s; the file has %zu", wrong, m->params.count - 1,
                  first, tc_store_count(s));
}

/* logit_scale is not inherited: ln(1/0.07). */
static void check_logit_scale(const tc_model *m, const char *label) {
    char name[160];
    snprintf(name, sizeof name, "%s logit_scale", label);
    float scale = tc_model_get_info(m)->logit_scale;
    golden_report(scale == (float)2.6592600369327779, name, "%.9g", (double)scale);
}

/* The first row of a student block's FFN weight, or first convolution, is the beginning of the same row of
 * the teacher's block in the list, and of no later one. */
static void compare_blocks(const tc_model *student, const tc_model *teacher, const json_t *list,
                           const char *tower, const char *label) {
    bool resnet = tc_starts_with(tower, "visual.layer");
    size_t i;
    json_t *index;
    char name[160], wrong[80] = "";
    json_array_foreach(list, i, index) {
        int matched = -1;
        for (int b = 0; b < TC_MAX_LAYERS && !wrong[0]; b++) {
            char of[2][96];
            for (int k = 0; k < 2; k++) {
                int block = k ? b : (int)i;
                if (resnet) snprintf(of[k], sizeof of[k], "%.40s.%d.conv1.weight", tower, block);
                else
                    snprintf(of[k], sizeof of[k], "%stransformer.resblocks.%d.mlp.c_fc.weight",
                             strcmp(tower, "text") == 0 ? "" : "visual.", block);
            }
            int s = tc_params_find(&student->params, of[0]), t = tc_params_find(&teacher->params, of[1]);
            if (s < 0 || t < 0) break;
            tc_real *x = tc_new((size_t)student->params.items[s].numel, sizeof *x),
                    *y = tc_new((size_t)teacher->params.items[t].numel, sizeof *y);
            bool read = x && y && tc_model_read(student, (size_t)s, x, NULL) == TC_OK &&
                        tc_model_read(teacher, (size_t)t, y, NULL) == TC_OK;
            if (read && memcmp(x, y, (size_t)student->params.items[s].shape[1] * sizeof *x) == 0) matched = b;
            free(x);
            free(y);
        }
        if (matched != json_integer_value(index))
            snprintf(wrong, sizeof wrong, "block %zu comes from %d, expected %d", i, matched,
                     (int)json_integer_value(index));
    }
    snprintf(name, sizeof name, "%s %s blocks", label, tower);
    golden_report(!wrong[0] && json_array_size(list) > 0, name, "%s", wrong);
}

static char *dump_config(const char *scratch, const char *name, const json_t *config) {
    char *path = tc_path_join(scratch, name);
    if (path && json_dump_file(config, path, 0) != 0) {
        free(path);
        return NULL;
    }
    return path;
}

static void run_case(const char *dir, const char *scratch, const json_t *c) {
    char label[96], file[96],
        *teacher_config = dump_config(scratch, "teacher.json", json_object_get(c, "teacher_config"));
    char *student_config = dump_config(scratch, "student.json", json_object_get(c, "student_config"));
    const char *name = json_string_value(json_object_get(c, "name"));
    const json_t *blocks = json_object_get(c, "teacher_block_index_of_student_block");
    tc_model *teacher = NULL, *student = NULL;
    tc_open_options o = tc_open_options_default();
    tc_error err = {0};
    o.config = teacher_config;
    snprintf(label, sizeof label, "inherit %.60s", name);
    snprintf(file, sizeof file, "%.60s_teacher.safetensors", name);
    char *path = tc_path_join(dir, file);
    bool ok = path && teacher_config && student_config;
    if (!ok) golden_report(false, label, "its configurations cannot be written to %s", scratch);
    if (ok) ok = golden_ok(tc_model_open(&teacher, path, &o, &err), &err, label);
    if (ok) ok = golden_ok(tc_model_inherit(&student, teacher, student_config, &err), &err, label);
    snprintf(file, sizeof file, "%.60s_student.safetensors", name);
    tc_store *expected = ok ? golden_store(dir, file) : NULL;
    if (expected) {
        compare_student(student, expected, label);
        check_logit_scale(student, label);
        const char *tower;
        const json_t *list;
        json_object_foreach((json_t *)(uintptr_t)blocks, tower, list)
            compare_blocks(student, teacher, list, tower, label);
    }
    tc_store_close(&expected);
    tc_model_close(&student);
    tc_model_close(&teacher);
    free(path);
    free(teacher_config);
    free(student_config);
}

void golden_inherit(const char *dir) {
    json_t *json = golden_json(dir, "expected.json"), *c;
    size_t i;
    if (!json) return;
    char *scratch = scratch_dir();
    json_array_foreach(json_object_get(json, "cases"), i, c) {
        char label[96];
        const char *name = json_string_value(json_object_get(c, "name"));
        snprintf(label, sizeof label, "inherit %.60s", name ? name : "?");
        if (name) run_case(dir, scratch, c);
        else golden_report(false, label, "the case has no name");
    }
    scratch_remove(scratch);
    json_decref(json);
}
