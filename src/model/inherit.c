/* inherit.c - manual weight inheritance (TinyCLIP, section 3.2): each tensor of the student is the leading
 * part of its teacher's along every axis, and block i comes from the teacher's block i * floor(T/S). A fused
 * query-key-value axis keeps its leading heads in each of its three parts. Only the axis groups of the
 * parameters are asked; nothing here knows what a transformer is. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* Index in the teacher's axis of index i of the student's. */
static int64_t inherited(const tc_axis *a, int64_t student, int64_t teacher, int64_t i) {
    int64_t of_part = student / a->parts;
    return i / of_part * (teacher / a->parts) + i % of_part;
}

/* out (student's shape) = the leading part of values (teacher's) along each axis, within each part of a fused
 * one. */
static void take_leading(const tc_param *s, const tc_param *t, const tc_real *values, tc_real *out) {
    int64_t index[TC_PARAM_RANK] = {0};
    for (int64_t k = 0; k < s->numel; k++) {
        int64_t at = 0;
        for (int a = 0; a < s->ndim; a++)
            at = at * t->shape[a] + inherited(&s->axis[a], s->shape[a], t->shape[a], index[a]);
        out[k] = values[at];
        for (int a = s->ndim - 1; a >= 0 && ++index[a] == s->shape[a]; a--) index[a] = 0;
    }
}

/* The teacher's parameter from which the student's inherits: which block that is in, the family knows. */
static int teacher_param(const tc_model *teacher, const tc_config *student, const tc_param *p) {
    if (p->layer < 0) return tc_params_find(&teacher->params, p->name);
    const tc_tower_config *s = tc_config_tower(student, p->tower);
    const tc_tower_config *t = tc_config_tower(&teacher->config, p->tower);
    int block = s->family->source_block(t, s, p->layer);
    for (size_t i = 0; i < teacher->params.count; i++) {
        const tc_param *q = &teacher->params.items[i];
        if (q->tower == p->tower && q->layer == block &&
            strcmp(q->name + q->in_block, p->name + p->in_block) == 0)
            return (int)i;
    }
    return -1;
}

static tc_status check_inherits(const tc_config *t, const tc_config *s, tc_error *err) {
    const struct {
        const char *what;
        int teacher, student;
    } at_most[] = {{"vision layers", t->vision.layers, s->vision.layers},
                   {"text layers", t->text.layers, s->text.layers},
                   {"blocks in stage 1", t->vision.stages[0], s->vision.stages[0]},
                   {"blocks in stage 2", t->vision.stages[1], s->vision.stages[1]},
                   {"blocks in stage 3", t->vision.stages[2], s->vision.stages[2]},
                   {"blocks in stage 4", t->vision.stages[3], s->vision.stages[3]}},
      equal[] = {{"text head width", t->text.head_dim, s->text.head_dim},
                 {"patch_size", t->vision.patch_size, s->vision.patch_size},
                 {"image_size", t->image_size,
                  s->image_size}, /* the leading positions of another grid are not those of this one */
                 {"vision head width", t->vision.head_dim, s->vision.head_dim}};
    const tc_tower_family *of_teacher = t->vision.family, *of_student = s->vision.family;
    size_t equals = of_student->any_head_dim ? 3 : 4;
    if (of_teacher != of_student)
        return tc_fail(err, TC_EARG, "inherit: the student's image tower is a %s, its teacher's a %s",
                       of_student->title, of_teacher->title);
    for (size_t i = 0; i < sizeof at_most / sizeof *at_most; i++)
        if (at_most[i].student > at_most[i].teacher)
            return tc_fail(err, TC_EARG, "inherit: the student has %d %s, its teacher only %d",
                           at_most[i].student, at_most[i].what, at_most[i].teacher);
    for (size_t i = 0; i < equals; i++)
        if (equal[i].student != equal[i].teacher)
            return tc_fail(err, TC_EARG,
                           "inherit: %s is %d in the student and %d in the teacher; they must be equal",
                           equal[i].what, equal[i].student, equal[i].teacher);
    return TC_OK;
}

/* *from: the teacher's parameter that the student's parameter i is the leading part of. */
static tc_status find_source(const tc_model *student, size_t i, const tc_model *teacher, int *from,
                             tc_error *err) {
    const tc_param *s = &student->params.items[i];
    *from = teacher_param(teacher, &student->config, s);
    if (*from < 0) return tc_fail(err, TC_EARG, "inherit: the teacher has nothing for %s", s->name);
    const tc_param *t = &teacher->params.items[*from];
    char a[64], b[64];
    bool fits = s->ndim == t->ndim;
    for (int k = 0; k < s->ndim && fits; k++) fits = s->shape[k] <= t->shape[k];
    if (fits) return TC_OK;
    return tc_fail(err, TC_EARG, "inherit: %s is %s in the student, larger than the teacher's %s", s->name,
                   tc_shape_text(s->ndim, s->shape, a, sizeof a),
                   tc_shape_text(t->ndim, t->shape, b, sizeof b));
}

tc_status tc_inherit_check(const tc_config *teacher, const tc_config *student, tc_error *err) {
    tc_model *t = NULL, *s = NULL;
    int from;
    tc_status status = check_inherits(teacher, student, err);
    if (status == TC_OK) status = tc_model_new(&t, teacher, err);
    if (status == TC_OK) status = tc_model_new(&s, student, err);
    for (size_t i = 0; status == TC_OK && i < s->params.count; i++)
        if (s->params.items[i].tower != TC_TOWER_JOINT) status = find_source(s, i, t, &from, err);
    tc_model_close(&t);
    tc_model_close(&s);
    return status;
}

static tc_status inherit_param(tc_model *student, size_t i, const tc_model *teacher, tc_error *err) {
    int from;
    tc_status status = find_source(student, i, teacher, &from, err);
    if (status != TC_OK) return status;
    const tc_param *s = &student->params.items[i], *t = &teacher->params.items[from];
    tc_real *values = tc_new_aligned((size_t)t->numel, sizeof *values);
    if (!values) return tc_fail_memory(err, (size_t)t->numel * sizeof *values);
    status = tc_model_read(teacher, (size_t)from, values, err);
    if (status == TC_OK) take_leading(s, t, values, student->flat + s->offset);
    tc_model_let_go(teacher, (size_t)from);
    free(values);
    return status;
}

tc_status tc_model_inherit_config(tc_model **out, const tc_model *teacher, const tc_config *config,
                                  tc_error *err) {
    *out = NULL;
    tc_config c = *config;
    tc_status status = check_inherits(&teacher->config, &c, err);
    if (status != TC_OK) return status;
    /* The activation and the pooling rule belong to the weights. */
    c.vision.activation = teacher->config.vision.activation;
    c.text.activation = teacher->config.text.activation;
    c.eos_id = teacher->config.eos_id;
    status = tc_model_new_flat(out, &c, err);
    if (status != TC_OK) return status;
    tc_model *m = *out;
    for (size_t i = 0; i < m->params.count && status == TC_OK; i++) {
        if (m->params.items[i].tower == TC_TOWER_JOINT)
            m->flat[m->params.items[i].offset] = (tc_real)(float)m->params.items[i].init_mean;
        else status = inherit_param(m, i, teacher, err);
    }
    if (status == TC_OK) status = tc_model_copy_settings(m, teacher, err);
    if (status == TC_OK && !(m->source = tc_strdup("inherited"))) status = tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_model_finish(m, err);
    if (status != TC_OK) tc_model_close(out);
    return status;
}

tc_status tc_model_inherit(tc_model **out, const tc_model *teacher, const char *config, tc_error *err) {
    tc_config c;
    *out = NULL;
    tc_status status = tc_config_open(&c, config, err);
    return status == TC_OK ? tc_model_inherit_config(out, teacher, &c, err) : status;
}
