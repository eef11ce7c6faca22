/* text.c - the text tower: tokens, positions, causal blocks, LayerNorm and projection of the end-of-text
 * token. */
#include "net/blocks.h"

#include <math.h>

/* ---- configuration */

static void read(tc_config_reader *r, tc_config *c, const json_t *json) {
    tc_tower_config *t = &c->text;
    bool list = json_is_array(json_object_get(json, "heads"));
    c->context_length = tc_config_number(r, json, "text_cfg.", "context_length", 1, 8192, 77);
    c->vocab_size = tc_config_number(r, json, "text_cfg.", "vocab_size", 1, 1 << 24, 49408);
    t->width = tc_config_number(r, json, "text_cfg.", "width", 1, 1 << 16, -1);
    t->layers = tc_config_number(r, json, "text_cfg.", "layers", 1, TC_MAX_LAYERS, -1);
    if (list) t->head_dim = tc_config_number(r, json, "text_cfg.", "head_width", 1, 1 << 16, -1);
    else
        t->head_dim = tc_blocks_head_dim(
            r, t->width, tc_config_number(r, json, "text_cfg.", "heads", 1, 1 << 16, -1), "text");
    tc_blocks_read(r, t, json, "text_cfg.");
    const json_t *own = json_object_get(json, "quick_gelu");
    if (json_is_boolean(own)) t->activation = json_is_true(own) ? TC_QUICK_GELU : TC_GELU;
    bool eos = json_is_number(json_object_get(json, "eos_token_id"));
    c->eos_id = eos ? tc_config_number(r, json, "text_cfg.", "eos_token_id", 0, 1 << 24, -1) : -1;
}

static void write(const tc_config *c, json_t *json) {
    const tc_tower_config *t = &c->text;
    json_object_set_new(json, "context_length", json_integer(c->context_length));
    json_object_set_new(json, "vocab_size", json_integer(c->vocab_size));
    json_object_set_new(json, "width", json_integer(t->width));
    json_object_set_new(json, "heads", json_integer(t->block[0].heads));
    json_object_set_new(json, "layers", json_integer(t->layers));
    tc_blocks_write(t, json);
    if (c->eos_id >= 0) json_object_set_new(json, "eos_token_id", json_integer(c->eos_id));
}

static void read_hf(tc_config_reader *r, tc_config *c, const json_t *json) {
    static const int missing[4] = {512, 12, 8, 2048};
    c->context_length = tc_config_number(r, json, "text_config.", "max_position_embeddings", 1, 8192, 77);
    c->vocab_size = tc_config_number(r, json, "text_config.", "vocab_size", 1, 1 << 24, 49408);
    tc_blocks_read_hf(r, &c->text, json, "text_config", missing);
    int eos = tc_config_number(r, json, "text_config.", "eos_token_id", 0, 1 << 24, 49407);
    /* 2 is a wrong value in the official files, for which transformers takes the largest id */
    c->eos_id = eos == 2 ? -1 : eos;
}

static json_t *write_hf(const tc_config *c) {
    json_t *json = tc_blocks_write_hf(&c->text, "clip_text_model", c->embed_dim);
    json_object_set_new(json, "vocab_size", json_integer(c->vocab_size));
    json_object_set_new(json, "max_position_embeddings", json_integer(c->context_length));
    json_object_set_new(json, "bos_token_id", json_integer(c->vocab_size >= 2 ? c->vocab_size - 2 : 0));
    json_object_set_new(json, "eos_token_id", json_integer(c->eos_id < 0 ? 2 : c->eos_id));
    json_object_set_new(json, "pad_token_id", json_integer(1 < c->vocab_size ? 1 : 0));
    return json;
}

/* ---- the network */

static void params(tc_adder *a, const tc_config *c) {
    int w = c->text.width;
    a->prefix = "";
    tc_add_matrix(a, "positional_embedding", 0, c->context_length, tc_axis_fixed, w, tc_axis_width, 0.01);
    tc_add_matrix(a, "text_projection", 0, w, tc_axis_width, c->embed_dim, tc_axis_embed, pow(w, -0.5));
    tc_blocks_params(a, &c->text);
    tc_add_matrix(a, "token_embedding.weight", TC_ROLE_TOKENS, c->vocab_size, tc_axis_fixed, w, tc_axis_width,
                  0.02);
    tc_blocks_add_norm(a, "ln_final", w);
}

static int graph(tc_graph *g, const tc_config *c, unsigned flags) {
    tc_graph_space(g, 1);
    int x =
        tc_net_layer(g, (tc_node){.op = &tc_op_embed}, "", "token_embedding.weight", "positional_embedding");
    x = tc_blocks_graph(g, &c->text, "", "text", x, true, TC_PICK_LAST, flags);
    x = tc_net_layernorm(g, x, "", "ln_final");
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "text_pooled");
    return tc_net_projection(g, x, "", "text_projection");
}

/* ---- checkpoints */

static void recognise(tc_seen *s, tc_config *c) {
    static const tc_usual_heads usual[] = {{0, 0, 64}};
    c->context_length = tc_seen_at_least_one(s, "positional_embedding", 2, 0, 8192);
    c->vocab_size = tc_seen_at_least_one(s, "token_embedding.weight", 2, 0, 1 << 24);
    tc_blocks_recognise(s, &c->text, "", "ln_final.weight", "text", usual);
}

static void adjust(tc_seen *s, tc_config *c) { tc_blocks_adjust(s, &c->text, "", "ln_final.weight", "text"); }

static bool is_idle(const tc_config *c, const char *canonical) {
    return tc_blocks_is_idle(&c->text, "", canonical);
}

static const tc_hf_name hf[] = {
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight", false, 0, 0},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight", false, 0, 0},
    {"ln_final.weight", "text_model.final_layer_norm.weight", false, 0, 0},
    {"ln_final.bias", "text_model.final_layer_norm.bias", false, 0, 0},
    {"text_projection", "text_projection.weight", true, 0, 0},
    {NULL, NULL, false, 0, 0}};

const tc_tower_family tc_text_transformer = {
    .name = "text transformer",
    .kind = "vit", /* its records are those of a ViT */
    .title = "text",
    .side = TC_TOWER_TEXT,
    .read = read,
    .write = write,
    .in_openclip = true,
    .read_hf = read_hf,
    .write_hf = write_hf,
    .params = params,
    .graph = graph,
    .recognise = recognise,
    .adjust = adjust,
    .is_idle = is_idle,
    .hf = {hf, "transformer.resblocks.", "text_model.encoder.layers.", tc_blocks_hf},
    TC_BLOCKS_ENTRIES,
};
