/* narrow.c - numbers of the program as stored float types: to the nearest, ties to even, as every other
 * program rounds them. A finite number that would become infinite is reported instead of stored unnoticed. */
#include "store/store.h"

#include <math.h>
#include <string.h>

enum { F16_INFINITY = 0x7c00, BF16_INFINITY = 0x7f80 };

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

/* Adding half a unit of the last kept bit, less one if that bit is even, rounds to nearest even; a carry runs
 * into the exponent as it should. */
static uint32_t round_off(uint32_t u, int bits) {
    return (u + ((1u << (bits - 1)) - 1) + (u >> bits & 1)) >> bits;
}

static uint16_t to_half(float f) {
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000) return (uint16_t)(sign | F16_INFINITY | 0x200 | (u >> 13 & 0x3ff));
    if (u >= 0x47800000) return (uint16_t)(sign | F16_INFINITY); /* 2^16 and more */
    /* 2^-14 and more: the exponent's bias is 112 less */
    if (u >= 0x38800000) return (uint16_t)(sign | round_off(u - 0x38000000, 13));
    /* subnormal: multiples of 2^-24 */
    return (uint16_t)(sign | (uint32_t)lrintf(fabsf(f) * 0x1p24f));
}

static uint16_t to_bf16(float f) {
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)round_off(u, 16);
}

int64_t tc_dtype_narrow(tc_dtype dtype, const tc_real *x, int64_t n, void *out) {
    int64_t bad = -1;
    if (dtype == TC_F32) {
        for (int64_t i = 0; i < n; i++) {
            float f = (float)x[i];
            memcpy((char *)out + 4 * i, &f, 4);
            if (isinf(f) && !isinf(x[i]) && bad < 0) bad = i;
        }
        return bad;
    }
    uint16_t infinity = dtype == TC_F16 ? F16_INFINITY : BF16_INFINITY;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = dtype == TC_F16 ? to_half((float)x[i]) : to_bf16((float)x[i]);
        memcpy((char *)out + 2 * i, &h, 2);
        if ((h & 0x7fff) == infinity && !isinf(x[i]) && bad < 0) bad = i;
    }
    return bad;
}
