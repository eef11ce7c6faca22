/* npy.c - NumPy's .npy files, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html: magic,
 * version, length of the header, a Python dictionary of exactly three keys, then the elements. The dictionary
 * is read by a small strict parser; nothing is evaluated. */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

enum { NPY_HEADER_LIMIT = 1 << 16 };

static const struct {
    const char *descr;
    tc_dtype dtype;
} types[] = {{"<f4", TC_F32}, {"<f8", TC_F64}, {"<f2", TC_F16}, {"<i8", TC_I64},
             {"<i4", TC_I32}, {"|u1", TC_U8},  {"|i1", TC_I8},  {"|b1", TC_BOOL}};
enum { NTYPES = sizeof types / sizeof *types };

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_spaces(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

static bool take(cursor *c, const char *token) {
    size_t n = strlen(token);
    skip_spaces(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, token, n) != 0) return false;
    c->at += n;
    return true;
}

/* A quoted string without escapes, at most size - 1 characters. */
static bool take_string(cursor *c, char *out, size_t size) {
    skip_spaces(c);
    if (c->at >= c->end || (*c->at != '\'' && *c->at != '"')) return false;
    char quote = *c->at++;
    size_t n = 0;
    while (c->at < c->end && *c->at != quote) {
        if (n + 1 >= size || *c->at == '\\' || (unsigned char)*c->at < 0x20) return false;
        out[n++] = *c->at++;
    }
    out[n] = 0;
    if (c->at >= c->end) return false;
    c->at++;
    return true;
}

static bool take_size(cursor *c, int64_t *out) {
    int64_t v = 0;
    skip_spaces(c);
    if (c->at >= c->end || *c->at < '0' || *c->at > '9') return false;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        if (__builtin_mul_overflow(v, (int64_t)10, &v) ||
            __builtin_add_overflow(v, (int64_t)(*c->at++ - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

/* "()", "(3,)" or "(3, 4)", with or without a last comma. */
static tc_status take_shape(cursor *c, tc_tensor *t, tc_error *err) {
    if (!take(c, "(")) goto bad;
    t->ndim = 0;
    while (!take(c, ")")) {
        if (t->ndim == TC_MAX_RANK)
            return tc_fail(err, TC_EUNSUPPORTED, "%s: more than %d axes", t->name, TC_MAX_RANK);
        if (!take_size(c, &t->shape[t->ndim++])) goto bad;
        if (take(c, ",")) continue;
        if (!take(c, ")") || t->ndim == 1) goto bad;
        break;
    }
    return TC_OK;
bad:
    return tc_fail(err, TC_EFORMAT, "%s: the shape in the header is not a tuple of whole numbers", t->name);
}

static tc_status take_descr(cursor *c, tc_tensor *t, tc_error *err) {
    char descr[32];
    if (!take_string(c, descr, sizeof descr))
        return tc_fail(err, TC_EUNSUPPORTED, "%s: the type in the header is not a plain one", t->name);
    for (int i = 0; i < NTYPES; i++)
        if (strcmp(types[i].descr, descr) == 0) {
            t->dtype = types[i].dtype;
            return TC_OK;
        }
    return tc_fail(err, TC_EUNSUPPORTED,
                   "%s: elements of type '%s', expected one of <f4 <f8 <f2 <i8 <i4 |u1 |i1 |b1", t->name,
                   descr);
}

static tc_status take_order(cursor *c, tc_tensor *t, tc_error *err) {
    if (take(c, "False")) return TC_OK;
    if (take(c, "True"))
        return tc_fail(err, TC_EUNSUPPORTED, "%s: Fortran order, expected C order (numpy.ascontiguousarray)",
                       t->name);
    return tc_fail(err, TC_EFORMAT, "%s: fortran_order is neither True nor False", t->name);
}

static tc_status parse_dictionary(cursor *c, tc_tensor *t, tc_error *err) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    static tc_status (*const values[])(cursor *, tc_tensor *, tc_error *) = {take_descr, take_order,
                                                                             take_shape};
    bool seen[3] = {false, false, false};
    if (!take(c, "{")) goto bad;
    while (!take(c, "}")) {
        char key[32];
        int k = 0;
        if (!take_string(c, key, sizeof key) || !take(c, ":")) goto bad;
        while (k < 3 && strcmp(keys[k], key) != 0) k++;
        if (k == 3 || seen[k]) goto bad;
        seen[k] = true;
        tc_status status = values[k](c, t, err);
        if (status != TC_OK) return status;
        if (take(c, ",")) continue;
        if (!take(c, "}")) goto bad;
        break;
    }
    skip_spaces(c);
    if (c->at == c->end && seen[0] && seen[1] && seen[2]) return TC_OK;
bad:
    return tc_fail(err, TC_EFORMAT, "%s: the header is not a dictionary of descr, fortran_order and shape",
                   t->name);
}

tc_status tc_npy_parse(tc_tensor *out, const void *data, size_t size, const char *name, tc_error *err) {
    const uint8_t *p = data;
    tc_tensor t = {.name = name};
    if (size < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return tc_fail(err, TC_EFORMAT, "%s: not a .npy file", name);
    if (p[6] < 1 || p[6] > 3 || p[7] != 0)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: .npy version %d.%d, expected 1.0 to 3.0", name, p[6], p[7]);
    size_t start = p[6] == 1 ? 10 : 12, length = (size_t)p[8] | (size_t)p[9] << 8;
    if (p[6] > 1 && size >= 12) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (length > NPY_HEADER_LIMIT || size < start || length > size - start)
        return tc_fail(err, TC_EFORMAT, "%s: the header is cut short or too long", name);
    cursor c = {(const char *)p + start, (const char *)p + start + length};
    tc_status status = parse_dictionary(&c, &t, err);
    if (status != TC_OK) return status;
    size_t have = size - start - length;
    if (!tc_tensor_bytes(t.dtype, t.ndim, t.shape, &t.bytes) || t.bytes != have) {
        char text[200];
        return tc_fail(err, TC_EFORMAT, "%s: shape %s of %s does not fit the %zu bytes of data", name,
                       tc_shape_text(t.ndim, t.shape, text, sizeof text), tc_dtype_name(t.dtype), have);
    }
    t.data = p + start + length;
    *out = t;
    return TC_OK;
}

tc_status tc_npy_open(tc_npy *out, const char *path, tc_error *err) {
    *out = (tc_npy){.map = {.fd = -1}};
    tc_status status = tc_map_open(&out->map, path, err);
    if (status == TC_OK)
        status = tc_npy_parse(&out->tensor, out->map.data, out->map.size, out->map.path, err);
    if (status != TC_OK) tc_npy_close(out);
    return status;
}

void tc_npy_close(tc_npy *n) {
    tc_map_close(&n->map);
    n->tensor = (tc_tensor){0};
}

tc_status tc_npy_write(const char *path, tc_dtype dtype, int ndim, const int64_t *shape, const void *data,
                       tc_error *err) {
    size_t bytes;
    int k = 0;
    while (k < NTYPES && types[k].dtype != dtype) k++;
    if (k == NTYPES)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: NumPy has no type for %s", path, tc_dtype_name(dtype));
    if (ndim < 0 || ndim > TC_MAX_RANK || !tc_tensor_bytes(dtype, ndim, shape, &bytes))
        return tc_fail(err, TC_EARG, "%s: the shape makes no sense", path);
    tc_buf b = {0};
    tc_buf_add(&b, "\x93NUMPY\x01\x00\x00\x00", 10);
    tc_buf_printf(&b, "{'descr': '%s', 'fortran_order': False, 'shape': (", types[k].descr);
    for (int i = 0; i < ndim; i++) tc_buf_printf(&b, i + 1 < ndim ? "%lld, " : "%lld", (long long)shape[i]);
    tc_buf_puts(&b, ndim == 1 ? ",), }" : "), }");
    while (!b.failed && b.size % 64 != 63) tc_buf_puts(&b, " ");
    tc_buf_puts(&b, "\n");
    tc_writer *w = NULL;
    tc_status status = b.failed ? tc_fail_memory(err, 128) : tc_writer_open(&w, path, err);
    if (status == TC_OK) {
        b.data[8] = (char)((b.size - 10) & 0xff);
        b.data[9] = (char)((b.size - 10) >> 8);
        tc_writer_add(w, b.data, b.size);
        tc_writer_add(w, data, bytes);
        status = tc_writer_commit(&w, err);
    }
    tc_buf_free(&b);
    return status;
}
