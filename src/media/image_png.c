/* image_png.c - PNG by libpng, each kind in the mode that Pillow gives it: 1-bit gray is mode 1, 16-bit gray
 * is I;16, other 16-bit samples keep their high byte, 16-bit gray with alpha becomes RGBA.
 *
 * The chunks are walked first, without libpng: size and completeness are known before anything is allocated,
 * text that inflates to more than the limits is refused, and all ancillary chunks but tRNS are then hidden
 * from libpng. Checksums of all chunks count. */
#include "media/decode.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* inflated bytes of one text chunk and of all: Pillow's limits */
enum { TEXT_LIMIT = 1 << 20, TEXT_TOTAL_LIMIT = 64 << 20 };

/* Lives in the caller of the function that calls setjmp. */
typedef struct png_reader {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    const tc_encoded *in;
    size_t position;
    tc_error *err;
    tc_status status;
} png_reader;

/* ---- the walk over the chunks */

typedef struct chunk {
    const uint8_t *type, *data;
    size_t size, offset; /* of the data; of the chunk in the file */
} chunk;

typedef struct chunk_walk {
    const tc_encoded *in;
    size_t position, text_total;
    const uint8_t *exif;
    size_t exif_size;
} chunk_walk;

static uint32_t read32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is(const chunk *c, const char *type) { return memcmp(c->type, type, 4) == 0; }

static tc_status next_chunk(chunk_walk *w, chunk *c, tc_error *err) {
    const tc_encoded *in = w->in;
    size_t left = in->size - w->position;
    if (left < 12) return tc_fail(err, TC_EFORMAT, "%s: the PNG data ends before its IEND chunk", in->name);
    const uint8_t *p = in->data + w->position;
    *c = (chunk){.type = p + 4, .data = p + 8, .size = read32(p), .offset = w->position};
    if (c->size > left - 12)
        return tc_fail(err, TC_EFORMAT, "%s: the PNG chunk at offset %zu needs %zu bytes, the file has %zu",
                       in->name, c->offset, c->size, left - 12);
    w->position += 12 + c->size;
    return TC_OK;
}

/* How many bytes the stream inflates to, counted up to limit + 1; nothing is kept. A damaged stream counts as
 * far as it goes. */
static size_t inflated_size(const uint8_t *data, size_t size, size_t limit) {
    uint8_t bin[16384];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    if (inflateInit(&z) != Z_OK) return 0;
    size_t total = 0;
    int code = Z_OK;
    while (code == Z_OK && total <= limit) {
        z.next_out = bin;
        z.avail_out = sizeof bin;
        code = inflate(&z, Z_NO_FLUSH);
        total += sizeof bin - z.avail_out;
    }
    inflateEnd(&z);
    return total;
}

/* Offset of the deflate stream in a zTXt or iTXt chunk; its size if there is none. */
static size_t compressed_text(const chunk *c) {
    const uint8_t *end = memchr(c->data, 0, c->size);
    if (!end) return c->size;
    size_t at = (size_t)(end - c->data) + 1;
    if (is(c, "zTXt")) return at < c->size ? at + 1 : c->size; /* after the method byte */
    if (c->size - at < 2 || c->data[at] == 0) return c->size;  /* not compressed */
    at += 2;
    for (int i = 0; i < 2; i++) { /* language tag, translated keyword */
        end = memchr(c->data + at, 0, c->size - at);
        if (!end) return c->size;
        at = (size_t)(end - c->data) + 1;
    }
    return at;
}

static tc_status check_text(chunk_walk *w, const chunk *c, tc_error *err) {
    size_t at = compressed_text(c);
    size_t n = at < c->size ? inflated_size(c->data + at, c->size - at, TEXT_LIMIT) : 0;
    w->text_total += n;
    if (n <= TEXT_LIMIT && w->text_total <= TEXT_TOTAL_LIMIT) return TC_OK;
    return tc_fail(err, TC_EFORMAT,
                   "%s: the text chunk at offset %zu inflates to more than the limit of %d bytes",
                   w->in->name, c->offset, n > TEXT_LIMIT ? (int)TEXT_LIMIT : (int)TEXT_TOTAL_LIMIT);
}

static tc_status walk_chunks(chunk_walk *w, tc_error *err) {
    chunk c;
    w->position = 8;
    tc_status status = next_chunk(w, &c, err);
    if (status != TC_OK) return status;
    if (!is(&c, "IHDR") || c.size != 13)
        return tc_fail(err, TC_EFORMAT, "%s: a PNG must begin with IHDR", w->in->name);
    status = tc_check_size(w->in, read32(c.data), read32(c.data + 4), err);
    while (status == TC_OK && !is(&c, "IEND")) {
        status = next_chunk(w, &c, err);
        if (status != TC_OK) return status;
        if (is(&c, "zTXt") || is(&c, "iTXt")) status = check_text(w, &c, err);
        if (is(&c, "eXIf")) {
            w->exif = c.data;
            w->exif_size = c.size;
        }
    }
    return status;
}

/* ---- libpng */

_Noreturn static void refuse(png_reader *r, tc_status status, const char *why) {
    if (r->status == TC_OK) r->status = tc_fail(r->err, status, "%s: bad PNG data: %s", r->in->name, why);
    longjmp(r->failed, 1);
}

_Noreturn static void on_error(png_structp png, png_const_charp text) {
    refuse(png_get_error_ptr(png), TC_EFORMAT, text);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t n) {
    png_reader *r = png_get_io_ptr(png);
    if (n > r->in->size - r->position) refuse(r, TC_EFORMAT, "it ends too early");
    memcpy(to, r->in->data + r->position, n);
    r->position += n;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t n) {
    void *p = malloc(n);
    png_reader *r = png_get_mem_ptr(png);
    if (!p && r->status == TC_OK) r->status = tc_fail_memory(r->err, n);
    return p;
}

static void on_free(png_structp png, png_voidp p) {
    (void)png;
    free(p);
}

/* Chooses the mode and tells libpng how to unpack into it. */
static tc_mode set_mode(png_reader *r) {
    int depth = png_get_bit_depth(r->png, r->info), type = png_get_color_type(r->png, r->info);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_packing(r->png);
        return TC_MODE_P;
    }
    if (type == PNG_COLOR_TYPE_GRAY) {
        if (depth == 16) {
            uint16_t one = 1;
            if (*(uint8_t *)&one) png_set_swap(r->png); /* samples are stored big-endian */
            return TC_MODE_I16;
        }
        if (depth < 8) png_set_expand_gray_1_2_4_to_8(r->png);
        return depth == 1 ? TC_MODE_1 : TC_MODE_L;
    }
    if (depth == 16) png_set_strip_16(r->png);
    if (type == PNG_COLOR_TYPE_RGB) return TC_MODE_RGB;
    if (type == PNG_COLOR_TYPE_GRAY_ALPHA && depth == 8) return TC_MODE_LA;
    if (type == PNG_COLOR_TYPE_GRAY_ALPHA) png_set_gray_to_rgb(r->png);
    return TC_MODE_RGBA;
}

static void read_palette(png_reader *r, tc_image *out) {
    png_colorp colors = NULL;
    int n = 0;
    if (!png_get_PLTE(r->png, r->info, &colors, &n)) return;
    for (int i = 0; i < n && i < 256; i++) {
        out->palette[i][0] = colors[i].red;
        out->palette[i][1] = colors[i].green;
        out->palette[i][2] = colors[i].blue;
    }
}

static void read_transparency(png_reader *r, tc_image *out) {
    png_bytep alpha = NULL;
    png_color_16p key = NULL;
    int n = 0;
    if (!png_get_tRNS(r->png, r->info, &alpha, &n, &key)) return;
    out->has_transparency = true;
    if (out->mode == TC_MODE_P) {
        for (int i = 0; alpha && i < n && i < 256; i++) out->palette[i][3] = alpha[i];
    } else if (key && out->mode == TC_MODE_RGB) {
        out->key[0] = key->red;
        out->key[1] = key->green;
        out->key[2] = key->blue;
    } else if (key) { /* not scaled to 8 bits, but for mode 1: as the reference has it */
        uint16_t gray = out->mode == TC_MODE_1 && key->gray ? 255 : key->gray;
        out->key[0] = out->key[1] = out->key[2] = gray;
    }
}

static tc_status decode_pixels(png_reader *r, tc_image *out) {
    if (setjmp(r->failed)) return r->status;
    r->info = png_create_info_struct(r->png);
    if (!r->info) return tc_fail_memory(r->err, 1);
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* the pixel limit was checked */
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(r->png, r->info);
    tc_mode mode = set_mode(r);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    tc_status status = tc_image_allocate(out, r->in, mode, png_get_image_width(r->png, r->info),
                                         png_get_image_height(r->png, r->info), r->err);
    if (status != TC_OK) return status;
    size_t row = (size_t)out->width * tc_mode_bytes(mode);
    if (png_get_rowbytes(r->png, r->info) != row) refuse(r, TC_EFORMAT, "sizes disagree");
    if (mode == TC_MODE_P) read_palette(r, out);
    read_transparency(r, out);
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < (size_t)out->height; y++) png_read_row(r->png, out->pixels + y * row, NULL);
    png_read_end(r->png, NULL);
    return TC_OK;
}

static tc_status decode(tc_image *out, const tc_encoded *in, tc_error *err) {
    chunk_walk walk = {.in = in};
    tc_status status = walk_chunks(&walk, err);
    if (status != TC_OK) return status;
    png_reader r = {.in = in, .err = err};
    r.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning, &r, on_malloc, on_free);
    if (!r.png) return r.status != TC_OK ? r.status : tc_fail_memory(err, 1);
    status = decode_pixels(&r, out);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (walk.exif) out->orientation = tc_exif_orientation(walk.exif, walk.exif_size);
    return status;
}

static bool accepts(const tc_encoded *in) { return tc_encoded_has(in, 0, "\x89PNG\r\n\x1a\n", 8); }

const tc_image_format tc_format_png = {accepts, decode};
