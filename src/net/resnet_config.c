/* resnet_config.c - the configuration of a ModifiedResNet: read, written, compared, described, and found in a
 * checkpoint. */
#include "net/blocks.h"
#include "net/resnet.h"

#include <string.h>

/* ---- sizes */

enum { EXPANSION = 4 }; /* a block's result over its inner channels */

int tc_resnet_width(const tc_tower_config *t, int stage) {
    return stage == 0 ? t->width : t->width * EXPANSION << (stage - 1);
}

static int sites(const tc_tower_config *t) { return 2 + 2 * t->layers; }

/* The stage, from 1, of a block; *index gets its number there. */
static int stage_of(const tc_tower_config *t, int block, int *index) {
    int stage = 1;
    while (stage < TC_STAGES && block >= t->stages[stage - 1]) block -= t->stages[stage++ - 1];
    *index = block;
    return stage;
}

int tc_resnet_channels(const tc_tower_config *t, int number) {
    int index;
    if (number < 2) return t->width / 2;
    return tc_resnet_width(t, stage_of(t, number / 2 - 1, &index)) / EXPANSION;
}

void tc_resnet_fill(tc_tower_config *t) {
    for (int i = 0; i < sites(t); i++) t->channels[i] = tc_resnet_channels(t, i);
}

/* ---- OpenCLIP's form */

bool tc_resnet_claims(const json_t *json) { return json_is_array(json_object_get(json, "layers")); }

/* The inner channels that a pruned one has left. */
static void read_channels(tc_config_reader *r, tc_tower_config *t, const json_t *json) {
    const json_t *list = json_object_get(json, "channels");
    if (!list || json_is_null(list)) return;
    if (!json_is_array(list) || json_array_size(list) != (size_t)sites(t))
        tc_config_wrong(
            r, TC_EFORMAT,
            "vision_cfg.channels must be a list of %d numbers, two for the stem and two for each block",
            sites(t));
    for (int i = 0; i < sites(t) && r->status == TC_OK; i++) {
        const json_t *n = json_array_get(list, (size_t)i);
        int most = t->channels[i];
        if (json_is_integer(n) && json_integer_value(n) >= 1 && json_integer_value(n) <= most)
            t->channels[i] = (int)json_integer_value(n);
        else
            tc_config_wrong(r, TC_EFORMAT, "vision_cfg.channels[%d] must be a whole number from 1 to %d", i,
                            most);
    }
}

static void read_stages(tc_config_reader *r, tc_tower_config *t, const json_t *list) {
    if (json_array_size(list) != TC_STAGES)
        tc_config_wrong(r, TC_EFORMAT, "vision_cfg.layers must have %d entries, the blocks of each stage",
                        TC_STAGES);
    for (int i = 0; i < TC_STAGES && r->status == TC_OK; i++) {
        json_int_t n = json_integer_value(json_array_get(list, (size_t)i));
        if (n >= 1 && n <= TC_MAX_LAYERS - t->layers) t->layers += t->stages[i] = (int)n;
        else
            tc_config_wrong(r, TC_EFORMAT,
                            "vision_cfg.layers must be whole numbers from 1, at most %d in all",
                            TC_MAX_LAYERS);
    }
}

/* Every stride is 2: an image's side is 32 times that of the last map. */
void tc_resnet_read(tc_config_reader *r, tc_config *c, const json_t *json) {
    tc_tower_config *t = &c->vision;
    t->head_dim = tc_config_number(r, json, "vision_cfg.", "head_width", 1, 1 << 16, 64);
    t->width = tc_config_number(r, json, "vision_cfg.", "width", 2, 1 << 11, -1);
    read_stages(r, t, json_object_get(json, "layers"));
    if (c->image_size % TC_RESNET_STRIDE)
        tc_config_wrong(r, TC_EFORMAT,
                        "vision_cfg.image_size %d is not a multiple of 32, as a ResNet needs it",
                        c->image_size);
    if (t->width % 2 || TC_RESNET_STRIDE * t->width % t->head_dim)
        tc_config_wrong(r, TC_EFORMAT,
                        "the ResNet's width %d must be even and 32 times it a multiple of head_width %d",
                        t->width, t->head_dim);
    if (r->status != TC_OK) return;
    t->block[0].heads = TC_RESNET_STRIDE * t->width / t->head_dim;
    tc_resnet_fill(t);
    read_channels(r, t, json);
}

static json_t *list(const int *x, int n) {
    json_t *all = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(all, json_integer(x[i]));
    return all;
}

void tc_resnet_write(const tc_config *c, json_t *json) {
    const tc_tower_config *t = &c->vision;
    json_object_set_new(json, "layers", list(t->stages, TC_STAGES));
    json_object_set_new(json, "width", json_integer(t->width));
    json_object_set_new(json, "head_width", json_integer(t->head_dim));
    json_object_set_new(json, "patch_size", json_null());
    if (tc_resnet_is_pruned(t)) json_object_set_new(json, "channels", list(t->channels, sites(t)));
}

/* ---- compared, inherited */

/* By block, if they have the same ones; then the heads of the pooling. */
bool tc_resnet_difference(const tc_tower_config *a, const tc_tower_config *b, const char *tower, int *index,
                          tc_diff_setting *out) {
    bool same_blocks = a->family == b->family && a->layers == b->layers;
    for (int i = 0; same_blocks && i < sites(a); i += 2) {
        const int *x = &a->channels[i], *y = &b->channels[i];
        if ((x[0] == y[0] && x[1] == y[1]) || (*index)-- > 0) continue;
        if (i) snprintf(out->what, sizeof out->what, "%s block %d", tower, i / 2 - 1);
        else snprintf(out->what, sizeof out->what, "stem");
        snprintf(out->a, sizeof out->a, "%d and %d inner channels", x[0], x[1]);
        snprintf(out->b, sizeof out->b, "%d and %d inner channels", y[0], y[1]);
        return true;
    }
    return tc_blocks_difference(a, b, tower, index, out);
}

bool tc_resnet_is_pruned(const tc_tower_config *t) {
    for (int i = 0; i < sites(t); i++)
        if (t->channels[i] != tc_resnet_channels(t, i)) return true;
    return false;
}

bool tc_resnet_uneven(const tc_tower_config *t, const char *tower, char *buffer, size_t size) {
    for (int i = 0; i < sites(t); i++) {
        if (t->channels[i] == tc_resnet_channels(t, i)) continue;
        char where[32] = "the stem";
        if (i >= 2) snprintf(where, sizeof where, "%s block %d", tower, i / 2 - 1);
        snprintf(buffer, size, "%s has %d and %d inner channels", where, t->channels[i & ~1],
                 t->channels[i | 1]);
        return true;
    }
    return false;
}

/* Every floor(T/S)-th of each stage. */
int tc_resnet_source(const tc_tower_config *teacher, const tc_tower_config *student, int block) {
    int index, stage = stage_of(student, block, &index), first = 0;
    for (int i = 1; i < stage; i++) first += teacher->stages[i - 1];
    return first + index * (teacher->stages[stage - 1] / student->stages[stage - 1]);
}

/* ---- described */

void tc_resnet_describe(const tc_tower_config *t, char *out, size_t size) {
    int64_t channels = 0;
    for (int i = 0; i < sites(t); i++) channels += t->channels[i];
    snprintf(out, size, "%d+%d+%d+%d blocks, width %d, %lld inner channels", t->stages[0], t->stages[1],
             t->stages[2], t->stages[3], t->width, (long long)channels);
}

bool tc_resnet_row(const tc_tower_config *t, int layer, char *out, size_t size) {
    snprintf(out, size, "%8d%6d", t->channels[2 + 2 * layer], t->channels[3 + 2 * layer]);
    return true;
}

void tc_resnet_record(const tc_tower_config *t, json_t *json) {
    json_object_set_new(json, "channels", list(t->channels, sites(t)));
    json_object_set_new(json, "stages", list(t->stages, TC_STAGES));
}

/* ---- checkpoints */

bool tc_resnet_is_in(const tc_seen *s) { return tc_seen_has(s, "visual.layer1.0.conv1.weight"); }

static void count_blocks(tc_seen *s, tc_tower_config *t) {
    t->layers = 0;
    for (int stage = 0; stage < TC_STAGES; stage++) {
        char name[96];
        t->stages[stage] = 0;
        do snprintf(name, sizeof name, "visual.layer%d.%d.conv1.weight", stage + 1, t->stages[stage]);
        while (tc_seen_has(s, name) && ++t->stages[stage] < TC_MAX_LAYERS / TC_STAGES);
        t->layers += t->stages[stage];
        if (t->stages[stage] == 0)
            tc_seen_wrong(s, TC_EFORMAT, "all tensors of visual.layer%d.* are missing", stage + 1);
    }
}

/* Inner channels, of which a pruned one has fewer than its width promises. */
static void count_channels(tc_seen *s, tc_tower_config *t) {
    if (s->status != TC_OK) return;
    tc_resnet_fill(t);
    for (int number = 0; number < sites(t) && s->status == TC_OK; number++) {
        char name[96];
        int index, stage = stage_of(t, number / 2 - 1, &index), norm = number % 2 + 1;
        if (number < 2) snprintf(name, sizeof name, "visual.bn%d.bias", norm);
        else snprintf(name, sizeof name, "visual.layer%d.%d.bn%d.bias", stage, index, norm);
        int n = tc_seen_at_least_one(s, name, 1, 0, 1 << 16);
        if (n > t->channels[number])
            tc_seen_wrong(s, TC_EFORMAT, "%s has %d channels, but a ResNet of width %d has at most %d there",
                          name, n, t->width, t->channels[number]);
        t->channels[number] = n;
    }
}

/* Blocks of each stage, width of the stem, inner channels, image size from the positions of the attention
 * pool. */
void tc_resnet_recognise(tc_seen *s, tc_config *c) {
    tc_tower_config *t = &c->vision;
    count_blocks(s, t);
    t->head_dim = 64;
    t->width = tc_seen_at_least_one(s, "visual.bn3.bias", 1, 0, 1 << 11);
    if (t->width % 2)
        tc_seen_wrong(s, TC_EFORMAT, "visual.bn3.bias has %d channels, but a ResNet's width is even",
                      t->width);
    t->block[0].heads = TC_RESNET_STRIDE * t->width / t->head_dim;
    count_channels(s, t);
    c->embed_dim = tc_seen_at_least_one(s, "visual.attnpool.c_proj.bias", 1, 0, 1 << 16);
    int positions = tc_seen_at_least_one(s, "visual.attnpool.positional_embedding", 2, 0, 1 << 16);
    int grid = tc_seen_grid(positions);
    if (grid < 1)
        tc_seen_wrong(s, TC_EFORMAT,
                      "visual.attnpool.positional_embedding has %d rows, expected one more than a square",
                      positions);
    c->image_size = TC_RESNET_STRIDE * grid;
}

/* It must be as configured, but for inner channels that were pruned since. */
void tc_resnet_adjust(tc_seen *s, tc_config *c) {
    tc_config of_tensors = *c;
    int left[TC_CHANNEL_SITES];
    char difference[160];
    tc_resnet_recognise(s, &of_tensors);
    of_tensors.vision.head_dim = c->vision.head_dim;
    of_tensors.vision.block[0].heads = c->vision.block[0].heads;
    memcpy(left, of_tensors.vision.channels, sizeof left);
    bool pruned = tc_resnet_is_pruned(&c->vision); /* then its configuration is exact */
    if (!pruned) memcpy(of_tensors.vision.channels, c->vision.channels, sizeof left);
    if (s->status == TC_OK && tc_config_difference(&of_tensors, c, difference, sizeof difference))
        tc_seen_wrong(s, TC_EFORMAT, "its tensors and the configuration differ: %s", difference);
    if (s->status == TC_OK && !pruned) memcpy(c->vision.channels, left, sizeof left);
}
