/* cards.c - the examples on the page: the image as the models see it, and what each of them makes of
 * it. Images are PNG within the page. */
#include "report/examples.h"

#include <math.h>
#include <nettle/base64.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 144 };                   /* pixels of a shown image at most */
static const float SHOWN_FROM = 0.05F; /* a second or third guess that is less probable is not worth a line */

/* ---- images */

static tc_status put_png(tc_buf *b, const uint8_t *bytes, int side, tc_error *err) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)side,
                       .height = (png_uint_32)side,
                       .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = 0;
    if (!png_image_write_to_memory(&image, NULL, &size, 0, bytes, 0, NULL))
        return tc_fail(err, TC_EIO, "an example as PNG: %s", image.message);
    uint8_t *png = tc_new(size, 1);
    char *text = tc_new(BASE64_ENCODE_RAW_LENGTH(size) + 1, 1);
    tc_status status = png && text ? TC_OK : tc_fail_memory(err, size);
    if (status == TC_OK && !png_image_write_to_memory(&image, png, &size, 0, bytes, 0, NULL))
        status = tc_fail(err, TC_EIO, "an example as PNG: %s", image.message);
    if (status == TC_OK) {
        base64_encode_raw(text, size, png);
        tc_buf_printf(b, "data:image/png;base64,%s", text);
    }
    free(png);
    free(text);
    return status;
}

/* The square that the models see, of SIDE pixels if it is larger. */
static tc_status put_picture(tc_buf *b, const tc_examples *e, int64_t sample, tc_error *err) {
    tc_preprocess p = e->picture;
    if (p.crop > SIDE) {
        if (p.resize) p.resize = (int)((int64_t)p.resize * SIDE / p.crop);
        else p.resize = SIDE;
        p.crop = SIDE;
    }
    size_t pixels = (size_t)p.crop * (size_t)p.crop;
    float *values = tc_new(3 * pixels, sizeof *values);
    uint8_t *bytes = tc_new(3 * pixels, 1);
    for (int c = 0; c < 3; c++) p.mean[c] = 0, p.std[c] = 1;
    p.rescale = 1;
    tc_status status = values && bytes ? tc_data_image(e->subject.data, sample, &p, values, err)
                                       : tc_fail_memory(err, 3 * pixels * sizeof *values);
    for (size_t i = 0; i < pixels && status == TC_OK; i++)
        for (size_t c = 0; c < 3; c++)
            bytes[3 * i + c] = (uint8_t)lrintf(fminf(fmaxf(values[c * pixels + i], 0), 255));
    if (status == TC_OK) status = put_png(b, bytes, p.crop, err);
    free(values);
    free(bytes);
    return status;
}

/* ---- what the models say */

static void put_guesses(tc_buf *b, const tc_examples *e, const tc_example_model *m, int64_t position) {
    const tc_example_guess *g = &m->says[position];
    int label = e->subject.label[position];
    bool good = g->index[0] == label;
    tc_buf_printf(b, "<li><p class=\"who\"><span class=\"key c%d\"></span>", m->model->colour);
    tc_report_text(b, m->model->name);
    tc_buf_printf(b, "<span class=\"%s\">%s</span></p>\n<ol>\n", good ? "right" : "wrong",
                  good ? "\xe2\x9c\x93 right" : "\xe2\x9c\x97 wrong");
    for (int k = 0; k < TC_EXAMPLE_GUESSES && g->index[k] >= 0; k++) {
        if (k && !(g->p[k] >= SHOWN_FROM)) break;
        double p = isfinite(g->p[k]) ? fmin(fmax((double)g->p[k], 0), 1) : 0;
        tc_buf_printf(b, "<li%s><span class=\"bar c%d\" style=\"width:%.1f%%\"></span><span class=\"guess\">",
                      g->index[k] == label ? " class=\"true\"" : "", m->model->colour, 100 * p);
        tc_report_short(b, e->subject.names[g->index[k]], 64);
        tc_buf_printf(b, "</span><span class=\"p\">%.0f" TC_REPORT_SPACE "%%</span></li>\n", 100 * p);
    }
    tc_buf_puts(b, "</ol></li>\n");
}

static tc_status card(tc_buf *b, const tc_examples *e, int64_t position, tc_error *err) {
    int64_t sample = tc_selected(&e->subject.selection, position);
    const char *name = e->subject.names[e->subject.label[position]];
    char buffer[256];
    tc_buf_printf(b, "<figure class=\"card\">\n<figcaption><img alt=\"");
    tc_report_short(b, name, 120);
    tc_buf_printf(b, "\" width=\"%d\" height=\"%d\"%s src=\"", e->picture.crop > 72 ? 96 : 72,
                  e->picture.crop > 72 ? 96 : 72, e->picture.crop <= 64 ? " class=\"pixels\"" : "");
    tc_status status = put_picture(b, e, sample, err);
    tc_buf_puts(b, "\"/><span class=\"truth\"><strong>");
    tc_report_short(b, name, 120);
    tc_buf_puts(b, "</strong><small>");
    tc_report_short(b, tc_data_name(e->subject.data, sample, buffer, sizeof buffer), 60);
    tc_buf_puts(b, "</small></span></figcaption>\n<ul class=\"says\">\n");
    for (int i = 0; i < e->model_count; i++)
        if (e->models[i].says) put_guesses(b, e, &e->models[i], position);
    tc_buf_puts(b, "</ul>\n</figure>\n");
    return status;
}

static const char *kind_name(const tc_examples *e, tc_example_kind k) {
    int students = 0;
    for (int i = 1; i < e->model_count; i++) students += e->models[i].says != NULL;
    switch (k) {
    case TC_EXAMPLE_ALL:
        return students + e->teacher > 1 ? "All are right" : "Right";
    case TC_EXAMPLE_LOST:
        if (!e->teacher) return "Some are right";
        return students > 1 ? "The teacher is right, not every student" : "Only the teacher is right";
    case TC_EXAMPLE_GAINED:
        return students > 1 ? "The teacher is wrong, a student is right" : "Only the student is right";
    default:
        return students + e->teacher > 1 ? "All are wrong" : "Wrong";
    }
}

static void introduction(tc_buf *b, const tc_examples *e) {
    tc_report_number n, of;
    tc_buf_printf(b, "<p class=\"note\">%s of %s held-out images, evenly spaced, were looked at%s. ",
                  tc_report_whole(e->images, &n), tc_report_whole(e->subject.selection.total, &of),
                  e->subject.pairs ? "; each is to find its caption among those of all of them" : "");
    tc_buf_puts(b, "The ones shown are chosen so that models disagree more often than usual; how often it is "
                   "so is said beside each heading. Bars are "
                   "probabilities; guesses below 5" TC_REPORT_SPACE "% are left out.</p>\n");
    for (int i = 0; i < e->model_count; i++) {
        if (e->models[i].says) continue;
        tc_buf_puts(b, "<p class=\"missing\">Without ");
        tc_report_text(b, e->models[i].model->name);
        tc_buf_puts(b, ": ");
        tc_report_text(b, e->models[i].why.message);
        tc_buf_puts(b, ".</p>\n");
    }
}

tc_status tc_report_cards(tc_buf *b, const tc_examples *e, tc_error *err) {
    tc_status status = TC_OK;
    tc_report_number n;
    tc_buf_puts(b, "<section id=\"examples\">\n<h2>Examples</h2>\n");
    introduction(b, e);
    for (int i = 0; i < e->shown_count && status == TC_OK; i++) {
        tc_example_kind k = e->shown[i].kind;
        if (i == 0 || e->shown[i - 1].kind != k)
            tc_buf_printf(b, "%s<h3>%s <small>%s of the images</small></h3>\n<div class=\"cards\">\n",
                          i ? "</div>\n" : "", kind_name(e, k),
                          tc_report_percent((double)e->of_kind[k] / (double)e->images, &n));
        status = card(b, e, e->shown[i].position, err);
    }
    tc_buf_printf(b, "%s</section>\n",
                  e->shown_count ? "</div>\n" : "<p class=\"missing\">No image could be shown.</p>\n");
    return status;
}
