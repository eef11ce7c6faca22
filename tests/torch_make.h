/* torch_make.h - PyTorch files made by hand, byte by byte: a writer of stored zip archives and an assembler
 * of pickles, for tests that then break one thing. */
#ifndef TC_TORCH_MAKE_H
#define TC_TORCH_MAKE_H

#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAKE_ENTRIES = 24 };

/* ---- little-endian numbers */

static inline void put_n(tc_buf *b, uint64_t v, int n) {
    for (int i = 0; i < n; i++) tc_buf_add(b, &(uint8_t){(uint8_t)(i < 8 ? v >> (8 * i) : 0)}, 1);
}

/* Overwrites n bytes. */
static inline void set_n(tc_buf *b, size_t at, uint64_t v, int n) {
    for (int i = 0; i < n; i++) b->data[at + (size_t)i] = (char)(v >> (8 * i));
}

/* ---- zip */

typedef struct zip_entry {
    const char *name;
    size_t header, central, data, size; /* offsets in the file */
    uint32_t crc;
    int streamed;      /* 1: sizes and CRC behind the data, as PyTorch does; 2: with 64-bit sizes */
    const char *extra; /* of the central header */
    size_t extra_size;
} zip_entry;

typedef struct zip_make {
    tc_buf b;
    zip_entry entry[MAKE_ENTRIES];
    size_t count;
    size_t directory, end64, end; /* offsets */
} zip_make;

static inline zip_entry *zip_add_as(zip_make *z, const char *name, const void *data, size_t size,
                                    int streamed) {
    zip_entry *e = &z->entry[z->count++];
    *e = (zip_entry){.name = name, .header = z->b.size, .size = size, .streamed = streamed};
    e->crc = (uint32_t)crc32(0, data, (uInt)size);
    tc_buf_add(&z->b, "PK\3\4", 4);
    put_n(&z->b, 0, 2);
    put_n(&z->b, streamed ? 0x808 : 0x800, 2);
    put_n(&z->b, 0, 6); /* method, time, date */
    put_n(&z->b, streamed ? 0 : e->crc, 4);
    put_n(&z->b, streamed ? 0 : size, 4);
    put_n(&z->b, streamed ? 0 : size, 4);
    put_n(&z->b, strlen(name), 2);
    put_n(&z->b, 8, 2);
    tc_buf_puts(&z->b, name);
    tc_buf_add(&z->b, "FB\4\0ZZZZ", 8); /* the padding that PyTorch writes */
    e->data = z->b.size;
    if (size) tc_buf_add(&z->b, data, size);
    if (streamed) {
        tc_buf_add(&z->b, "PK\7\10", 4);
        put_n(&z->b, e->crc, 4);
        put_n(&z->b, size, streamed == 2 ? 8 : 4);
        put_n(&z->b, size, streamed == 2 ? 8 : 4);
    }
    return e;
}

static inline zip_entry *zip_add(zip_make *z, const char *name, const void *data, size_t size) {
    return zip_add_as(z, name, data, size, 0);
}

static inline void zip_central(zip_make *z, zip_entry *e) {
    e->central = z->b.size;
    tc_buf_add(&z->b, "PK\1\2", 4);
    put_n(&z->b, 0, 4);
    put_n(&z->b, e->streamed ? 0x808 : 0x800, 2);
    put_n(&z->b, 0, 6);
    put_n(&z->b, e->crc, 4);
    put_n(&z->b, e->size, 4);
    put_n(&z->b, e->size, 4);
    put_n(&z->b, strlen(e->name), 2);
    put_n(&z->b, e->extra_size, 2);
    put_n(&z->b, 0, 2); /* comment */
    put_n(&z->b, 0, 8); /* disk, attributes */
    put_n(&z->b, e->header, 4);
    tc_buf_puts(&z->b, e->name);
    if (e->extra_size) tc_buf_add(&z->b, e->extra, e->extra_size);
}

static inline void zip_end(zip_make *z, uint64_t count, uint64_t size, uint64_t offset) {
    z->end = z->b.size;
    tc_buf_add(&z->b, "PK\5\6", 4);
    put_n(&z->b, 0, 4);
    put_n(&z->b, count, 2);
    put_n(&z->b, count, 2);
    put_n(&z->b, size, 4);
    put_n(&z->b, offset, 4);
    put_n(&z->b, 0, 2);
}

/* The central directory and the end records; `wide`: with those of ZIP64. */
static inline void zip_finish(zip_make *z, bool wide) {
    z->directory = z->b.size;
    for (size_t i = 0; i < z->count; i++) zip_central(z, &z->entry[i]);
    size_t size = z->b.size - z->directory;
    if (wide) {
        z->end64 = z->b.size;
        tc_buf_add(&z->b, "PK\6\6", 4);
        put_n(&z->b, 44, 8);
        put_n(&z->b, 0, 2 + 2 + 4 + 4);
        put_n(&z->b, z->count, 8);
        put_n(&z->b, z->count, 8);
        put_n(&z->b, size, 8);
        put_n(&z->b, z->directory, 8);
        tc_buf_add(&z->b, "PK\6\7", 4);
        put_n(&z->b, 0, 4);
        put_n(&z->b, z->end64, 8);
        put_n(&z->b, 1, 4);
    }
    zip_end(z, z->count, size, z->directory);
}

/* ---- pickles */

static inline void pk_op(tc_buf *b, const char *ops) { tc_buf_puts(b, ops); }
static inline void pk_start(tc_buf *b) { tc_buf_add(b, "\x80\2", 2); }

static inline void pk_str(tc_buf *b, const char *s) {
    tc_buf_puts(b, "X");
    put_n(b, strlen(s), 4);
    tc_buf_puts(b, s);
}

static inline void pk_int(tc_buf *b, int64_t v) {
    if (v >= 0 && v < 256) {
        tc_buf_puts(b, "K");
        put_n(b, (uint64_t)v, 1);
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        tc_buf_puts(b, "J");
        put_n(b, (uint64_t)v, 4);
    } else {
        tc_buf_add(b, "\x8a\10", 2);
        put_n(b, (uint64_t)v, 8);
    }
}

static inline void pk_ints(tc_buf *b, int n, const int64_t *v) {
    pk_op(b, "(");
    for (int i = 0; i < n; i++) pk_int(b, v[i]);
    pk_op(b, "t");
}

static inline void pk_global(tc_buf *b, const char *module, const char *name) {
    tc_buf_printf(b, "c%s\n%s\n", module, name);
}

static inline void pk_storage(tc_buf *b, const char *type, const char *key, int64_t numel) {
    pk_op(b, "(");
    pk_str(b, "storage");
    pk_global(b, "torch", type);
    pk_str(b, key);
    pk_str(b, "cpu");
    pk_int(b, numel);
    pk_op(b, "tQ");
}

/* One tensor with all that can be said about it. */
typedef struct pk_tensor_args {
    const char *type, *key;
    int64_t numel, offset;
    int ndim, nstride;
    const int64_t *size, *stride;
} pk_tensor_args;

static inline void pk_tensor_of(tc_buf *b, const pk_tensor_args *a) {
    pk_global(b, "torch._utils", "_rebuild_tensor_v2");
    pk_op(b, "(");
    pk_storage(b, a->type, a->key, a->numel);
    pk_int(b, a->offset);
    pk_ints(b, a->ndim, a->size);
    pk_ints(b, a->nstride, a->stride);
    tc_buf_add(b, "\x89", 1);
    pk_global(b, "collections", "OrderedDict");
    pk_op(b, ")RtR");
}

/* A float vector of n elements that fills storage `key`. */
static inline void pk_vector(tc_buf *b, const char *key, int64_t n) {
    const int64_t one = 1;
    pk_tensor_of(b, &(pk_tensor_args){"FloatStorage", key, n, 0, 1, 1, &n, &one});
}

/* ---- whole files */

/* Archive around a pickle, with float storages 0 .. nstorages-1 of `bytes` bytes each that count up; the
 * pickle is entry 0, the storages follow. */
static inline void make_archive(zip_make *z, const void *pickle, size_t size, int nstorages, size_t bytes) {
    static const char *const names[] = {"m/data/0", "m/data/1", "m/data/2", "m/data/3"};
    uint8_t *content = malloc(bytes ? bytes : 1);
    *z = (zip_make){0};
    zip_add_as(z, "m/data.pkl", pickle, size, 1);
    for (int k = 0; k < nstorages; k++) {
        for (size_t i = 0; i < bytes; i++) content[i] = (uint8_t)(i + (size_t)k);
        zip_add_as(z, names[k], content, bytes, bytes ? 1 : 0);
    }
    zip_add(z, "m/byteorder", "little", 6);
    zip_add(z, "m/version", "3\n", 2);
    free(content);
}

/* What stands before the object in a file from before 1.6. */
static inline void legacy_start(tc_buf *b) {
    tc_buf_add(b,
               "\x80\2\x8a\nl\xfc\x9c"
               "F\xf9 j\xa8P\x19.",
               15);
    tc_buf_add(b, "\x80\2M\xe9\3.", 6);
    tc_buf_add(b, "\x80\2}(", 4);
    pk_str(b, "little_endian");
    tc_buf_add(b, "\x88u.", 3);
}

/* The list of keys "0" .. and the storages behind it. */
static inline void legacy_end(tc_buf *b, int nstorages, size_t numel) {
    tc_buf_add(b, "\x80\2](", 4);
    for (int k = 0; k < nstorages; k++) pk_str(b, (const char[]){(char)('0' + k), 0});
    pk_op(b, "e.");
    for (int k = 0; k < nstorages; k++) {
        put_n(b, numel, 8);
        for (size_t i = 0; i < numel * 4; i++) put_n(b, i + (size_t)k, 1);
    }
}

#endif
