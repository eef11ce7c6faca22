/* vec256.h - vectors of 8 floats for AVX2 + FMA: the operations that the kernels of x86/simd_*.h are written
 * in.
 *
 * vec512.h gives the same names for 16 floats; a translation unit includes one of the two. A vf also takes +
 * - * /. */
#ifndef TC_VEC_H
#define TC_VEC_H

#include <immintrin.h>
#include <stdint.h>

enum { VL = 8 };
enum { TILE_ROWS = 6, TILE_VECS = 2 }; /* the register tile of a matrix product: 12 sums of 16 registers */
typedef __m256 vf;

static inline vf v_zero(void) { return _mm256_setzero_ps(); }
static inline vf v_set1(float x) { return _mm256_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline __m256i v_lanes(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n > VL ? VL : (int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/* The first n lanes (all if n > VL, none if n < 1); the others are 0 and are not touched in memory. */
static inline vf v_load_part(const float *p, int64_t n) {
    return n >= VL ? v_load(p) : _mm256_maskload_ps(p, v_lanes(n));
}
static inline void v_store_part(float *p, vf x, int64_t n) {
    if (n >= VL) v_store(p, x);
    else _mm256_maskstore_ps(p, v_lanes(n), x);
}
/* x in the first n lanes, `other` in the rest */
static inline vf v_keep(vf x, vf other, int64_t n) {
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(v_lanes(n)));
}
/* a * b + c and c - a * b, rounded once */
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
/* b if either is not a number */
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_abs(vf x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
static inline vf v_sqrt(vf x) { return _mm256_sqrt_ps(x); }
/* x < 0 ? a : b */
static inline vf v_if_negative(vf x, vf a, vf b) { return _mm256_blendv_ps(b, a, x); }
/* x == 0 ? a : b */
static inline vf v_if_zero(vf x, vf a, vf b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, v_zero(), _CMP_EQ_OQ));
}
static inline vf v_round(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* x * 2^n for whole n in -252 .. 252; in two steps, so that results may be subnormal or infinite */
static inline vf v_scale2(vf x, vf n) {
    __m256i whole = _mm256_cvtps_epi32(n);
    __m256i half = _mm256_srai_epi32(whole, 1);
    __m256i rest = _mm256_sub_epi32(whole, half);
    __m256i bias = _mm256_set1_epi32(127);
    vf first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    vf second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, first), second);
}
/* 1 / x, correctly rounded here; to about 1 ulp in vec512.h */
static inline vf v_reciprocal(vf x) { return _mm256_div_ps(_mm256_set1_ps(1), x); }
static inline float v_sum(vf x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float v_largest(vf x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* Sums in double of a vector's lanes. */
typedef struct vd2 {
    __m256d low, high;
} vd2;
static inline vd2 vd_zero(void) { return (vd2){_mm256_setzero_pd(), _mm256_setzero_pd()}; }
/* s + x * y */
static inline vd2 vd_add_product(vd2 s, vf x, vf y) {
    s.low = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
                            _mm256_cvtps_pd(_mm256_castps256_ps128(y)), s.low);
    s.high = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)),
                             _mm256_cvtps_pd(_mm256_extractf128_ps(y, 1)), s.high);
    return s;
}
static inline void vd_store(double *p, vd2 s) {
    _mm256_storeu_pd(p, s.low);
    _mm256_storeu_pd(p + 4, s.high);
}
static inline double vd_sum(vd2 s) {
    __m256d both = _mm256_add_pd(s.low, s.high);
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(both), _mm256_extractf128_pd(both, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/* Transposes VL vectors. */
static inline void v_transpose(vf r[VL]) {
    vf t[VL], u[VL];
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

#endif
