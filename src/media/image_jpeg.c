/* image_jpeg.c - JPEG by libjpeg-turbo, with the settings that Pillow leaves as they are: the accurate
 * integer IDCT ("islow") and fancy upsampling of the chroma.
 *
 * libjpeg repairs what it can and only warns; here a warning that means lost or damaged data is an error.
 * Bytes after the end of the image and junk between markers are harmless. */
#include "media/decode.h"

#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { SCAN_LIMIT = 1000 };

/* Lives in the caller of the function that calls setjmp, so that nothing in it is lost by longjmp. */
typedef struct jpeg_reader {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    const tc_encoded *in;
    tc_error *err;
    tc_status status;
} jpeg_reader;

static jpeg_reader *reader_of(j_common_ptr c) { return c->client_data; }

_Noreturn static void refuse(jpeg_reader *r, tc_status status, const char *why) {
    r->status = tc_fail(r->err, status, "%s: %s", r->in->name, why);
    longjmp(r->failed, 1);
}

static tc_status status_of(int code) {
    switch (code) {
    case JERR_IMAGE_TOO_BIG:
    case JERR_OUT_OF_MEMORY:
        return TC_ENOMEM;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        return TC_EUNSUPPORTED;
    default:
        return TC_EFORMAT;
    }
}

_Noreturn static void on_error(j_common_ptr c) {
    char text[JMSG_LENGTH_MAX], line[JMSG_LENGTH_MAX + 64];
    c->err->format_message(c, text);
    snprintf(line, sizeof line, "bad JPEG data: %s", text);
    refuse(reader_of(c), status_of(c->err->msg_code), line);
}

static void on_message(j_common_ptr c, int level) {
    if (level >= 0) return;
    switch (c->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_TOO_MUCH_DATA:
        return;
    default:
        on_error(c);
    }
}

static void on_output(j_common_ptr c) { (void)c; }

static void no_action(j_decompress_ptr c) { (void)c; }

static boolean on_end_of_data(j_decompress_ptr c) {
    refuse(reader_of((j_common_ptr)c), TC_EFORMAT, "the JPEG data ends too early");
    return FALSE;
}

static void on_skip(j_decompress_ptr c, long n) {
    if (n <= 0) return;
    if ((size_t)n > c->src->bytes_in_buffer) on_end_of_data(c);
    c->src->next_input_byte += n;
    c->src->bytes_in_buffer -= (size_t)n;
}

static void on_progress(j_common_ptr c) {
    if (((j_decompress_ptr)c)->input_scan_number > SCAN_LIMIT)
        refuse(reader_of(c), TC_EFORMAT, "more than 1000 scans");
}

static void reader_init(jpeg_reader *r) {
    r->c.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->errors.output_message = on_output;
    r->c.client_data = r;
    jpeg_create_decompress(&r->c);
    r->source.init_source = no_action;
    r->source.fill_input_buffer = on_end_of_data;
    r->source.skip_input_data = on_skip;
    r->source.resync_to_restart = jpeg_resync_to_restart;
    r->source.term_source = no_action;
    r->source.next_input_byte = r->in->data;
    r->source.bytes_in_buffer = r->in->size;
    r->c.src = &r->source;
    r->progress.progress_monitor = on_progress;
    r->c.progress = &r->progress;
    jpeg_save_markers(&r->c, JPEG_APP0 + 1, 0xffff);
}

static void find_orientation(const jpeg_reader *r, tc_image *out) {
    for (jpeg_saved_marker_ptr m = r->c.marker_list; m; m = m->next) {
        if (m->data_length < 6 || memcmp(m->data, "Exif\0\0", 6) != 0) continue;
        out->orientation = tc_exif_orientation(m->data, m->data_length);
        return;
    }
}

/* The mode by the number of components, as Pillow has it. */
static tc_mode choose_mode(jpeg_reader *r) {
    if (r->c.arith_code) refuse(r, TC_EUNSUPPORTED, "JPEG with arithmetic coding is not supported");
    switch (r->c.num_components) {
    case 1:
        r->c.out_color_space = JCS_GRAYSCALE;
        return TC_MODE_L;
    case 3:
        r->c.out_color_space = JCS_RGB;
        return TC_MODE_RGB;
    case 4:
        r->c.out_color_space = JCS_CMYK;
        return TC_MODE_CMYK;
    default:
        refuse(r, TC_EUNSUPPORTED, "JPEG of 1, 3 or 4 components expected");
    }
}

/* libjpeg-turbo would take the standard Huffman tables where a file has none, which may decode to anything.
 */
static void check_tables(jpeg_reader *r) {
    for (int i = 0; !r->c.progressive_mode && i < r->c.comps_in_scan; i++) {
        const jpeg_component_info *c = r->c.cur_comp_info[i];
        bool known = c->dc_tbl_no >= 0 && c->dc_tbl_no < NUM_HUFF_TBLS && c->ac_tbl_no >= 0 &&
                     c->ac_tbl_no < NUM_HUFF_TBLS;
        if (!known || !r->c.dc_huff_tbl_ptrs[c->dc_tbl_no] || !r->c.ac_huff_tbl_ptrs[c->ac_tbl_no])
            refuse(r, TC_EFORMAT, "bad JPEG data: a Huffman table is missing");
    }
}

static void read_pixels(jpeg_reader *r, tc_image *out) {
    size_t row = (size_t)out->width * tc_mode_bytes(out->mode);
    if (!jpeg_start_decompress(&r->c) || (size_t)r->c.output_width * (size_t)r->c.output_components != row)
        refuse(r, TC_EFORMAT, "bad JPEG data: sizes disagree");
    while (r->c.output_scanline < r->c.output_height) {
        JSAMPROW to = out->pixels + r->c.output_scanline * row;
        if (jpeg_read_scanlines(&r->c, &to, 1) != 1) refuse(r, TC_EFORMAT, "the JPEG data ends too early");
    }
    jpeg_finish_decompress(&r->c);
}

static tc_status decode_pixels(jpeg_reader *r, tc_image *out) {
    if (setjmp(r->failed)) return r->status;
    reader_init(r);
    jpeg_read_header(&r->c, TRUE);
    find_orientation(r, out);
    tc_status status = tc_check_size(r->in, r->c.image_width, r->c.image_height, r->err);
    if (status != TC_OK) return status;
    tc_mode mode = choose_mode(r);
    check_tables(r);
    status = tc_image_allocate(out, r->in, mode, r->c.image_width, r->c.image_height, r->err);
    if (status != TC_OK) return status;
    read_pixels(r, out);
    return TC_OK;
}

static tc_status decode(tc_image *out, const tc_encoded *in, tc_error *err) {
    jpeg_reader r = {.in = in, .err = err};
    tc_status status = decode_pixels(&r, out);
    jpeg_destroy_decompress(&r.c);
    if (status == TC_OK && out->mode == TC_MODE_CMYK) { /* Adobe's convention: stored inverted */
        size_t n = (size_t)out->width * (size_t)out->height * 4;
        for (size_t i = 0; i < n; i++) out->pixels[i] = (uint8_t)(255 - out->pixels[i]);
    }
    return status;
}

static bool accepts(const tc_encoded *in) { return tc_encoded_has(in, 0, "\xff\xd8\xff", 3); }

const tc_image_format tc_format_jpeg = {accepts, decode};
