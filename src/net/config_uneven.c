/* config_uneven.c - what the configurations of other programs cannot say: blocks that differ, or heads that
 * do not fill the width. */
#include "net/net.h"

static bool tower_is_uneven(const tc_tower_config *t, const char *tower, char *buffer, size_t size) {
    if (!tc_tower_is_pruned(t)) return false;
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

static bool resnet_is_uneven(const tc_config *c, char *buffer, size_t size) {
    for (int i = 0; i < 2 + 2 * c->vision.layers; i++) {
        if (c->channels[i] == tc_net_resnet_channels(c, i)) continue;
        char where[32] = "the stem";
        if (i >= 2) snprintf(where, sizeof where, "vision block %d", i / 2 - 1);
        snprintf(buffer, size, "%s has %d and %d inner channels", where, c->channels[i & ~1],
                 c->channels[i | 1]);
        return true;
    }
    return false;
}

const char *tc_config_uneven(const tc_config *c, char *buffer, size_t size) {
    bool vit = c->image_tower == TC_IMAGE_VIT;
    bool vision =
        vit ? tower_is_uneven(&c->vision, "vision", buffer, size) : resnet_is_uneven(c, buffer, size);
    return vision || tower_is_uneven(&c->text, "text", buffer, size) ? buffer : NULL;
}

static json_t *list(const int *x, int n) {
    json_t *all = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(all, json_integer(x[i]));
    return all;
}

json_t *tc_tower_json(const tc_config *c, bool text) {
    const tc_tower_config *t = text ? &c->text : &c->vision;
    bool resnet = !text && c->image_tower == TC_IMAGE_RESNET;
    json_t *tower = json_pack("{s:s, s:i, s:i}", "kind", resnet ? "resnet" : "vit", "width", t->width,
                              "layers", t->layers);
    if (resnet) {
        json_object_set_new(tower, "channels", list(c->channels, 2 + 2 * t->layers));
        json_object_set_new(tower, "stages", list(c->stages, TC_STAGES));
        return tower;
    }
    json_t *heads = json_array(), *ffn = json_array();
    for (int l = 0; l < t->layers; l++) {
        json_array_append_new(heads, json_integer(t->block[l].heads));
        json_array_append_new(ffn, json_integer(t->block[l].ffn));
    }
    json_object_set_new(tower, "heads", heads);
    json_object_set_new(tower, "ffn", ffn);
    return tower;
}
