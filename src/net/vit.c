/* vit.c - the image tower ViT: patches, class token, positions, blocks, projection of the class token
 * (Dosovitskiy et al. 2021; CLIP adds a LayerNorm before the blocks). */
#include "net/blocks.h"

#include <math.h>

/* ---- configuration */

static void check_patch(tc_config_reader *r, const tc_config *c) {
    if (c->vision.patch_size > c->image_size)
        tc_config_wrong(r, TC_EFORMAT, "patch_size %d is larger than image_size %d", c->vision.patch_size,
                        c->image_size);
}

static void read(tc_config_reader *r, tc_config *c, const json_t *json) {
    tc_tower_config *t = &c->vision;
    t->patch_size = tc_config_number(r, json, "vision_cfg.", "patch_size", 1, 8192, -1);
    t->width = tc_config_number(r, json, "vision_cfg.", "width", 1, 1 << 16, -1);
    t->layers = tc_config_number(r, json, "vision_cfg.", "layers", 1, TC_MAX_LAYERS, -1);
    t->head_dim = tc_config_number(r, json, "vision_cfg.", "head_width", 1, 1 << 16, 64);
    if (t->width % t->head_dim && !json_is_array(json_object_get(json, "heads")))
        tc_config_wrong(r, TC_EFORMAT, "the vision width %d is not a multiple of head_width %d", t->width,
                        t->head_dim);
    tc_blocks_read(r, t, json, "vision_cfg.");
    check_patch(r, c);
}

static void write(const tc_config *c, json_t *json) {
    const tc_tower_config *t = &c->vision;
    json_object_set_new(json, "layers", json_integer(t->layers));
    json_object_set_new(json, "width", json_integer(t->width));
    json_object_set_new(json, "head_width", json_integer(t->head_dim));
    json_object_set_new(json, "patch_size", json_integer(t->patch_size));
    tc_blocks_write(t, json);
}

/* The defaults are those of transformers' CLIPConfig: its files leave out what equals them. */
static void read_hf(tc_config_reader *r, tc_config *c, const json_t *json) {
    static const int missing[4] = {768, 12, 12, 3072};
    c->image_size = tc_config_number(r, json, "vision_config.", "image_size", 1, 8192, 224);
    c->vision.patch_size = tc_config_number(r, json, "vision_config.", "patch_size", 1, 8192, 32);
    if (tc_config_number(r, json, "vision_config.", "num_channels", 1, 64, 3) != 3)
        tc_config_wrong(r, TC_EUNSUPPORTED, "vision_config.num_channels is not 3");
    tc_blocks_read_hf(r, &c->vision, json, "vision_config", missing);
    check_patch(r, c);
}

static json_t *write_hf(const tc_config *c) {
    json_t *json = tc_blocks_write_hf(&c->vision, "clip_vision_model", c->embed_dim);
    json_object_set_new(json, "image_size", json_integer(c->image_size));
    json_object_set_new(json, "patch_size", json_integer(c->vision.patch_size));
    json_object_set_new(json, "num_channels", json_integer(3));
    return json;
}

/* ---- the network */

static void params(tc_adder *a, const tc_config *c) {
    const tc_tower_config *t = &c->vision;
    int w = t->width, grid = c->image_size / t->patch_size;
    double scale = pow(w, -0.5);
    a->prefix = "visual.";
    tc_add_vector(a, "class_embedding", 0, w, tc_axis_width, 0, scale);
    tc_add_matrix(a, "positional_embedding", 0, 1 + (int64_t)grid * grid, tc_axis_fixed, w, tc_axis_width,
                  scale);
    tc_add_matrix(a, "proj", 0, w, tc_axis_width, c->embed_dim, tc_axis_embed, scale);
    tc_add_conv(a, "conv1", 0, w, tc_axis_width, 3, tc_axis_fixed, t->patch_size);
    tc_blocks_add_norm(a, "ln_pre", w);
    tc_blocks_params(a, t);
    tc_blocks_add_norm(a, "ln_post", w);
}

static int graph(tc_graph *g, const tc_config *c, unsigned flags) {
    int x = tc_net_patches(g, c->image_size, c->vision.patch_size);
    x = tc_net_linear(g, x, "visual.", "conv1.weight", NULL);
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "vision_patches");
    x = tc_net_layer(g, (tc_node){.op = &tc_op_tokens, .nin = 1, .in = {x}}, "visual.", "class_embedding",
                     "positional_embedding");
    x = tc_net_layernorm(g, x, "visual.", "ln_pre");
    x = tc_blocks_graph(g, &c->vision, "visual.", "vision", x, false, TC_PICK_FIRST, flags);
    x = tc_net_layernorm(g, x, "visual.", "ln_post");
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "vision_pooled");
    return tc_net_projection(g, x, "visual.", "proj");
}

static int step(const tc_tower_config *t) { return t->patch_size; }

/* ---- checkpoints */

/* CLIP has 64 channels a head, but for the image towers of OpenCLIP's largest models. */
static const tc_usual_heads usual[] = {{1280, 32, 80} /* ViT-H-14 */,
                                       {1408, 40, 88} /* ViT-g-14 */,
                                       {1664, 48, 104} /* ViT-bigG-14 */,
                                       {0, 0, 64}};

static void recognise(tc_seen *s, tc_config *c) {
    tc_tower_config *t = &c->vision;
    char name[96];
    t->patch_size = tc_seen_at_least_one(s, "visual.conv1.weight", 4, 2, 8192);
    int positions = tc_seen_at_least_one(s, "visual.positional_embedding", 2, 0, 1 << 26);
    int grid = tc_seen_grid(positions);
    if (s->status == TC_OK && (grid < 1 || (int64_t)grid * t->patch_size > 8192)) {
        const tc_tensor *x = s->find(s->user, "visual.positional_embedding", 0).tensor;
        tc_seen_wrong(
            s, TC_EFORMAT,
            "tensor '%s' is %s, expected one row for the class and one for each patch of a square image",
            x->name, tc_shape_text(x->ndim, x->shape, name, sizeof name));
    }
    c->image_size = grid * t->patch_size;
    c->embed_dim = tc_seen_at_least_one(s, "visual.proj", 2, 1, 1 << 16);
    tc_blocks_recognise(s, t, "visual.", "visual.ln_pre.weight", "image", usual);
    /* The grid does not tell an image size that is no multiple of the patch; OpenAI's archives do. */
    int size = tc_seen_scalar(s, "input_resolution", c->image_size);
    if (s->status == TC_OK && size / t->patch_size == grid) c->image_size = size;
}

static void adjust(tc_seen *s, tc_config *c) {
    tc_blocks_adjust(s, &c->vision, "visual.", "visual.ln_pre.weight", "image");
}

/* Some programs convert every normalisation, and leave counters where there is none. */
static bool is_idle(const tc_config *c, const char *canonical) {
    return tc_ends_with(canonical, ".num_batches_tracked") ||
           tc_blocks_is_idle(&c->vision, "visual.", canonical);
}

static const tc_hf_name hf[] = {
    {"visual.class_embedding", "vision_model.embeddings.class_embedding", false, 0, 0},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", false, 0, 0},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight", false, 0, 0},
    {"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight", false, 0, 0},
    {"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias", false, 0, 0},
    {"visual.ln_post.weight", "vision_model.post_layernorm.weight", false, 0, 0},
    {"visual.ln_post.bias", "vision_model.post_layernorm.bias", false, 0, 0},
    {"visual.proj", "visual_projection.weight", true, 0, 0},
    {NULL, NULL, false, 0, 0}};

const tc_tower_family tc_vit = {
    .name = "ViT",
    .kind = "vit",
    .title = "ViT",
    .side = TC_TOWER_VISION,
    .read = read,
    .write = write,
    .in_openclip = true,
    .read_hf = read_hf,
    .write_hf = write_hf,
    .params = params,
    .graph = graph,
    .step = step,
    .positions = "visual.positional_embedding",
    .recognise = recognise,
    .adjust = adjust,
    .is_idle = is_idle,
    .hf = {hf, "visual.transformer.resblocks.", "vision_model.encoder.layers.", tc_blocks_hf},
    .beta2 = 0.98,
    .eps = 1e-6,
    TC_BLOCKS_ENTRIES,
};
