/* blocks_config.c - the configuration of transformer blocks: read, written, compared, described. */
#include "net/blocks.h"

#include <math.h>
#include <string.h>

/* ---- OpenCLIP's form */

/* Entry `key` of a tower: a list with a number for each block, or NULL if it is not a list. */
static const json_t *block_list(tc_config_reader *r, const json_t *json, const char *where, const char *key,
                                int layers) {
    const json_t *v = json_object_get(json, key);
    if (!json_is_array(v)) return NULL;
    if ((int)json_array_size(v) != layers)
        tc_config_wrong(r, TC_EFORMAT, "%s%s has %zu entries for %d layers", where, key, json_array_size(v),
                        layers);
    return v;
}

/* The heads and FFN channels that a pruned tower has left, block by block. */
static void read_lists(tc_config_reader *r, tc_tower_config *t, const json_t *json, const char *where) {
    const json_t *heads = block_list(r, json, where, "heads", t->layers);
    const json_t *mlp = block_list(r, json, where, "mlp", t->layers);
    int most = (1 << 20) / t->head_dim;
    for (int l = 0; l < t->layers && r->status == TC_OK; l++) {
        const json_t *h = json_array_get(heads, (size_t)l), *f = json_array_get(mlp, (size_t)l);
        json_int_t n = json_is_integer(h) ? json_integer_value(h) : -1;
        json_int_t m = json_is_integer(f) ? json_integer_value(f) : -1;
        if (heads && (n < 0 || n > most))
            tc_config_wrong(r, TC_EFORMAT, "%sheads[%d] must be a whole number of heads from 0 to %d", where,
                            l, most);
        else if (mlp && !json_is_null(f) && (m < 0 || m > 1 << 20))
            tc_config_wrong(r, TC_EFORMAT, "%smlp[%d] must be null or a whole number from 0 to %d", where, l,
                            1 << 20);
        if (heads) t->block[l].heads = (int)n;
        if (mlp) t->block[l].ffn = (int)m;
    }
}

static int ratio_ffn(tc_config_reader *r, const json_t *json, const char *where, int width) {
    const json_t *v = json_object_get(json, "mlp_ratio");
    double ratio = v ? json_number_value(v) : 4.0, ffn = trunc(width * ratio);
    if (ffn >= 1 && ffn <= 1 << 20) return (int)ffn;
    tc_config_wrong(r, TC_EFORMAT, "%smlp_ratio is out of range", where);
    return 1;
}

static void fill_blocks(tc_tower_config *t, int heads, int ffn) {
    for (int i = 0; i < t->layers; i++) {
        t->block[i].heads = heads;
        t->block[i].ffn = ffn;
    }
}

int tc_blocks_head_dim(tc_config_reader *r, int width, int heads, const char *tower) {
    if (width % heads)
        tc_config_wrong(r, TC_EFORMAT, "the %s width %d is not a multiple of its %d heads", tower, width,
                        heads);
    return width < heads ? 1 : width / heads;
}

void tc_blocks_read(tc_config_reader *r, tc_tower_config *t, const json_t *json, const char *where) {
    if (r->status != TC_OK) return;
    fill_blocks(t, t->width / t->head_dim, ratio_ffn(r, json, where, t->width));
    if (r->status == TC_OK) read_lists(r, t, json, where);
}

/* mlp_ratio such that trunc(width * ratio) gives ffn again. */
static double ratio_of(int ffn, int width) {
    double ratio = (double)ffn / width;
    return trunc(width * ratio) == ffn ? ratio : nextafter(ratio, INFINITY);
}

/* A ratio, or the lists of a pruned tower. */
void tc_blocks_write(const tc_tower_config *t, json_t *json) {
    if (!tc_blocks_are_pruned(t)) {
        json_object_set_new(json, "mlp_ratio", json_real(ratio_of(t->block[0].ffn, t->width)));
        return;
    }
    json_t *heads = json_array(), *mlp = json_array();
    for (int l = 0; l < t->layers; l++) {
        json_array_append_new(heads, json_integer(t->block[l].heads));
        json_array_append_new(mlp, t->block[l].ffn < 0 ? json_null() : json_integer(t->block[l].ffn));
    }
    json_object_set_new(json, "head_width", json_integer(t->head_dim));
    json_object_set_new(json, "heads", heads);
    json_object_set_new(json, "mlp", mlp);
}

/* ---- Hugging Face's form */

static tc_activation hf_activation(tc_config_reader *r, const json_t *json, const char *section) {
    const char *s = json_string_value(json_object_get(json, "hidden_act"));
    if (!s || strcmp(s, "quick_gelu") == 0) return TC_QUICK_GELU; /* CLIPConfig's default */
    if (strcmp(s, "gelu") != 0)
        tc_config_wrong(r, TC_EUNSUPPORTED, "%s.hidden_act \"%.40s\" is not gelu or quick_gelu", section, s);
    return TC_GELU;
}

void tc_blocks_read_hf(tc_config_reader *r, tc_tower_config *t, const json_t *json, const char *section,
                       const int missing[4]) {
    char where[32];
    snprintf(where, sizeof where, "%s.", section);
    t->width = tc_config_number(r, json, where, "hidden_size", 1, 1 << 16, missing[0]);
    t->layers = tc_config_number(r, json, where, "num_hidden_layers", 1, TC_MAX_LAYERS, missing[1]);
    int heads = tc_config_number(r, json, where, "num_attention_heads", 1, 1 << 16, missing[2]);
    int ffn = tc_config_number(r, json, where, "intermediate_size", 1, 1 << 20, missing[3]);
    const json_t *eps = json_object_get(json, "layer_norm_eps");
    if (eps && fabs(json_number_value(eps) - 1e-5) > 1e-12)
        tc_config_wrong(r, TC_EUNSUPPORTED, "%s.layer_norm_eps is not 1e-5", section);
    t->head_dim = tc_blocks_head_dim(r, t->width, heads, section);
    t->activation = hf_activation(r, json, section);
    fill_blocks(t, heads, ffn);
}

json_t *tc_blocks_write_hf(const tc_tower_config *t, const char *type, int embed_dim) {
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:i}", "model_type", type, "hidden_size",
                     t->width, "intermediate_size", t->block[0].ffn, "num_attention_heads", t->block[0].heads,
                     "num_hidden_layers", t->layers, "hidden_act",
                     t->activation == TC_GELU ? "gelu" : "quick_gelu", "layer_norm_eps", 1e-5,
                     "attention_dropout", 0.0, "projection_dim", embed_dim);
}

/* ---- compared */

static void heads_and_channels(const tc_tower_config *t, int l, char *out, size_t size) {
    snprintf(out, size, "%d heads, %d FFN channels", t->block[l].heads, t->block[l].ffn);
}

bool tc_blocks_difference(const tc_tower_config *a, const tc_tower_config *b, const char *tower, int *index,
                          tc_diff_setting *out) {
    for (int l = 0; l < a->layers && l < b->layers; l++) {
        bool same = a->block[l].heads == b->block[l].heads && a->block[l].ffn == b->block[l].ffn;
        if (same || (*index)-- > 0) continue;
        snprintf(out->what, sizeof out->what, "%s block %d", tower, l);
        heads_and_channels(a, l, out->a, sizeof out->a);
        heads_and_channels(b, l, out->b, sizeof out->b);
        return true;
    }
    return false;
}

bool tc_blocks_are_pruned(const tc_tower_config *t) {
    for (int l = 0; l < t->layers; l++)
        if (t->block[l].heads * t->head_dim != t->width || t->block[l].ffn < 1 ||
            t->block[l].ffn != t->block[0].ffn)
            return true;
    return false;
}

bool tc_blocks_uneven(const tc_tower_config *t, const char *tower, char *buffer, size_t size) {
    if (!tc_blocks_are_pruned(t)) return false;
    for (int l = 0; l < t->layers; l++) {
        int heads = t->block[l].heads, ffn = t->block[l].ffn > 0 ? t->block[l].ffn : 0;
        if (heads == t->block[0].heads && ffn == t->block[0].ffn && heads > 0 && ffn > 0) continue;
        snprintf(buffer, size, "%s block %d has %d heads and %d FFN channels", tower, l, heads, ffn);
        if (l > 0)
            snprintf(buffer, size, "%s block 0 has %d heads and %d FFN channels, block %d %d and %d", tower,
                     t->block[0].heads, t->block[0].ffn, l, heads, ffn);
        return true;
    }
    snprintf(buffer, size, "the %s tower's %d heads of %d are not its width of %d", tower, t->block[0].heads,
             t->head_dim, t->width);
    return true;
}

/* ---- folded, inherited */

void tc_blocks_set_kept(tc_tower_config *t, tc_group group, int layer, int kept) {
    if (group == TC_GROUP_WIDTH) t->width = kept;
    else if (group == TC_GROUP_HEADS) t->block[layer].heads = kept;
    else t->block[layer].ffn = kept;
}

void tc_blocks_settle(tc_tower_config *t) {
    for (int l = 0; l < t->layers; l++)
        if (t->block[l].ffn == 0) t->block[l].ffn = -1;
}

/* Every floor(T/S)-th. */
int tc_blocks_source(const tc_tower_config *teacher, const tc_tower_config *student, int block) {
    return block * (teacher->layers / student->layers);
}

/* ---- described */

static void range(char *out, size_t size, int least, int most, const char *what) {
    if (least == most) snprintf(out, size, "%d %s", most, what);
    else snprintf(out, size, "%d to %d %s", least, most, what);
}

void tc_blocks_describe(const tc_tower_config *t, char *out, size_t size) {
    int least[2] = {1 << 30, 1 << 30}, most[2] = {0, 0};
    for (int l = 0; l < t->layers; l++) {
        const int n[2] = {t->block[l].heads, t->block[l].ffn > 0 ? t->block[l].ffn : 0};
        for (int i = 0; i < 2; i++) {
            if (n[i] < least[i]) least[i] = n[i];
            if (n[i] > most[i]) most[i] = n[i];
        }
    }
    char heads[40], ffn[48];
    range(heads, sizeof heads, least[0], most[0], "heads");
    range(ffn, sizeof ffn, least[1], most[1], "FFN channels");
    snprintf(out, size, "%d blocks, width %d, %s, %s", t->layers, t->width, heads, ffn);
}

bool tc_blocks_row(const tc_tower_config *t, int layer, char *out, size_t size) {
    if (layer < 0) return false;
    int ffn = t->block[layer].ffn;
    char text[16] = "none";
    if (ffn >= 0) snprintf(text, sizeof text, "%d", ffn);
    snprintf(out, size, "%15d%6s", t->block[layer].heads, text);
    return true;
}

void tc_blocks_record(const tc_tower_config *t, json_t *json) {
    json_t *heads = json_array(), *ffn = json_array();
    for (int l = 0; l < t->layers; l++) {
        json_array_append_new(heads, json_integer(t->block[l].heads));
        json_array_append_new(ffn, json_integer(t->block[l].ffn));
    }
    json_object_set_new(json, "heads", heads);
    json_object_set_new(json, "ffn", ffn);
}
