/* vec512.h - vectors of 16 floats for AVX-512: the operations that the kernels of x86/simd_*.h are written
 * in.
 *
 * vec256.h gives the same names for 8 floats; a translation unit includes one of the two. A vf also takes + -
 * * /. */
#ifndef TC_VEC_H
#define TC_VEC_H

#include <immintrin.h>
#include <stdint.h>

enum { VL = 16 };
enum { TILE_ROWS = 14, TILE_VECS = 2 }; /* the register tile of a matrix product: 28 sums of 32 registers */
typedef __m512 vf;

static inline vf v_zero(void) { return _mm512_setzero_ps(); }
static inline vf v_set1(float x) { return _mm512_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline __mmask16 v_lanes(int64_t n) {
    if (n < 1) return 0;
    return n >= VL ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
}
/* The first n lanes (all if n > VL, none if n < 1); the others are 0 and are not touched in memory. */
static inline vf v_load_part(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v_lanes(n), p); }
static inline void v_store_part(float *p, vf x, int64_t n) { _mm512_mask_storeu_ps(p, v_lanes(n), x); }
/* x in the first n lanes, `other` in the rest */
static inline vf v_keep(vf x, vf other, int64_t n) { return _mm512_mask_blend_ps(v_lanes(n), other, x); }
/* a * b + c and c - a * b, rounded once */
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
/* b if either is not a number */
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_abs(vf x) { return _mm512_abs_ps(x); }
static inline vf v_sqrt(vf x) { return _mm512_sqrt_ps(x); }
/* x < 0 ? a : b */
static inline vf v_if_negative(vf x, vf a, vf b) {
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), b, a);
}
/* x == 0 ? a : b */
static inline vf v_if_zero(vf x, vf a, vf b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, v_zero(), _CMP_EQ_OQ), b, a);
}
static inline vf v_round(vf x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* x * 2^n for whole n; results may be subnormal or infinite */
static inline vf v_scale2(vf x, vf n) { return _mm512_scalef_ps(x, n); }
/* 1 / x to about 1 ulp for normal x with a normal reciprocal: a division of 16 lanes would block the
 * multiplier for longer than an approximation (to 2^-14) and a correction, which squares its error */
static inline vf v_reciprocal(vf x) {
    vf r = _mm512_rcp14_ps(x);
    return _mm512_fmadd_ps(r, _mm512_fnmadd_ps(x, r, _mm512_set1_ps(1)), r);
}
static inline float v_sum(vf x) { return _mm512_reduce_add_ps(x); }
static inline float v_largest(vf x) { return _mm512_reduce_max_ps(x); }

/* Sums in double of a vector's lanes. */
typedef struct vd2 {
    __m512d low, high;
} vd2;
static inline vd2 vd_zero(void) { return (vd2){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
/* s + x * y */
static inline vd2 vd_add_product(vd2 s, vf x, vf y) {
    s.low = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(x)),
                            _mm512_cvtps_pd(_mm512_castps512_ps256(y)), s.low);
    s.high = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)),
                             _mm512_cvtps_pd(_mm512_extractf32x8_ps(y, 1)), s.high);
    return s;
}
static inline void vd_store(double *p, vd2 s) {
    _mm512_storeu_pd(p, s.low);
    _mm512_storeu_pd(p + 8, s.high);
}
static inline double vd_sum(vd2 s) { return _mm512_reduce_add_pd(_mm512_add_pd(s.low, s.high)); }

/* Transposes VL vectors: pairs, fours, then quarters of vectors in two rounds. */
static inline void v_transpose(vf r[VL]) {
    vf t[VL], u[VL];
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        u[4 * i] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        u[4 * i + 1] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        u[4 * i + 2] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        u[4 * i + 3] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        vf even = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88);
        vf odd = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd);
        vf even2 = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88);
        vf odd2 = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(even, even2, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(even, even2, 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(odd, odd2, 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
    }
}

#endif
