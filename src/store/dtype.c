/* dtype.c - element types of stored tensors and their conversion to the numbers of the program.
 *
 * Bytes are little-endian at any alignment, so every element is copied out before it is looked at. */
#include "base/threads.h"
#include "store/store.h"

#include <string.h>

/* elements that a thread converts at a time: a model's first embedding waits for it */
enum { PIECE = 1 << 16 }; /* numbers that a thread takes at a time */

static const struct {
    const char *name;
    uint8_t size;
} dtypes[] = {
    [TC_F64] = {"F64", 8},   [TC_F32] = {"F32", 4},         [TC_F16] = {"F16", 2},
    [TC_BF16] = {"BF16", 2}, [TC_I64] = {"I64", 8},         [TC_I32] = {"I32", 4},
    [TC_I16] = {"I16", 2},   [TC_I8] = {"I8", 1},           [TC_U64] = {"U64", 8},
    [TC_U32] = {"U32", 4},   [TC_U16] = {"U16", 2},         [TC_U8] = {"U8", 1},
    [TC_BOOL] = {"BOOL", 1}, [TC_F8_E4M3] = {"F8_E4M3", 1}, [TC_F8_E5M2] = {"F8_E5M2", 1},
};

const char *tc_dtype_name(tc_dtype d) { return dtypes[d].name; }

size_t tc_dtype_size(tc_dtype d) { return dtypes[d].size; }

bool tc_dtype_find(const char *name, tc_dtype *out) {
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0) {
            *out = (tc_dtype)i;
            return true;
        }
    return false;
}

int64_t tc_tensor_numel(const tc_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++) n *= t->shape[i];
    return n;
}

bool tc_tensor_bytes(tc_dtype dtype, int ndim, const int64_t *shape, size_t *bytes) {
    size_t n = 1;
    for (int i = 0; i < ndim; i++)
        if (shape[i] < 0 || !tc_mul(n, (size_t)shape[i], &n)) return false;
    return tc_mul(n, tc_dtype_size(dtype), bytes) && *bytes <= PTRDIFF_MAX;
}

const char *tc_shape_text(int ndim, const int64_t *shape, char *buffer, size_t size) {
    size_t used = (size_t)snprintf(buffer, size, "[");
    for (int i = 0; i < ndim && used < size; i++)
        used += (size_t)snprintf(buffer + used, size - used, "%s%lld", i ? "," : "", (long long)shape[i]);
    if (used < size) snprintf(buffer + used, size - used, "]");
    return buffer;
}

static float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* IEEE binary16, without a branch, so that loops become vector code: exponent and fraction moved into a float
 * are 2^-112 times the value, subnormals too; infinities and NaN, which keep their fraction, get the largest
 * exponent. */
static float half_to_float(uint16_t h) {
    uint32_t bits;
    float f = float_of_bits((uint32_t)(h & 0x7fff) << 13) * 0x1p112f;
    memcpy(&bits, &f, 4);
    bits |= (h & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
    return float_of_bits(bits | (uint32_t)(h & 0x8000) << 16);
}

const uint8_t *tc_tensor_data(const tc_tensor *t, tc_error *err) {
    return t->fetch ? t->fetch(t, err) : t->data;
}

static bool range_is_inside(const tc_tensor *t, int64_t start, int64_t n) {
    int64_t numel = tc_tensor_numel(t);
    return start >= 0 && n >= 0 && start <= numel && n <= numel - start;
}

/* One element of an integer type, or false; U64 above the largest int64_t too. */
static bool read_integer(tc_dtype dtype, const uint8_t *p, int64_t *out) {
    uint64_t u = 0;
    size_t size = tc_dtype_size(dtype);
    memcpy(&u, p, size);
    switch (dtype) {
    case TC_I64:
        *out = (int64_t)u;
        return true;
    case TC_I32:
        *out = (int32_t)u;
        return true;
    case TC_I16:
        *out = (int16_t)u;
        return true;
    case TC_I8:
        *out = (int8_t)u;
        return true;
    case TC_U64:
    case TC_U32:
    case TC_U16:
    case TC_U8:
        *out = (int64_t)u;
        return u <= INT64_MAX;
    case TC_BOOL:
        *out = u != 0;
        return true;
    default:
        return false;
    }
}

bool tc_tensor_read_i64(const tc_tensor *t, int64_t start, int64_t n, int64_t *out) {
    const uint8_t *data = range_is_inside(t, start, n) ? tc_tensor_data(t, NULL) : NULL;
    if (!data) return false;
    size_t size = tc_dtype_size(t->dtype);
    for (int64_t i = 0; i < n; i++)
        if (!read_integer(t->dtype, data + (size_t)(start + i) * size, out + i)) return false;
    return true;
}

static void read_f64(const uint8_t *p, int64_t n, tc_real *out) {
    for (int64_t i = 0; i < n; i++) {
        double d;
        memcpy(&d, p + 8 * i, 8);
        out[i] = (tc_real)d;
    }
}

static void read_f32(const uint8_t *p, int64_t n, tc_real *out) {
    if (sizeof(tc_real) == 4) {
        if (n) memcpy(out, p, (size_t)n * 4);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float f;
        memcpy(&f, p + 4 * i, 4);
        out[i] = (tc_real)f;
    }
}

static void widen_f16(const void *from, int64_t n, tc_real *out) {
    const uint8_t *p = from;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = (tc_real)half_to_float(h);
    }
}

static void widen_bf16(const void *from, int64_t n, tc_real *out) {
    const uint8_t *p = from;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = (tc_real)float_of_bits((uint32_t)h << 16);
    }
}

tc_widen tc_dtype_widen(tc_dtype d) {
    if (d == TC_F16) return widen_f16;
    return d == TC_BF16 ? widen_bf16 : NULL;
}

typedef struct half_work {
    tc_widen widen;
    const uint8_t *from;
    int64_t n;
    tc_real *to;
} half_work;

/* Pieces of PIECE numbers. */
static void widen_pieces(void *user, int64_t first, int64_t end) {
    const half_work *w = user;
    int64_t at = first * PIECE, stop = end * PIECE < w->n ? end * PIECE : w->n;
    w->widen(w->from + 2 * at, stop - at, w->to + at);
}

static void read_half(tc_widen widen, const uint8_t *p, int64_t n, tc_real *out) {
    tc_parallel((n + PIECE - 1) / PIECE, n, widen_pieces, &(half_work){widen, p, n, out});
}

bool tc_tensor_read(const tc_tensor *t, int64_t start, int64_t n, tc_real *out) {
    if (!range_is_inside(t, start, n)) return false;
    if (n == 0) return t->dtype != TC_F8_E4M3 && t->dtype != TC_F8_E5M2;
    size_t size = tc_dtype_size(t->dtype);
    const uint8_t *p = tc_tensor_data(t, NULL);
    if (!p) return false;
    p += (size_t)start * size;
    switch (t->dtype) {
    case TC_F64:
        read_f64(p, n, out);
        return true;
    case TC_F32:
        read_f32(p, n, out);
        return true;
    case TC_F16:
        read_half(widen_f16, p, n, out);
        return true;
    case TC_BF16:
        read_half(widen_bf16, p, n, out);
        return true;
    default:
        break;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t v;
        if (!read_integer(t->dtype, p + (size_t)i * size, &v)) return false;
        out[i] = (tc_real)v;
    }
    return true;
}
