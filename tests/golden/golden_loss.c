/* golden_loss.c - the contrastive and the distillation loss with their gradients, of one rank and of several:
 * the formulas of the goldens' README made of the kernel table's gemm and softmax_xent. One process plays all
 * ranks, one after the other. */
#include "golden/golden.h"

#include "kern/kern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct loss_case {
    int64_t ranks, batch, ds, dt;
    double student_scale, teacher_scale;
    tc_real *si, *st, *ti, *tt;   /* [batch, ds or dt] */
    tc_real *grad[2];             /* image, text; [batch, ds] */
    double *image, *text, *slope; /* [ranks] loss of each direction, d loss / d log_scale */
} loss_case;

static tc_real *reals(int64_t n) { return tc_new_aligned((size_t)n, sizeof(tc_real)); }

static void free_case(loss_case *c) {
    tc_real *blocks[] = {c->si, c->st, c->ti, c->tt, c->grad[0], c->grad[1]};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    free(c->image);
    free(c->text);
    free(c->slope);
}

/* One direction of one rank: rows of `left` against all of `right`. Returns the sum over rows of the losses;
 * the gradients times 0.5 / rows are added. *slope gets the derivative by the logarithm of the scale. */
static double direction(const loss_case *c, int64_t rank, const tc_real *left, const tc_real *right,
                        const tc_real *teacher_left, const tc_real *teacher_right, bool soft,
                        bool gather_grad, tc_real *grad_left, tc_real *grad_right, double *slope) {
    const tc_kern *k = tc_kern_get();
    int64_t n = c->batch / c->ranks, b = c->batch, first = rank * n;
    tc_real s = (tc_real)c->student_scale, *x = reals(n * b), *logits = reals(n * b), *q = reals(n * b);
    double loss = NAN;
    if (x && logits && q) {
        k->gemm(false, true, n, b, c->ds, s, left + first * c->ds, c->ds, right, c->ds, 0, x, b);
        memcpy(logits, x, (size_t)(n * b) * sizeof *x);
        k->gemm(false, true, n, b, c->dt, (tc_real)c->teacher_scale, teacher_left + first * c->dt, c->dt,
                teacher_right, c->dt, 0, q, b);
        k->softmax(n, b, q, b);
        loss = k->softmax_xent(n, b, x, b, soft ? q : NULL, b, first, (tc_real)(0.5 / (double)n));
        *slope += k->dot(n * b, x, logits);
        k->gemm(false, false, n, c->ds, b, s, x, b, right, c->ds, 1, grad_left + first * c->ds, c->ds);
        if (gather_grad)
            k->gemm(true, false, b, c->ds, n, s, x, b, left + first * c->ds, c->ds, 1, grad_right, c->ds);
    }
    free(x);
    free(logits);
    free(q);
    return loss / (double)n;
}

static void evaluate(loss_case *c, bool soft, bool gather_grad) {
    for (int side = 0; side < 2; side++)
        memset(c->grad[side], 0, (size_t)(c->batch * c->ds) * sizeof(tc_real));
    for (int64_t r = 0; r < c->ranks; r++) {
        c->slope[r] = 0;
        c->image[r] = direction(c, r, c->si, c->st, c->ti, c->tt, soft, gather_grad, c->grad[0], c->grad[1],
                                &c->slope[r]);
        c->text[r] = direction(c, r, c->st, c->si, c->tt, c->ti, soft, gather_grad, c->grad[1], c->grad[0],
                               &c->slope[r]);
    }
}

static bool load_case(loss_case *c, const tc_store *s, const char *name) {
    static const char *const inputs[] = {"student_image", "student_text", "teacher_image", "teacher_text"};
    tc_real **to[] = {&c->si, &c->st, &c->ti, &c->tt};
    for (int i = 0; i < 4; i++) {
        char key[256];
        int64_t n;
        snprintf(key, sizeof key, "%s.%s", name, inputs[i]);
        *to[i] = golden_tensor(s, key, &n);
        if (!*to[i] || c->batch < 1) return false;
        *(i < 2 ? &c->ds : &c->dt) = n / c->batch;
    }
    for (int i = 0; i < 2; i++) c->grad[i] = reals(c->batch * c->ds);
    c->image = tc_new((size_t)c->ranks, sizeof(double));
    c->text = tc_new((size_t)c->ranks, sizeof(double));
    c->slope = tc_new((size_t)c->ranks, sizeof(double));
    return c->grad[0] && c->grad[1] && c->image && c->text && c->slope;
}

static void report(const char *name, const char *what, double got, double want, double tolerance) {
    char line[300];
    snprintf(line, sizeof line, "loss/%s %s", name, what);
    golden_report(fabs(got - want) <= tolerance, line, "got %.9g, expected %.9g, tolerance %.3g", got, want,
                  tolerance);
}

/* grad_image and grad_text against the tensors NAME.grad_*. */
static void report_grads(loss_case *c, const tc_store *s, const char *name, const json_t *tolerance) {
    static const char *const sides[] = {"grad_image", "grad_text"};
    for (int i = 0; i < 2; i++) {
        char key[256], line[300];
        int64_t n = 0;
        snprintf(key, sizeof key, "%s.%s", name, sides[i]);
        snprintf(line, sizeof line, "loss/%s", key);
        tc_real *want = golden_tensor(s, key, &n);
        if (want && n == c->batch * c->ds)
            golden_close(line, c->grad[i], want, n, golden_number(tolerance, sides[i]));
        else if (want) golden_report(false, line, "has %lld elements", (long long)n);
        free(want);
    }
}

static void single(const json_t *entry, const tc_store *s) {
    const char *name = json_string_value(json_object_get(entry, "name")), *kinds[] = {"soft", "hard"};
    loss_case c = {.ranks = 1,
                   .batch = (int64_t)golden_number(entry, "batch"),
                   .student_scale = golden_number(entry, "student_scale"),
                   .teacher_scale = golden_number(entry, "teacher_scale")};
    if (name && load_case(&c, s, name))
        for (int soft = 1; soft >= 0; soft--) {
            const char *kind = kinds[!soft];
            const json_t *want = json_object_get(json_object_get(entry, "expected"), kind);
            const json_t *tolerance = json_object_get(json_object_get(entry, "tolerance"), kind);
            char label[256];
            snprintf(label, sizeof label, "%s.%s", name, kind);
            evaluate(&c, soft, true);
            const struct {
                const char *what;
                double got;
            } values[] = {{"loss_img2text", c.image[0]},
                          {"loss_text2img", c.text[0]},
                          {"loss", (c.image[0] + c.text[0]) / 2},
                          {"grad_log_scale", c.slope[0]},
                          {"grad_scale", c.slope[0] / c.student_scale}};
            for (size_t i = 0; i < sizeof values / sizeof *values; i++)
                report(label, values[i].what, values[i].got, golden_number(want, values[i].what),
                       golden_number(tolerance, values[i].what));
            report_grads(&c, s, label, tolerance);
        }
    else golden_report(false, "loss", "a single case is incomplete");
    free_case(&c);
}

static double rank_number(const json_t *object, const char *key, int64_t rank) {
    const json_t *value = json_array_get(json_object_get(object, key), (size_t)rank);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void distributed_ranks(const loss_case *c, const char *label, const json_t *want, bool soft) {
    const json_t *tolerance = json_object_get(want, "tolerance");
    double loss = golden_number(tolerance, "loss"), slope = golden_number(tolerance, "grad_log_scale");
    for (int64_t r = 0; r < c->ranks; r++) {
        report(label, "per_rank_loss", (c->image[r] + c->text[r]) / 2, rank_number(want, "per_rank_loss", r),
               loss);
        report(label, "per_rank_grad_log_scale", c->slope[r], rank_number(want, "per_rank_grad_log_scale", r),
               slope);
        if (soft) {
            report(label, "per_rank_loss_img2text", c->image[r],
                   rank_number(want, "per_rank_loss_img2text", r), 2 * loss);
            report(label, "per_rank_loss_text2img", c->text[r],
                   rank_number(want, "per_rank_loss_text2img", r), 2 * loss);
        }
    }
}

static void distributed(const json_t *entry, const tc_store *s) {
    const char *name = json_string_value(json_object_get(entry, "name")), *kind;
    loss_case c = {.ranks = (int64_t)golden_number(entry, "world_size"),
                   .batch = (int64_t)golden_number(entry, "global_batch"),
                   .student_scale = exp(golden_number(entry, "student_log_scale")),
                   .teacher_scale = golden_number(entry, "teacher_scale")};
    json_t *want;
    bool ready = name && c.ranks > 0 && c.batch % c.ranks == 0 && load_case(&c, s, name);
    if (!ready) golden_report(false, "loss", "a distributed case is incomplete");
    else json_object_foreach(json_object_get(entry, "expected"), kind, want) {
            bool soft = strstr(kind, ".soft") != NULL, with_grad = strstr(kind, "gather_with_grad") != NULL;
            char label[256];
            double mean = 0;
            snprintf(label, sizeof label, "%s.%s", name, kind);
            evaluate(&c, soft, with_grad);
            distributed_ranks(&c, label, want, soft);
            report_grads(&c, s, label, json_object_get(want, "tolerance"));
            for (int64_t r = 0; r < c.ranks; r++) mean += (c.image[r] + c.text[r]) / 2 / (double)c.ranks;
            if (soft)
                report(label, "mean over ranks", mean, golden_number(entry, "full_batch_soft_loss"),
                       golden_number(json_object_get(want, "tolerance"), "loss"));
        }
    free_case(&c);
}

void golden_loss(const char *dir) {
    json_t *json = golden_json(dir, "expected.json");
    tc_store *store = golden_store(dir, "loss.safetensors");
    const json_t *entry;
    size_t i;
    if (json && store) {
        json_array_foreach(json_object_get(json, "single"), i, entry) single(entry, store);
        json_array_foreach(json_object_get(json, "distributed"), i, entry) distributed(entry, store);
    }
    json_decref(json);
    tc_store_close(&store);
}
