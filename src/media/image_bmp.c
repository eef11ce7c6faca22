/* image_bmp.c - uncompressed BMP of 1, 4, 8, 16, 24 and 32 bits a pixel, in the modes that Pillow gives them.
 *
 * A palette of black and white gives mode 1, a gray ramp L, any other P. Alpha exists only where a header
 * with bit masks says so. Run-length coded files are refused as unsupported. */
#include "media/decode.h"

#include <string.h>

enum { RAW = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3 };

typedef struct bmp_header {
    int64_t width, height;
    bool top_down;
    uint32_t bits, compression, colors, palette_step; /* bytes of a palette entry */
    uint32_t masks[4];                                /* red, green, blue, alpha */
    size_t offset, after_header;                      /* of the pixels; of what follows the header */
} bmp_header;

static uint32_t read16(const uint8_t *p) { return (uint32_t)(p[0] | p[1] << 8); }
static uint32_t read32(const uint8_t *p) { return read16(p) | read16(p + 2) << 16; }

static tc_status cut_short(const tc_encoded *in, tc_error *err) {
    return tc_fail(err, TC_EFORMAT, "%s: the BMP data ends too early (%zu bytes)", in->name, in->size);
}

static tc_status read_masks(bmp_header *h, const tc_encoded *in, uint32_t header_size, tc_error *err) {
    int n = header_size >= 56 ? 4 : 3; /* behind a 40-byte header, or inside a longer one: the same place */
    if (header_size == 40) h->after_header += 12;
    if (in->size < 54 + 4 * (size_t)n) return cut_short(in, err);
    for (int i = 0; i < n; i++) h->masks[i] = read32(in->data + 54 + 4 * i);
    return TC_OK;
}

static tc_status read_header(bmp_header *h, const tc_encoded *in, tc_error *err) {
    const uint8_t *p = in->data;
    if (in->size < 26) return cut_short(in, err);
    uint32_t size = read32(p + 14);
    bool core = size == 12;
    if (!core && size != 40 && size != 52 && size != 56 && size != 64 && size != 108 && size != 124)
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: BMP header of %u bytes, expected 12, 40, 52, 56, 64, 108 or 124", in->name, size);
    h->after_header = 14 + (size_t)size;
    if (in->size < h->after_header) return cut_short(in, err);
    h->palette_step = core ? 3 : 4;
    h->width = core ? read16(p + 18) : read32(p + 18);
    h->height = core ? read16(p + 20) : read32(p + 22);
    h->bits = core ? read16(p + 24) : read16(p + 28);
    if (!core) {
        h->compression = read32(p + 30);
        h->colors = read32(p + 46);
        h->top_down = p[25] == 0xff; /* a negative height */
        if (h->top_down) h->height = (INT64_C(1) << 32) - h->height;
    }
    if (h->colors == 0 && h->bits <= 8) h->colors = 1u << h->bits;
    h->offset = read32(p + 10);
    return h->compression == BITFIELDS ? read_masks(h, in, size, err) : TC_OK;
}

static tc_status check_kind(const bmp_header *h, const tc_encoded *in, tc_error *err) {
    if (h->compression == RLE8 || h->compression == RLE4)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: run-length coded BMP is not supported", in->name);
    if (h->compression != RAW && h->compression != BITFIELDS)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: BMP compression %u is not supported", in->name,
                       h->compression);
    bool masked = h->compression == BITFIELDS;
    if (h->bits != 16 && h->bits != 24 && h->bits != 32 &&
        (masked || (h->bits != 1 && h->bits != 4 && h->bits != 8)))
        return tc_fail(err, TC_EUNSUPPORTED, "%s: BMP of %u bits a pixel is not supported", in->name,
                       h->bits);
    if (h->bits <= 8 && h->colors > 65536)
        return tc_fail(err, TC_EFORMAT, "%s: BMP palette of %u colours", in->name, h->colors);
    return TC_OK;
}

/* ---- palette images */

static tc_status read_palette(tc_image *out, bmp_header *h, const tc_encoded *in, tc_error *err) {
    size_t bytes = (size_t)h->colors * h->palette_step;
    if (in->size - h->after_header < bytes) return cut_short(in, err);
    if (h->offset == h->after_header) h->offset += bytes; /* some writers forget the palette */
    const uint8_t *p = in->data + h->after_header;
    for (uint32_t i = 0; i < h->colors && i < 256; i++, p += h->palette_step)
        for (int c = 0; c < 3; c++) out->palette[i][c] = p[2 - c];
    return TC_OK;
}

static bool is_gray(const tc_image *im, uint32_t i, uint32_t value) {
    return im->palette[i][0] == value && im->palette[i][1] == value && im->palette[i][2] == value;
}

static tc_mode palette_mode(const tc_image *im, const bmp_header *h) {
    if (h->bits == 1)
        return h->colors == 2 && is_gray(im, 0, 0) && is_gray(im, 1, 255) ? TC_MODE_1 : TC_MODE_P;
    if (h->bits != 8 || h->colors < 3) return TC_MODE_P;
    for (uint32_t i = 0; i < h->colors; i++)
        if (i > 255 || !is_gray(im, i, i)) return TC_MODE_P;
    return TC_MODE_L;
}

static void unpack_indices(uint8_t *to, const uint8_t *row, size_t width, uint32_t bits, bool black_white) {
    uint32_t per_byte = 8 / bits, mask = (1u << bits) - 1;
    for (size_t x = 0; x < width; x++) {
        uint32_t v = row[x / per_byte] >> (8 - bits - bits * (x % per_byte)) & mask;
        to[x] = (uint8_t)(black_white ? v * 255 : v);
    }
}

/* ---- colour images: each channel has a place and a width in the pixel's bits */

typedef struct field {
    uint32_t shift, most; /* value = (pixel >> shift & most) scaled from 0..most to 0..255 */
} field;

typedef struct layout {
    uint32_t bits, masks[4];
} layout;

/* The layouts that are known, alpha 0 where there is none; the last but one stands for all masks 0. */
static const layout layouts[] = {
    {32, {0xff0000, 0xff00, 0xff, 0}},
    {32, {0xff000000, 0xff0000, 0xff00, 0}},
    {32, {0xff000000, 0xff00, 0xff, 0}},
    {32, {0xff000000, 0xff0000, 0xff00, 0xff}},
    {32, {0xff, 0xff00, 0xff0000, 0xff000000}},
    {32, {0xff0000, 0xff00, 0xff, 0xff000000}},
    {32, {0xff000000, 0xff00, 0xff, 0xff0000}},
    {24, {0xff0000, 0xff00, 0xff, 0}},
    {16, {0xf800, 0x7e0, 0x1f, 0}},
    {16, {0x7c00, 0x3e0, 0x1f, 0}},
};

static bool find_layout(const bmp_header *h, layout *out) {
    static const uint32_t raw16[4] = {0x7c00, 0x3e0, 0x1f, 0}, raw24[4] = {0xff0000, 0xff00, 0xff, 0};
    static const uint32_t none[4] = {0}, unset[4] = {0xff0000, 0xff00, 0xff, 0xff000000};
    *out = (layout){.bits = h->bits};
    const uint32_t *masks = h->bits == 16 ? raw16 : raw24;
    if (h->compression != RAW) masks = h->masks;
    if (h->bits == 32 && memcmp(masks, none, sizeof none) == 0) masks = unset;
    size_t compared = h->bits == 32 ? 4 : 3;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].bits == h->bits && memcmp(layouts[i].masks, masks, compared * sizeof *masks) == 0) {
            *out = layouts[i];
            return true;
        }
    return false;
}

static void unpack_colors(uint8_t *to, const uint8_t *row, size_t width, const layout *l, size_t channels) {
    field fields[4] = {{0, 0}};
    for (size_t c = 0; c < channels; c++) {
        fields[c].shift = (uint32_t)__builtin_ctz(l->masks[c]);
        fields[c].most = l->masks[c] >> fields[c].shift;
    }
    size_t bytes = l->bits / 8;
    for (size_t x = 0; x < width; x++, row += bytes) {
        uint32_t v = read16(row);
        if (bytes > 2) v |= (uint32_t)row[2] << 16;
        if (bytes > 3) v |= (uint32_t)row[3] << 24;
        for (size_t c = 0; c < channels; c++)
            *to++ = (uint8_t)((v >> fields[c].shift & fields[c].most) * 255 / fields[c].most);
    }
}

/* ---- rows */

static tc_status read_rows(tc_image *out, const bmp_header *h, const layout *l, const tc_encoded *in,
                           tc_error *err) {
    size_t width = (size_t)out->width;
    size_t height = (size_t)out->height;
    size_t stride = (width * h->bits + 31) / 32 * 4;
    size_t all;
    if (!tc_mul(stride, height - 1, &all) || !tc_add(all, (width * h->bits + 7) / 8, &all) ||
        h->offset > in->size || all > in->size - h->offset)
        return cut_short(in, err);
    size_t bytes = tc_mode_bytes(out->mode);
    for (size_t y = 0; y < height; y++) {
        const uint8_t *row = in->data + h->offset + (h->top_down ? y : height - 1 - y) * stride;
        uint8_t *to = out->pixels + y * width * bytes;
        if (h->bits <= 8) unpack_indices(to, row, width, h->bits, out->mode == TC_MODE_1);
        else unpack_colors(to, row, width, l, bytes);
    }
    return TC_OK;
}

static tc_status decode(tc_image *out, const tc_encoded *in, tc_error *err) {
    bmp_header h = {0};
    layout l = {0};
    tc_status status = read_header(&h, in, err);
    if (status == TC_OK) status = tc_check_size(in, h.width, h.height, err);
    if (status == TC_OK) status = check_kind(&h, in, err);
    if (status != TC_OK) return status;
    tc_image head = {.orientation = 1}; /* palette and mode are known before the pixels are allocated */
    if (h.bits <= 8) {
        status = read_palette(&head, &h, in, err);
        if (status != TC_OK) return status;
        head.mode = palette_mode(&head, &h);
    } else {
        if (!find_layout(&h, &l))
            return tc_fail(err, TC_EUNSUPPORTED, "%s: BMP with these bit masks is not supported", in->name);
        head.mode = l.masks[3] ? TC_MODE_RGBA : TC_MODE_RGB;
    }
    if (h.offset == 0) h.offset = h.after_header;
    memcpy(out->palette, head.palette, sizeof head.palette);
    status = tc_image_allocate(out, in, head.mode, h.width, h.height, err);
    return status == TC_OK ? read_rows(out, &h, &l, in, err) : status;
}

static bool accepts(const tc_encoded *in) { return tc_encoded_has(in, 0, "BM", 2); }

const tc_image_format tc_format_bmp = {accepts, decode};
