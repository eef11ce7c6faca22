/* image_gif.c - the first frame of a GIF by giflib, on its screen.
 *
 * As Pillow has it: a palette that is a gray ramp gives mode L, any other P; a frame that reaches over the
 * screen enlarges it; what the frame does not cover has the transparent index, or 0. */
#include "media/decode.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

typedef struct gif_reader {
    const tc_encoded *in;
    size_t position;
} gif_reader;

static int on_read(GifFileType *gif, GifByteType *to, int n) {
    gif_reader *r = gif->UserData;
    size_t left = r->in->size - r->position;
    if ((size_t)n > left) n = (int)left;
    memcpy(to, r->in->data + r->position, (size_t)n);
    r->position += (size_t)n;
    return n;
}

static tc_status gif_error(const tc_encoded *in, int code, tc_error *err) {
    if (code == D_GIF_ERR_NOT_ENOUGH_MEM)
        return tc_fail(err, TC_ENOMEM, "%s: out of memory while decoding GIF", in->name);
    if (code == D_GIF_ERR_READ_FAILED || code == D_GIF_ERR_EOF_TOO_SOON)
        return tc_fail(err, TC_EFORMAT, "%s: the GIF data ends too early", in->name);
    const char *text = GifErrorString(code);
    return tc_fail(err, TC_EFORMAT, "%s: bad GIF data: %s", in->name, text ? text : "damaged");
}

/* Reads one extension; a graphics control block may name the transparent index. */
static bool read_extension(GifFileType *gif, int *transparent) {
    int code;
    GifByteType *block;
    if (DGifGetExtension(gif, &code, &block) != GIF_OK) return false;
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4 && (block[1] & 1)) *transparent = block[4];
    while (block)
        if (DGifGetExtensionNext(gif, &block) != GIF_OK) return false;
    return true;
}

/* Stops behind the descriptor of the first image. */
static tc_status find_frame(GifFileType *gif, const tc_encoded *in, int *transparent, tc_error *err) {
    for (;;) {
        GifRecordType type;
        if (DGifGetRecordType(gif, &type) != GIF_OK) return gif_error(in, gif->Error, err);
        if (type == TERMINATE_RECORD_TYPE)
            return tc_fail(err, TC_EFORMAT, "%s: the GIF holds no image", in->name);
        if (type == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(gif) == GIF_OK ? TC_OK : gif_error(in, gif->Error, err);
        if (type == EXTENSION_RECORD_TYPE && !read_extension(gif, transparent))
            return gif_error(in, gif->Error, err);
    }
}

static bool is_gray_ramp(const ColorMapObject *map) {
    for (int i = 0; map && i < map->ColorCount; i++) {
        const GifColorType *c = &map->Colors[i];
        if (c->Red != i || c->Green != i || c->Blue != i) return false;
    }
    return true;
}

static void set_palette(tc_image *out, const ColorMapObject *map, int transparent) {
    for (int i = 0; map && i < map->ColorCount && i < 256; i++) {
        out->palette[i][0] = map->Colors[i].Red;
        out->palette[i][1] = map->Colors[i].Green;
        out->palette[i][2] = map->Colors[i].Blue;
    }
    if (transparent < 0) return;
    out->has_transparency = true;
    out->palette[transparent][3] = 0;
    out->key[0] = out->key[1] = out->key[2] = (uint16_t)transparent;
}

static tc_status read_rows(tc_image *out, const tc_encoded *in, GifFileType *gif, tc_error *err) {
    /* the four passes of an interlaced frame */
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    const GifImageDesc *d = &gif->Image;
    int passes = d->Interlace ? 4 : 1;
    for (int pass = 0; pass < passes; pass++)
        for (int y = d->Interlace ? first[pass] : 0; y < d->Height; y += d->Interlace ? step[pass] : 1) {
            uint8_t *row = out->pixels + (size_t)(d->Top + y) * (size_t)out->width + (size_t)d->Left;
            if (DGifGetLine(gif, row, d->Width) != GIF_OK) return gif_error(in, gif->Error, err);
        }
    return TC_OK;
}

static tc_status decode_frame(tc_image *out, const tc_encoded *in, GifFileType *gif, tc_error *err) {
    int transparent = -1;
    tc_status status = find_frame(gif, in, &transparent, err);
    if (status != TC_OK) return status;
    const GifImageDesc *d = &gif->Image;
    if (d->Left < 0 || d->Top < 0 || d->Width <= 0 || d->Height <= 0)
        return tc_fail(err, TC_EFORMAT, "%s: the GIF frame is %dx%d pixels", in->name, d->Width, d->Height);
    int width = d->Left + d->Width > gif->SWidth ? d->Left + d->Width : gif->SWidth;
    int height = d->Top + d->Height > gif->SHeight ? d->Top + d->Height : gif->SHeight;
    const ColorMapObject *map = d->ColorMap ? d->ColorMap : gif->SColorMap;
    status = tc_image_allocate(out, in, is_gray_ramp(map) ? TC_MODE_L : TC_MODE_P, width, height, err);
    if (status != TC_OK) return status;
    if (transparent > 0) memset(out->pixels, transparent, (size_t)width * (size_t)height);
    set_palette(out, map, transparent);
    return read_rows(out, in, gif, err);
}

static tc_status decode(tc_image *out, const tc_encoded *in, tc_error *err) {
    gif_reader r = {.in = in};
    int code = 0;
    GifFileType *gif = DGifOpen(&r, on_read, &code);
    if (!gif) return gif_error(in, code, err);
    tc_status status = decode_frame(out, in, gif, err);
    DGifCloseFile(gif, &code);
    return status;
}

static bool accepts(const tc_encoded *in) {
    return tc_encoded_has(in, 0, "GIF87a", 6) || tc_encoded_has(in, 0, "GIF89a", 6);
}

const tc_image_format tc_format_gif = {accepts, decode};
