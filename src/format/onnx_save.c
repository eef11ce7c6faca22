/* onnx_save.c - a model as ONNX: each tower alone and both together, from the graphs that are run here.
 *
 * The graphs are those of inference, so the exported last block computes only the row that is read, too.
 * Names and meanings of inputs and outputs are those of transformers: the towers alone give embeddings as
 * CLIPVisionModelWithProjection and CLIPTextModelWithProjection do, not normalised; the model as CLIPModel
 * does, normalised, with logits. */
#include "graph/onnx.h"
#include "format/preprocess_json.h"
#include "format/save.h"

#include <stdlib.h>

enum { VISION = 1, TEXT = 2 };

/* The position of the end of each text [texts]: the first largest id, or the first that is the end-of-text id
 * (position 0 if there is none: the largest of zeros). ArgMax takes 32 bits in more runtimes than 64. */
static int end_of_text(tc_onnx *o, int ids, int eos_id) {
    tc_onnx_attr attr[2] = {tc_onnx_int_attr("axis", 1), tc_onnx_int_attr("keepdims", 0)};
    int x = eos_id < 0 ? ids : tc_onnx_binary(o, "Equal", ids, tc_onnx_int(o, eos_id));
    x = tc_onnx_cast(o, x, TC_ONNX_INT32);
    return tc_onnx_node(o, "ArgMax", 1, &x, 2, attr);
}

static int vision_tower(tc_onnx *o, const tc_model *m, const char *batch, tc_error *err) {
    tc_graph *g = NULL;
    char side[16];
    snprintf(side, sizeof side, "%d", m->config.image_size);
    tc_onnx_prefix(o, "vision/");
    int pixels = tc_onnx_input(o, "pixel_values", TC_ONNX_FLOAT, 4, (const char *[]){batch, "3", side, side});
    if (tc_net_graph(&g, TC_TOWER_VISION, &m->config, &m->params, 0, err) != TC_OK) return -1;
    int y = tc_onnx_graph(o, g, pixels, -1);
    tc_graph_free(&g);
    return y;
}

static int text_tower(tc_onnx *o, const tc_model *m, const char *batch, tc_error *err) {
    tc_graph *g = NULL;
    tc_onnx_prefix(o, "text/");
    int ids = tc_onnx_input(o, "input_ids", TC_ONNX_INT64, 2, (const char *[]){batch, "sequence_length"});
    int last = end_of_text(o, ids, m->config.eos_id);
    if (tc_net_graph(&g, TC_TOWER_TEXT, &m->config, &m->params, 0, err) != TC_OK) return -1;
    int y = tc_onnx_graph(o, g, ids, last);
    tc_graph_free(&g);
    return y;
}

static int normalized(tc_onnx *o, int x) {
    int64_t last = -1;
    tc_onnx_attr axes = {.name = "axes", .kind = TC_ONNX_INTS_ATTR, .ints = &last, .n = 1};
    return tc_onnx_binary(o, "Div", x, tc_onnx_node(o, "ReduceL2", 1, &x, 1, &axes));
}

/* exp(logit_scale) * image . text^T, and the outputs in transformers' order. */
static void together(tc_onnx *o, const tc_model *m, int image, int text, const char *width) {
    tc_onnx_prefix(o, "");
    image = normalized(o, image);
    text = normalized(o, text);
    int scale = tc_onnx_unary(o, "Exp", tc_onnx_param(o, tc_params_with(&m->params, TC_ROLE_LOGIT_SCALE)));
    int logits = tc_onnx_binary(o, "MatMul", image, tc_onnx_transpose(o, text, 2, (int64_t[]){1, 0}));
    logits = tc_onnx_binary(o, "Mul", logits, scale);
    tc_onnx_output(o, "logits_per_image", TC_ONNX_FLOAT, 2,
                   (const char *[]){"image_batch_size", "text_batch_size"}, logits);
    tc_onnx_output(o, "logits_per_text", TC_ONNX_FLOAT, 2,
                   (const char *[]){"text_batch_size", "image_batch_size"},
                   tc_onnx_transpose(o, logits, 2, (int64_t[]){1, 0}));
    tc_onnx_output(o, "text_embeds", TC_ONNX_FLOAT, 2, (const char *[]){"text_batch_size", width}, text);
    tc_onnx_output(o, "image_embeds", TC_ONNX_FLOAT, 2, (const char *[]){"image_batch_size", width}, image);
}

static tc_status build(tc_onnx *o, const tc_model *m, int towers, tc_error *err) {
    bool both = towers == (VISION | TEXT);
    char width[16];
    snprintf(width, sizeof width, "%d", m->config.embed_dim);
    int image = -1, text = -1;
    if (towers & VISION) image = vision_tower(o, m, both ? "image_batch_size" : "batch_size", err);
    if (towers & TEXT && (image >= 0 || !both))
        text = text_tower(o, m, both ? "text_batch_size" : "batch_size", err);
    if (tc_onnx_failed(o)) return TC_OK; /* tc_onnx_write tells */
    if ((towers & VISION && image < 0) || (towers & TEXT && text < 0)) return err ? err->status : TC_ENOMEM;
    if (both) together(o, m, image, text, width);
    else
        tc_onnx_output(o, image >= 0 ? "image_embeds" : "text_embeds", TC_ONNX_FLOAT, 2,
                       (const char *[]){"batch_size", width}, image >= 0 ? image : text);
    return TC_OK;
}

static tc_status read_weights(void *user, size_t param, tc_real *values, tc_error *err) {
    return tc_saving_read(user, param, values, err);
}

static tc_status narrow_weights(void *user, size_t param, const tc_real *values, int64_t n, void *out,
                                tc_error *err) {
    return tc_saving_narrow(user, param, values, n, out, err);
}

static tc_status save_file(tc_saving *s, const char *dir, const char *name, int towers, tc_error *err) {
    char *path = tc_path_join(dir, name);
    tc_onnx *o = tc_onnx_create("tinyclip", &s->model->params, s->dtype);
    tc_status status = path && o ? build(o, s->model, towers, err) : tc_fail_memory(err, 1);
    tc_onnx_weights weights = {read_weights, narrow_weights, s};
    if (status == TC_OK) status = tc_onnx_write(o, path, &weights, err);
    tc_onnx_free(&o);
    free(path);
    return status;
}

tc_status tc_save_onnx(tc_saving *s, const char *dir, tc_error *err) {
    tc_error own = {0};
    if (!err) err = &own;
    tc_status status = tc_make_dirs(dir, err);
    if (status == TC_OK) status = save_file(s, dir, "vision_model.onnx", VISION, err);
    if (status == TC_OK) status = save_file(s, dir, "text_model.onnx", TEXT, err);
    if (status == TC_OK) status = save_file(s, dir, "model.onnx", VISION | TEXT, err);
    if (status == TC_OK) status = tc_save_tokenizer(s, dir, err);
    return status == TC_OK
               ? tc_save_json(dir, "preprocessor_config.json", tc_preprocess_json(&s->model->preprocess), err)
               : status;
}
