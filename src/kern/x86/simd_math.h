/* simd_math.h - exp and the activations, accurate to a few units in the last place over the whole range.
 *
 * GELU is x Phi(x). Below 0, Phi(-t) = exp(-t^2/2) R(t): no difference of nearly equal numbers, so the tail
 * keeps its relative accuracy, and the gradient shares the exponential. R(t) = u P(u) with u = 1 / (1 + 0.3
 * t); P is the polynomial of least relative error on 0 <= t <= 14 (3.4e-9), fitted by weighted least squares.
 * Rounding t^2 or 1.702 x before the exponential would cost up to 1e-5 there, so that product goes into the
 * range reduction unrounded. */
#ifndef TC_SIMD_MATH_H
#define TC_SIMD_MATH_H

/* 2^n exp(r) for |r| <= ln 2 / 2: exp(r) = 1 + r + r^2 P(r), P fitted to 3.1e-9. */
static inline vf exp_part(vf r, vf n) {
    vf p = v_set1(0.0013950599823147058f);
    p = v_fma(p, r, v_set1(0.008368954062461853f));
    p = v_fma(p, r, v_set1(0.04166620597243309f));
    p = v_fma(p, r, v_set1(0.166665181517601f));
    p = v_fma(p, r, v_set1(0.5f));
    p = v_fma(p, r * r, r) + v_set1(1);
    return v_scale2(p, n);
}

/* ln 2 as a sum of which the first has so few bits that its products with whole numbers up to 2^14 are exact
 */
static const float LN2_HIGH = 355.0f / 512, LN2_LOW = (float)(0.69314718055994530942 - 355.0 / 512),
                   LOG2_E = 1.44269504088896341f;

/* Not a number stays so. */
static inline vf v_exp(vf x) {
    x = v_min(v_set1(89), v_max(v_set1(-104), x));
    vf n = v_round(x * v_set1(LOG2_E));
    vf r = v_fnma(n, v_set1(LN2_HIGH), x);
    return exp_part(v_fnma(n, v_set1(LN2_LOW), r), n);
}

/* exp(x y) with the product not rounded, for -120 <= x y <= 88 */
static inline vf v_exp_product(vf x, vf y) {
    vf n = v_round(x * y * v_set1(LOG2_E));
    vf r = v_fma(x, y, n * v_set1(-LN2_HIGH));
    return exp_part(v_fnma(n, v_set1(LN2_LOW), r), n);
}

/* exp(-t^2/2) and Phi(-t) for t >= 0 */
static inline vf normal_tail(vf t, vf *gauss) {
    /* At 15 both are 0 in single precision; infinity would give 0 * infinity. */
    t = v_min(v_set1(15), t);
    vf e = v_exp_product(t * v_set1(-0.5f), t);
    vf u = v_reciprocal(v_fma(v_set1(0.3f), t, v_set1(1)));
    vf p = v_set1(-0.02061283588409424f);
    p = v_fma(p, u, v_set1(0.11237581074237823f));
    p = v_fma(p, u, v_set1(-0.2280675768852234f));
    p = v_fma(p, u, v_set1(0.19158178567886353f));
    p = v_fma(p, u, v_set1(-0.07924740761518478f));
    p = v_fma(p, u, v_set1(0.09605786204338074f));
    p = v_fma(p, u, v_set1(0.0784255713224411f));
    p = v_fma(p, u, v_set1(0.1102273240685463f));
    p = v_fma(p, u, v_set1(0.11957284063100815f));
    p = v_fma(p, u, v_set1(0.11968663334846497f));
    *gauss = e;
    return e * (u * p);
}

static inline vf gelu(vf x) {
    vf gauss, tail = normal_tail(v_abs(x), &gauss);
    return x * v_if_negative(x, tail, v_set1(1) - tail);
}

/* Phi(x) + x exp(-x^2/2) / sqrt(2 pi) */
static inline vf gelu_slope(vf x) {
    vf gauss, tail = normal_tail(v_abs(x), &gauss);
    vf phi = v_if_negative(x, tail, v_set1(1) - tail);
    return v_fma(x * v_set1(0.39894228040143268f), gauss, phi);
}

/* s = 1 / (1 + exp(-1.702 x)) and 1 - s. The constant is the sum of two numbers of single precision. */
static inline vf quick_sigmoid(vf x, vf *rest_of_1) {
    /* exp(88) is finite but 1 / (1 + exp(88)) is not a normal number; beyond 51 the product with x is 0 or x
     * to 1e-35. */
    vf z = v_max(v_set1(-51), v_min(v_set1(51), x));
    vf e = v_exp_product(v_set1(-1.702f), z);
    e = v_fma(e * v_set1((float)((double)1.702f - 1.702)), z, e);
    vf s = v_reciprocal(v_set1(1) + e);
    *rest_of_1 = e * s;
    return s;
}

static inline vf quick_gelu(vf x) {
    vf rest;
    return x * quick_sigmoid(x, &rest);
}

/* s (1 + 1.702 x (1 - s)) */
static inline vf quick_gelu_slope(vf x) {
    vf rest, s = quick_sigmoid(x, &rest);
    return v_fma(s * rest, v_set1(1.702f) * x, s);
}

#endif
