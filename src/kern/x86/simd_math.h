/* simd_math.h - exp and the activations, accurate to a few units in the last place over the whole range.
 *
 * GELU is x Phi(x). Below 0, Phi(-t) = exp(-t^2/2) R(t): no difference of nearly equal numbers, so the tail keeps its relative accuracy, and the
 * gradient shares the exponential. R(t) = u P(u) with u = 1 / (1 + 0.3 t); P is the polynomial of least relative error on
 * 0 <= t <= 14 (3.4e-9), fitted by weighted least squares. Rounding t^2 or 1.702 x before the exponential would cost up to 1e-5 there; what was
 * rounded off comes back as a factor 1 - rest. */
#ifndef TC_SIMD_MATH_H
#define TC_SIMD_MATH_H

/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 P(r), P fitted to 3.1e-9. Not a number stays so. */
static inline vf v_exp(vf x)
{
    const double ln2 = 0.69314718055994530942;
    x = v_min(v_set1(89), v_max(v_set1(-104), x));
    vf n = v_round(x * v_set1(1.44269504088896341f));
    vf r = v_fnma(n, v_set1((float)ln2), x);
    r = v_fnma(n, v_set1((float)(ln2 - (double)(float)ln2)), r);
    vf p = v_set1(0.0013950599823147058f);
    p = v_fma(p, r, v_set1(0.008368954062461853f));
    p = v_fma(p, r, v_set1(0.04166620597243309f));
    p = v_fma(p, r, v_set1(0.166665181517601f));
    p = v_fma(p, r, v_set1(0.5f));
    p = v_fma(p, r * r, r) + v_set1(1);
    return v_scale2(p, n);
}

/* exp(-t^2/2) and Phi(-t) for t >= 0 */
static inline vf normal_tail(vf t, vf *gauss)
{
    /* At 15 both are 0 in single precision; infinity would give 0 * infinity. */
    t = v_min(v_set1(15), t);
    vf square = t * t, rest = v_fma(t, t, v_zero() - square);
    vf e = v_exp(square * v_set1(-0.5f));
    e = v_fnma(e * v_set1(0.5f), rest, e);
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

static inline vf gelu(vf x)
{
    vf gauss, tail = normal_tail(v_abs(x), &gauss);
    return x * v_if_negative(x, tail, v_set1(1) - tail);
}

/* Phi(x) + x exp(-x^2/2) / sqrt(2 pi) */
static inline vf gelu_slope(vf x)
{
    vf gauss, tail = normal_tail(v_abs(x), &gauss);
    vf phi = v_if_negative(x, tail, v_set1(1) - tail);
    return v_fma(x * v_set1(0.39894228040143268f), gauss, phi);
}

/* s = 1 / (1 + exp(-1.702 x)) and 1 - s. The constant is the sum of two numbers of single precision. */
static inline vf quick_sigmoid(vf x, vf *rest_of_1)
{
    const float high = 1.702f, low = (float)(1.702 - (double)1.702f);
    vf z = x * v_set1(high), rest = v_fma(x, v_set1(low), v_fma(x, v_set1(high), v_zero() - z));
    /* 87 keeps 1 / (1 + e) a normal number. */
    vf e = v_exp(v_min(v_set1(87), v_zero() - z));
    e = v_fnma(e, rest, e);
    vf s = v_reciprocal(v_set1(1) + e);
    *rest_of_1 = e * s;
    return s;
}

static inline vf quick_gelu(vf x)
{
    vf rest;
    return x * quick_sigmoid(x, &rest);
}

/* s (1 + 1.702 x (1 - s)) */
static inline vf quick_gelu_slope(vf x)
{
    vf rest, s = quick_sigmoid(x, &rest);
    return v_fma(s * rest, v_set1(1.702f) * x, s);
}

#endif
