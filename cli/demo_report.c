/* demo_report.c - what the demonstration prints at its end beside the table of models: classified test
 * pictures. */
#include "demo.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 10 };

static tc_status write_png(const char *path, const tc_data *data, int64_t index, tc_preprocess p,
                           tc_error *err) {
    size_t pixels = (size_t)p.crop * (size_t)p.crop;
    float *values = cli_new(3 * pixels, sizeof *values);
    uint8_t *bytes = cli_new(3 * pixels, 1);
    for (int c = 0; c < 3; c++) p.mean[c] = 0, p.std[c] = 1;
    p.rescale = 1;
    tc_status status = tc_data_image(data, index, &p, values, err);
    for (size_t i = 0; i < pixels && status == TC_OK; i++)
        for (size_t c = 0; c < 3; c++) bytes[3 * i + c] = (uint8_t)lrintf(values[c * pixels + i]);
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)p.crop,
                       .height = (png_uint_32)p.crop,
                       .format = PNG_FORMAT_RGB};
    if (status == TC_OK && !png_image_write_to_file(&image, path, 0, bytes, 0, NULL))
        status = cli_fail(err, TC_EIO, "%s: %s", path, image.message);
    free(values);
    free(bytes);
    return status;
}

static void tell(const char *path, const char *truth, const char *said, double probability, json_t *results) {
    if (!results) {
        printf("%-34s %-14s %-14s %5.1f %%%s\n", path, truth, said, 100 * probability,
               strcmp(truth, said) == 0 ? "" : " wrong");
        return;
    }
    json_t *prediction = json_object(), *one = json_object(), *predictions = json_array();
    json_object_set_new(prediction, "label", cli_json_text(said));
    json_object_set_new(prediction, "probability", cli_json_real(probability));
    json_array_append_new(predictions, prediction);
    json_object_set_new(one, "image", cli_json_text(path));
    json_object_set_new(one, "truth", cli_json_text(truth));
    json_object_set_new(one, "predictions", predictions);
    json_array_append_new(results, one);
}

/* What the class weights [classes,E] make of a unit embedding. */
static void tell_best(const char *path, const tc_data *data, int64_t index, const float *embed,
                      const float *weights, int dim, float scale, json_t *results) {
    int classes = tc_data_classes(data), label = tc_data_label(data, index), best;
    float *p = cli_new((size_t)classes, sizeof *p);
    tc_logits(embed, weights, 1, classes, dim, scale, p);
    tc_softmax(p, 1, classes);
    tc_top_k(p, classes, 1, &best);
    tell(path, tc_data_class_name(data, label), tc_data_class_name(data, best), (double)p[best], results);
    free(p);
}

static tc_status classify(const char *folder, cli_model *m, const tc_data *data, json_t *results,
                          tc_error *err) {
    int dim = m->info->embed_dim, classes = tc_data_classes(data);
    int64_t count = tc_data_count(data) < SHOWN ? tc_data_count(data) : SHOWN;
    float *weights = cli_new((size_t)dim * (size_t)classes, sizeof *weights);
    float *embeds = cli_new((size_t)dim * (size_t)count, sizeof *embeds);
    cli_list paths = {0};
    tc_status status = tc_zeroshot_data_weights(m->session, m->tokenizer, data, NULL, NULL, weights, err);
    for (int64_t i = 0; i < count && status == TC_OK; i++) {
        char *path = cli_text("%s/test-%02lld.png", folder, (long long)i);
        status = write_png(path, data, i, m->preprocess, err);
        cli_list_add(&paths, path);
        free(path);
    }
    if (status == TC_OK) status = cli_embed_images(m, &paths, embeds, err);
    if (status == TC_OK) tc_normalize(embeds, (int)count, dim);
    for (int64_t i = 0; i < count && status == TC_OK; i++)
        tell_best(paths.items[i], data, i, embeds + i * dim, weights, dim, expf(m->info->logit_scale),
                  results);
    cli_list_free(&paths);
    free(weights);
    free(embeds);
    return status;
}

tc_status demo_classify(const char *dir, const char *path, const tc_data *data, json_t *results,
                        tc_error *err) {
    static const cli_common none;
    cli_model m = {0};
    char *folder = cli_path(dir, "images");
    tc_status status = cli_make_dirs(folder, err);
    if (status == TC_OK) status = cli_model_open(&m, path, &none, CLI_TOKENIZER | CLI_SESSION, err);
    if (status == TC_OK && !results) printf("\n%-34s %-14s %s says\n", "test picture", "is", path);
    if (status == TC_OK) status = classify(folder, &m, data, results, err);
    cli_model_close(&m);
    free(folder);
    return status;
}
