/* demo_report.c - what the demonstration leaves to read and to look at: results.json, the curves, classified test pictures. */
#include "demo.h"
#include "eval/eval.h"
#include "eval/metrics.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

int64_t demo_steps_to(const demo_result *r, double top1) {
    for (int i = 0; i < r->points; i++)
        if (r->curve[i].top1 >= top1) return r->curve[i].step;
    return -1;
}

tc_status demo_read_curve(const char *log, demo_result *r, tc_error *err) {
    char *text;
    size_t size;
    tc_status status = tc_file_read(log, (size_t)1 << 30, &text, &size, err);
    if (status != TC_OK) return status;
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        long long step;
        double top1;
        if (sscanf(line, "{\"step\":%lld,\"top1\":%lf", &step, &top1) != 2 || r->points == DEMO_POINTS) continue;
        r->curve[r->points].step = step;
        r->curve[r->points++].top1 = top1;
    }
    free(text);
    return TC_OK;
}

tc_status demo_write_results(const char *path, const demo_result *results, int n, double seconds, tc_error *err) {
    json_t *models = json_array();
    for (int i = 0; i < n; i++) {
        const demo_result *r = &results[i];
        json_t *curve = json_array();
        for (int k = 0; k < r->points; k++) json_array_append_new(curve, json_pack("[I, f]", (json_int_t)r->curve[k].step, r->curve[k].top1));
        json_t *m =
            json_pack("{s:s, s:I, s:I, s:f, s:I, s:f, s:o}", "name", r->name, "params", (json_int_t)r->params_without_tokens, "params_with_tokens",
                      (json_int_t)r->params, "top1", r->top1, "steps", (json_int_t)r->steps, "seconds", r->seconds, "curve", curve);
        int64_t reached = demo_steps_to(r, results[1].top1);
        json_object_set_new(m, "steps_to_scratch", reached >= 0 ? json_integer((json_int_t)reached) : json_null());
        json_array_append_new(models, m);
    }
    json_t *all = json_pack("{s:o, s:f}", "models", models, "seconds", seconds);
    char *text = all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(all);
    tc_status status = text ? tc_file_write(path, text, strlen(text), err) : tc_fail_memory(err, 1);
    free(text);
    return status;
}

/* ---- curves */

typedef struct frame {
    double left, top, width, height, most_steps, low, high;
} frame;

static double x_of(const frame *f, double step) { return f->left + f->width * step / f->most_steps; }
static double y_of(const frame *f, double top1) { return f->top + f->height * (1 - (fmax(top1, f->low) - f->low) / (f->high - f->low)); }

static void draw_axes(tc_buf *b, const frame *f) {
    for (double v = f->low; v <= f->high + 1e-9; v += 0.1)
        tc_buf_printf(
            b,
            "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.0f %%</text>\n",
            f->left, f->left + f->width, y_of(f, v), y_of(f, v), f->left - 8, y_of(f, v) + 4, 100 * v);
    for (int i = 0; i <= 5; i++)
        tc_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f</text>\n", x_of(f, f->most_steps * i / 5), f->top + f->height + 20,
                      f->most_steps * i / 5);
    tc_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">training step</text>\n", f->left + f->width / 2, f->top + f->height + 42);
}

static void draw_curve(tc_buf *b, const frame *f, const demo_result *r, int i) {
    static const char *const colours[DEMO_MODELS] = {"#555555", "#d62728", "#ff9e1b", "#1f77b4"};
    tc_buf_printf(b, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2.5\"%s points=\"", colours[i], i ? "" : " stroke-dasharray=\"6 4\"");
    for (int k = 0; k < r->points; k++) tc_buf_printf(b, "%.1f,%.1f ", x_of(f, (double)r->curve[k].step), y_of(f, r->curve[k].top1));
    double y = f->top + f->height - 100 + 22 * i, x = f->left + f->width - 330;
    tc_buf_printf(b, "\"/>\n<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.0f\" y2=\"%.0f\" stroke=\"%s\" stroke-width=\"3\"/>", x, x + 24, y, y, colours[i]);
    tc_buf_printf(b, "<text x=\"%.0f\" y=\"%.0f\">%s: %.1f %%, %.2f M parameters</text>\n", x + 32, y + 4, r->name, 100 * r->top1,
                  (double)r->params_without_tokens / 1e6);
}

tc_status demo_draw_curves(const char *path, const demo_result *results, int n, tc_error *err) {
    frame f = {.left = 60, .top = 50, .width = 720, .height = 380, .most_steps = 1, .low = 1, .high = 1};
    for (int i = 0; i < n; i++)
        for (int k = 0; k < results[i].points; k++) {
            f.most_steps = fmax(f.most_steps, (double)results[i].curve[k].step);
            f.low = fmin(f.low, results[i].curve[k].top1);
        }
    f.low = floor(f.low * 10) / 10;
    f.high = 1;
    tc_buf b = {0};
    tc_buf_puts(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 820 490\" font-family=\"sans-serif\" font-size=\"13\">\n"
                    "<rect width=\"820\" height=\"490\" fill=\"white\"/>\n"
                    "<text x=\"60\" y=\"28\" font-size=\"17\">Zero-shot accuracy on the test pictures while training</text>\n");
    draw_axes(&b, &f);
    for (int i = 0; i < n; i++) draw_curve(&b, &f, &results[i], i);
    tc_buf_puts(&b, "</svg>\n");
    tc_status status = b.failed ? tc_fail_memory(err, b.size) : tc_file_write(path, b.data, b.size, err);
    tc_buf_free(&b);
    return status;
}

/* ---- test pictures */

enum { SHOWN = 10 };

static tc_status write_png(const char *path, const tc_data *data, int64_t index, tc_preprocess p, tc_error *err) {
    size_t pixels = (size_t)p.crop * (size_t)p.crop;
    float *values = cli_new(3 * pixels, sizeof *values);
    uint8_t *bytes = cli_new(3 * pixels, 1);
    for (int c = 0; c < 3; c++) p.mean[c] = 0, p.std[c] = 1;
    p.rescale = 1;
    tc_status status = tc_data_image(data, index, &p, values, err);
    for (size_t i = 0; i < pixels && status == TC_OK; i++)
        for (size_t c = 0; c < 3; c++) bytes[3 * i + c] = (uint8_t)lrintf(values[c * pixels + i]);
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)p.crop, .height = (png_uint_32)p.crop, .format = PNG_FORMAT_RGB};
    if (status == TC_OK && !png_image_write_to_file(&image, path, 0, bytes, 0, NULL)) status = tc_fail(err, TC_EIO, "%s: %s", path, image.message);
    free(values);
    free(bytes);
    return status;
}

/* What the class weights [classes,E] make of a unit embedding. */
static void print_row(const char *path, const tc_data *data, int64_t index, const float *embed, const float *weights, int dim, float scale) {
    int classes = tc_data_classes(data), label = tc_data_label(data, index), best;
    float *p = cli_new((size_t)classes, sizeof *p);
    tc_logits(embed, weights, 1, classes, dim, scale, p);
    tc_softmax(p, 1, classes);
    tc_top_k(p, classes, 1, &best);
    printf("%-34s %-14s %-14s %5.1f %%%s\n", path, tc_data_class_name(data, label), tc_data_class_name(data, best), 100 * (double)p[best],
           best == label ? "" : " wrong");
    free(p);
}

tc_status demo_classify(const char *dir, tc_model *model, const tc_data *data, const tc_preprocess *p, tc_error *err) {
    cli_model m = {.model = model, .info = tc_model_get_info(model), .preprocess = *p};
    int dim = m.info->embed_dim, classes = tc_data_classes(data);
    int64_t count = tc_data_count(data) < SHOWN ? tc_data_count(data) : SHOWN;
    float *weights = cli_new((size_t)dim * (size_t)classes, sizeof *weights), *embed = cli_new((size_t)dim, sizeof *embed);
    char *folder = tc_path_join(dir, "images");
    tc_status status = folder ? tc_make_dirs(folder, err) : tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_model_tokenizer(model, &m.tokenizer, err);
    if (status == TC_OK) status = tc_session_create(&m.session, model, err);
    if (status == TC_OK) status = tc_zeroshot_data_weights(m.session, model, data, m.tokenizer, NULL, weights, err);
    if (status == TC_OK) printf("\n%-34s %-14s %-14s\n", "test picture", "is", "inherit-affinity says");
    for (int64_t i = 0; i < count && status == TC_OK; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/test-%02lld.png", folder, (long long)i);
        status = write_png(path, data, i, *p, err);
        char *list[1] = {path};
        if (status == TC_OK) status = cli_embed_images(&m, list, 1, embed, NULL, err);
        if (status != TC_OK) break;
        tc_normalize(embed, 1, dim);
        print_row(path, data, i, embed, weights, dim, expf(m.info->logit_scale));
    }
    tc_session_close(&m.session);
    tc_tokenizer_close(&m.tokenizer);
    free(weights);
    free(embed);
    free(folder);
    return status;
}
