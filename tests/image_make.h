/* image_make.h - small image files made in memory, good and bad, for tests of the decoders. */
#ifndef TC_TESTS_IMAGE_MAKE_H
#define TC_TESTS_IMAGE_MAKE_H

#include "base/base.h"

#include <jpeglib.h>
#include <stdlib.h>
#include <string.h>
#include <webp/encode.h>
#include <zlib.h>

/* ---- numbers */

static inline void put16be(tc_buf *b, unsigned v) {
    tc_buf_add(b, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}
static inline void put32be(tc_buf *b, uint32_t v) {
    put16be(b, v >> 16);
    put16be(b, v & 0xffff);
}
static inline void put16le(tc_buf *b, unsigned v) {
    tc_buf_add(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8)}, 2);
}
static inline void put32le(tc_buf *b, uint32_t v) {
    put16le(b, v & 0xffff);
    put16le(b, v >> 16);
}

/* An EXIF block of one entry: the orientation. */
static inline void put_exif(tc_buf *b, bool big_endian, int orientation) {
    tc_buf_puts(b, big_endian ? "MM" : "II");
    void (*put16)(tc_buf *, unsigned) = big_endian ? put16be : put16le;
    void (*put32)(tc_buf *, uint32_t) = big_endian ? put32be : put32le;
    put16(b, 42);
    put32(b, 8);
    put16(b, 1);
    put16(b, 0x0112);
    put16(b, 3);
    put32(b, 1);
    put16(b, (unsigned)orientation);
    put16(b, 0);
    put32(b, 0);
}

/* ---- PNG */

static inline void png_chunk(tc_buf *b, const char *type, const void *data, size_t size) {
    put32be(b, (uint32_t)size);
    size_t start = b->size;
    tc_buf_add(b, type, 4);
    tc_buf_add(b, data, size);
    put32be(b, (uint32_t)crc32(0, (const Bytef *)b->data + start, (uInt)(b->size - start)));
}

static inline void png_start(tc_buf *b, uint32_t width, uint32_t height, int depth, int type, int interlace) {
    tc_buf header = {0};
    put32be(&header, width);
    put32be(&header, height);
    tc_buf_add(&header, (uint8_t[]){(uint8_t)depth, (uint8_t)type, 0, 0, (uint8_t)interlace}, 5);
    tc_buf_add(b, "\x89PNG\r\n\x1a\n", 8);
    png_chunk(b, "IHDR", header.data, header.size);
    tc_buf_free(&header);
}

static inline void deflated(tc_buf *b, const void *data, size_t size) {
    uLongf n = compressBound((uLong)size);
    uint8_t *out = malloc(n);
    if (out && compress2(out, &n, data, (uLong)size, 9) == Z_OK) tc_buf_add(b, out, n);
    free(out);
}

/* IDAT of rows that already carry their filter bytes, and IEND. */
static inline void png_finish(tc_buf *b, const void *rows, size_t size) {
    tc_buf packed = {0};
    deflated(&packed, rows, size);
    png_chunk(b, "IDAT", packed.data, packed.size);
    png_chunk(b, "IEND", "", 0);
    tc_buf_free(&packed);
}

/* The bits of pixel (x, y), `bits` a pixel, from packed rows. */
static inline uint64_t packed_pixel(const uint8_t *rows, size_t stride, size_t bits, size_t x, size_t y) {
    uint64_t v = 0;
    for (size_t i = 0; i < bits; i++) {
        size_t at = x * bits + i;
        v = v << 1 | (rows[y * stride + at / 8] >> (7 - at % 8) & 1u);
    }
    return v;
}

/* Filtered (type 0) image data of packed rows; interlace 1 splits them into the seven passes of Adam7. */
static inline void png_rows(tc_buf *b, const uint8_t *rows, size_t width, size_t height, size_t bits,
                            int interlace) {
    static const size_t x0[] = {0, 4, 0, 2, 0, 1, 0}, dx[] = {8, 8, 4, 4, 2, 2, 1},
                        y0[] = {0, 0, 4, 0, 2, 0, 1}, dy[] = {8, 8, 8, 4, 4, 2, 2};
    size_t stride = (width * bits + 7) / 8;
    for (int pass = interlace ? 0 : 6; pass < 7; pass++) {
        size_t fx = interlace ? x0[pass] : 0, fy = interlace ? y0[pass] : 0, sx = interlace ? dx[pass] : 1,
               sy = interlace ? dy[pass] : 1;
        for (size_t y = fy; y < height && fx < width; y += sy) {
            size_t n = (width - fx + sx - 1) / sx, bytes = (n * bits + 7) / 8;
            uint8_t *row = tc_new(bytes + 1, 1);
            for (size_t i = 0; row && i < n; i++) {
                uint64_t v = packed_pixel(rows, stride, bits, fx + i * sx, y);
                for (size_t k = 0; k < bits; k++) {
                    size_t at = 8 + i * bits + k;
                    if (v >> (bits - 1 - k) & 1) row[at / 8] |= (uint8_t)(0x80 >> at % 8);
                }
            }
            if (row) tc_buf_add(b, row, bytes + 1);
            free(row);
        }
    }
}

/* A whole PNG. `extra` (may be NULL): chunks between IHDR and IDAT. */
static inline void png_file(tc_buf *b, const uint8_t *rows, size_t width, size_t height, int depth, int type,
                            int interlace, const tc_buf *extra) {
    static const size_t channels[] = {1, 0, 3, 1, 2, 0, 4};
    tc_buf data = {0};
    png_start(b, (uint32_t)width, (uint32_t)height, depth, type, interlace);
    if (extra) tc_buf_add(b, extra->data, extra->size);
    png_rows(&data, rows, width, height, channels[type] * (size_t)depth, interlace);
    png_finish(b, data.data, data.size);
    tc_buf_free(&data);
}

/* ---- JPEG by libjpeg */

typedef struct jpeg_kind {
    int width, height;
    J_COLOR_SPACE from, to; /* of the pixels given, of the file; the same unless it says YCbCr or YCCK */
    int components;
    int h, v; /* sampling of the first (and of the fourth) component; 0: 1 */
    bool progressive, separate_scans, arithmetic, no_adobe;
    int restart, exif; /* MCUs between restart markers; orientation, 0: no EXIF */
} jpeg_kind;

static inline void jpeg_setup(struct jpeg_compress_struct *c, const jpeg_kind *k, jpeg_scan_info *scans) {
    c->image_width = (JDIMENSION)k->width;
    c->image_height = (JDIMENSION)k->height;
    c->input_components = k->components;
    c->in_color_space = k->from;
    jpeg_set_defaults(c);
    jpeg_set_colorspace(c, k->to);
    jpeg_set_quality(c, 95, TRUE);
    if (k->no_adobe) c->write_Adobe_marker = FALSE;
    for (int i = 0; i < k->components; i++) {
        bool chroma = i == 1 || i == 2;
        c->comp_info[i].h_samp_factor = k->h && !chroma ? k->h : 1;
        c->comp_info[i].v_samp_factor = k->v && !chroma ? k->v : 1;
    }
    c->restart_interval = (unsigned)k->restart;
    c->arith_code = k->arithmetic;
    if (k->progressive) jpeg_simple_progression(c);
    for (int i = 0; k->separate_scans && i < k->components; i++)
        scans[i] = (jpeg_scan_info){.comps_in_scan = 1, .component_index = {i}, .Se = 63};
    if (k->separate_scans) {
        c->scan_info = scans;
        c->num_scans = k->components;
    }
}

/* pixels [height,width,components]. */
static inline void jpeg_file(tc_buf *b, const jpeg_kind *k, const uint8_t *pixels) {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    jpeg_scan_info scans[4] = {{0}};
    unsigned char *out = NULL;
    unsigned long size = 0;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &size);
    jpeg_setup(&c, k, scans);
    jpeg_start_compress(&c, TRUE);
    if (k->exif) {
        tc_buf exif = {0};
        tc_buf_add(&exif, "Exif\0\0", 6);
        put_exif(&exif, k->exif % 2 == 0, k->exif);
        jpeg_write_marker(&c, JPEG_APP0 + 1, (const JOCTET *)exif.data, (unsigned)exif.size);
        tc_buf_free(&exif);
    }
    for (int y = 0; y < k->height; y++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)y * (size_t)k->width * (size_t)k->components);
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    tc_buf_add(b, out, size);
    free(out);
}

/* Offset of the n-th marker 0xff `code` among the segments; SIZE_MAX if there is none. Scans over
 * entropy-coded data too. */
static inline size_t jpeg_find(const tc_buf *b, int code, int n) {
    const uint8_t *p = (const uint8_t *)b->data;
    for (size_t i = 2; i + 4 <= b->size;) {
        if (p[i] == 0xff && p[i + 1] == code && n-- == 0) return i;
        bool segment =
            p[i] == 0xff && p[i + 1] >= 0xc0 && p[i + 1] != 0xff && !(p[i + 1] >= 0xd0 && p[i + 1] <= 0xd9);
        i += segment ? 2u + (size_t)(p[i + 2] << 8 | p[i + 3]) : 1u;
    }
    return SIZE_MAX;
}

/* Removes every segment of that marker. */
static inline int jpeg_remove(tc_buf *b, int code) {
    int n = 0;
    for (size_t at; (at = jpeg_find(b, code, 0)) != SIZE_MAX; n++) {
        size_t length = 2 + (size_t)((uint8_t)b->data[at + 2] << 8 | (uint8_t)b->data[at + 3]);
        memmove(b->data + at, b->data + at + length, b->size - at - length);
        b->size -= length;
    }
    return n;
}

/* ---- WebP by libwebp, and its container by hand */

static inline void webp_file(tc_buf *b, const uint8_t *pixels, int width, int height, int channels,
                             bool lossless) {
    uint8_t *out = NULL;
    size_t size;
    int stride = width * channels;
    if (channels == 4 && lossless) size = WebPEncodeLosslessRGBA(pixels, width, height, stride, &out);
    else if (channels == 4) size = WebPEncodeRGBA(pixels, width, height, stride, 90, &out);
    else if (lossless) size = WebPEncodeLosslessRGB(pixels, width, height, stride, &out);
    else size = WebPEncodeRGB(pixels, width, height, stride, 90, &out);
    tc_buf_add(b, out, size);
    WebPFree(out);
}

static inline void riff_chunk(tc_buf *b, const char *type, const void *data, size_t size) {
    tc_buf_add(b, type, 4);
    put32le(b, (uint32_t)size);
    tc_buf_add(b, data, size);
    if (size % 2) tc_buf_add(b, "", 1);
}

static inline void put24le(tc_buf *b, uint32_t v) {
    tc_buf_add(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16)}, 3);
}

/* An extended file: VP8X with these flags and canvas, then the given chunks. */
static inline void webp_extended(tc_buf *b, int flags, int width, int height, const tc_buf *chunks) {
    tc_buf head = {0};
    put32le(&head, (uint32_t)flags);
    put24le(&head, (uint32_t)width - 1);
    put24le(&head, (uint32_t)height - 1);
    tc_buf_add(b, "RIFF", 4);
    put32le(b, (uint32_t)(4 + 18 + chunks->size));
    tc_buf_add(b, "WEBP", 4);
    riff_chunk(b, "VP8X", head.data, head.size);
    tc_buf_add(b, chunks->data, chunks->size);
    tc_buf_free(&head);
}

/* One frame of an animation, at even (x, y), from a plain WebP file. */
static inline void webp_frame(tc_buf *chunks, int x, int y, int width, int height, const tc_buf *file) {
    tc_buf frame = {0};
    put24le(&frame, (uint32_t)x / 2);
    put24le(&frame, (uint32_t)y / 2);
    put24le(&frame, (uint32_t)width - 1);
    put24le(&frame, (uint32_t)height - 1);
    put24le(&frame, 100);
    tc_buf_add(&frame, "", 1);
    tc_buf_add(&frame, file->data + 12, file->size - 12);
    riff_chunk(chunks, "ANMF", frame.data, frame.size);
    tc_buf_free(&frame);
}

/* ---- BMP and GIF */

/* Header of 40 bytes and whatever follows it: masks, palette, rows. */
static inline void bmp_file(tc_buf *b, int width, int height, int bits, int compression, int colors,
                            const void *rest, size_t rest_size, const void *rows, size_t rows_size) {
    tc_buf_puts(b, "BM");
    put32le(b, (uint32_t)(54 + rest_size + rows_size));
    put32le(b, 0);
    put32le(b, (uint32_t)(54 + rest_size));
    put32le(b, 40);
    put32le(b, (uint32_t)width);
    put32le(b, (uint32_t)height);
    put16le(b, 1);
    put16le(b, (unsigned)bits);
    put32le(b, (uint32_t)compression);
    put32le(b, (uint32_t)rows_size);
    put32le(b, 0);
    put32le(b, 0);
    put32le(b, (uint32_t)colors);
    put32le(b, 0);
    tc_buf_add(b, rest, rest_size);
    tc_buf_add(b, rows, rows_size);
}

/* A GIF of 4 colours whose codes are never compressed: a clear code comes before the table could grow to the
 * next code size. */
typedef struct gif_kind {
    int screen_width, screen_height, left, top, width, height;
    int transparent; /* -1: none */
    bool interlaced;
} gif_kind;

static inline void gif_file(tc_buf *b, const gif_kind *k, const uint8_t *palette /* [4,3] */,
                            const uint8_t *pixels) {
    uint8_t block[255];
    size_t n = 0;
    unsigned bits = 0, held = 0;
    tc_buf_puts(b, "GIF89a");
    put16le(b, (unsigned)k->screen_width);
    put16le(b, (unsigned)k->screen_height);
    tc_buf_add(b, (uint8_t[]){0x81, 0, 0}, 3);
    tc_buf_add(b, palette, 12);
    if (k->transparent >= 0)
        tc_buf_add(b, (uint8_t[]){0x21, 0xf9, 4, 1, 0, 0, (uint8_t)k->transparent, 0}, 8);
    tc_buf_puts(b, ",");
    put16le(b, (unsigned)k->left);
    put16le(b, (unsigned)k->top);
    put16le(b, (unsigned)k->width);
    put16le(b, (unsigned)k->height);
    tc_buf_add(b, (uint8_t[]){k->interlaced ? 0x40 : 0, 2}, 2);
    int count = k->width * k->height;
    for (int i = 0; i <= 2 * count; i++) { /* clear, pixel, clear, pixel, ..., end */
        unsigned code = i == 2 * count ? 5 : i % 2 == 0 ? 4 : pixels[i / 2];
        held |= code << bits;
        for (bits += 3; bits >= 8 || (i == 2 * count && bits > 0); bits = bits > 8 ? bits - 8 : 0) {
            block[n++] = (uint8_t)held;
            held >>= 8;
            if (n == sizeof block) {
                tc_buf_add(b, (uint8_t[]){(uint8_t)n}, 1);
                tc_buf_add(b, block, n);
                n = 0;
            }
        }
    }
    if (n) {
        tc_buf_add(b, (uint8_t[]){(uint8_t)n}, 1);
        tc_buf_add(b, block, n);
    }
    tc_buf_add(b, "\0;", 2);
}

#endif
