/* gates.c - hard-concrete gates: a logistic variable, stretched from (0,1) to (-0.1,1.1) and clamped, so that
 * exact 0 and exact 1 have a probability of their own and what lies between has a gradient.
 *
 *     s = sig((ln u - ln(1-u) + loga) / T),  z = min(1, max(0, 1.2 s - 0.1)),  P(z != 0) = 1 - sig(T
 * ln(0.1/1.1) - loga),  T = 2/3 */
#include "train/gates.h"

#include <math.h>
#include <stdlib.h>

static const double temperature = 2.0 / 3, least = -0.1, most = 1.1, eps = 1e-6, sharpness = 0.8;

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

double tc_gate_score(double loga, double *slope) {
    double at_zero = -least / (most - least), q = sigmoid(temperature * log(at_zero / (1 - at_zero)) - loga);
    bool inside = q > eps && q < 1 - eps;
    if (slope) *slope = inside ? q * (1 - q) : 0;
    return 1 - fmin(fmax(q, eps), 1 - eps);
}

double tc_gate_sample(double loga, double u, double *slope) {
    double s = sigmoid((log(u) - log1p(-u) + loga) / temperature), z = s * (most - least) + least;
    if (slope) *slope = z > 0 && z < 1 ? (most - least) * s * (1 - s) / temperature : 0;
    return fmin(1, fmax(0, z));
}

double tc_gate_soft(double loga) { return sigmoid(loga / temperature * sharpness); }

/* ---- all gates */

tc_status tc_gates_create(tc_gates **out, tc_mask_sites *sites, double loga, double lambda, tc_error *err) {
    tc_gates *g = tc_new(1, sizeof *g);
    *out = NULL;
    if (!g) {
        tc_mask_sites_free(sites);
        return tc_fail_memory(err, sizeof *g);
    }
    g->sites = *sites;
    *sites = (tc_mask_sites){0};
    size_t n = (size_t)g->sites.total, all = n + TC_GATES_LAMBDA;
    g->count = (int64_t)all;
    double **blocks[] = {&g->value, &g->grad, &g->m, &g->v};
    bool ok = true;
    for (int i = 0; i < 4; i++) ok = (*blocks[i] = tc_new(all, sizeof(double))) && ok;
    ok = (g->u = tc_new(n, sizeof *g->u)) && (g->slope = tc_new(n, sizeof *g->slope)) && ok;
    ok = (g->mask = tc_new_aligned(n, sizeof *g->mask)) &&
         (g->mask_grad = tc_new_aligned(n, sizeof *g->mask_grad)) && ok;
    ok = (g->sum = tc_new(g->sites.count, sizeof *g->sum)) && ok;
    if (!ok) {
        tc_gates_free(&g);
        return tc_fail_memory(err, all * sizeof(double));
    }
    for (size_t i = 0; i < all; i++) g->value[i] = i < n ? loga : lambda;
    *out = g;
    return TC_OK;
}

void tc_gates_free(tc_gates **out) {
    tc_gates *g = *out;
    if (!g) return;
    tc_mask_sites_free(&g->sites);
    void *all[] = {g->value, g->grad, g->m, g->v, g->u, g->slope, g->sum, g->mask, g->mask_grad};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(g);
    *out = NULL;
}

void tc_gates_draw(tc_gates *g, uint64_t seed, int64_t step) {
    for (size_t i = 0; i < g->sites.count; i++) {
        const tc_mask_site *s = &g->sites.items[i];
        tc_rng rng = tc_rng_make(tc_hash(seed, 0x6d61736b, 0), (uint64_t)step, i);
        for (int k = 0; k < s->size; k++) g->u[s->offset + k] = eps + (1 - 2 * eps) * tc_rng_uniform(&rng);
    }
}

void tc_gates_sample(tc_gates *g) {
    for (int64_t i = 0; i < g->sites.total; i++)
        g->mask[i] = (tc_real)tc_gate_sample(g->value[i], g->u[i], &g->slope[i]);
}

void tc_gates_backward(tc_gates *g) {
    for (int64_t i = 0; i < g->count; i++)
        g->grad[i] = i < g->sites.total ? (double)g->mask_grad[i] * g->slope[i] : 0;
}

/* ---- the deterministic mask */

void tc_gates_kept(const tc_gates *g, double shift, int *kept) {
    for (size_t i = 0; i < g->sites.count; i++) {
        const tc_mask_site *s = &g->sites.items[i];
        double sum = 0;
        for (int k = 0; k < s->size; k++) sum += tc_gate_score(g->value[s->offset + k] + shift, NULL);
        kept[i] = s->size - (int)nearbyint(s->size - sum); /* half to even, of the number of zeros */
    }
}

typedef struct member {
    double loga;
    int number;
} member;

static int by_loga(const void *a, const void *b) {
    const member *x = a, *y = b;
    return x->loga != y->loga ? (x->loga > y->loga) - (x->loga < y->loga) : x->number - y->number;
}

tc_status tc_gates_mask(const tc_gates *g, const int *kept, tc_real *mask, tc_error *err) {
    int widest = 1;
    for (size_t i = 0; i < g->sites.count; i++)
        if (g->sites.items[i].size > widest) widest = g->sites.items[i].size;
    member *members = tc_new((size_t)widest, sizeof *members);
    if (!members) return tc_fail_memory(err, (size_t)widest * sizeof *members);
    for (size_t i = 0; i < g->sites.count; i++) {
        const tc_mask_site *s = &g->sites.items[i];
        for (int k = 0; k < s->size; k++) members[k] = (member){g->value[s->offset + k], k};
        qsort(members, (size_t)s->size, sizeof *members, by_loga);
        for (int k = 0; k < s->size; k++)
            mask[s->offset + members[k].number] =
                k < s->size - kept[i] ? 0 : (tc_real)tc_gate_soft(members[k].loga);
    }
    free(members);
    return TC_OK;
}

/* ---- their optimizer */

double tc_gates_square(const tc_gates *g) {
    double sum = 0;
    for (int64_t i = 0; i < g->count; i++) sum += g->grad[i] * g->grad[i];
    return sum;
}

void tc_gates_update(tc_gates *g, double scale, double lr, double count) {
    const double beta1 = 0.9;
    const double beta2 = 0.999;
    const double adam_eps = 1e-8;
    const double c1 = 1 - pow(beta1, count);
    const double c2 = 1 - pow(beta2, count);
    for (int64_t i = 0; i < g->count; i++) {
        double grad = scale * g->grad[i], step;
        g->m[i] = beta1 * g->m[i] + (1 - beta1) * grad;
        g->v[i] = beta2 * g->v[i] + (1 - beta2) * grad * grad;
        step = lr * (g->m[i] / c1) / (sqrt(g->v[i] / c2) + adam_eps);
        if (i < g->sites.total) g->value[i] = fmin(fmax(g->value[i] - step, log(0.01)), log(100));
        else g->value[i] += step;
    }
}
