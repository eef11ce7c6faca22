/* recognise.c - the configuration of a checkpoint from its tensors.
 *
 * Sizes are read from vectors (biases, norms) where there is one: a matrix that is stored the wrong way round
 * is then found when it is bound, with what is expected and what is there. The one thing that shapes do not
 * tell is the size of the heads. */
#include "format/layout.h"

#include <string.h>

typedef struct reader {
    const tc_layout *l;
    tc_error *err;
    tc_status status;
} reader;

/* Length of axis `axis` of a parameter of `ndim` axes; 1 after an error. */
static int size_of(reader *r, const char *name, int ndim, int axis, int64_t most) {
    const tc_named *n = tc_layout_find(r->l, name, 0);
    char text[160];
    if (r->status != TC_OK) return 1;
    if (!n) {
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: tensor '%s' is missing", r->l->path,
                            tc_layout_spelling(r->l, name, 0, text, sizeof text));
        return 1;
    }
    const tc_tensor *t = n->tensor;
    if (t->ndim != ndim) {
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: tensor '%s' is %s, expected %d axes", r->l->path,
                            t->name, tc_shape_text(t->ndim, t->shape, text, sizeof text), ndim);
        return 1;
    }
    int64_t size = t->shape[n->is.transposed ? ndim - 1 - axis : axis];
    if (size < 0 || size > most / n->is.parts) {
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: tensor '%s' is %s, larger than any model that is known",
                            r->l->path, t->name, tc_shape_text(t->ndim, t->shape, text, sizeof text));
        return 1;
    }
    return (int)size * n->is.parts;
}

static int at_least_one(reader *r, const char *name, int ndim, int axis, int64_t most) {
    int size = size_of(r, name, ndim, axis, most);
    if (r->status == TC_OK && size < 1)
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: tensor '%s' is empty", r->l->path, name);
    return size < 1 ? 1 : size;
}

/* ---- towers */

typedef struct shape {
    int width, layers;
    int rows[TC_MAX_LAYERS]; /* of in_proj: 3 x heads x their size; 0: no attention */
    int ffn[TC_MAX_LAYERS];  /* -1: none */
} shape;

static const char *const attention[] = {"attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight",
                                        "attn.out_proj.bias", NULL};
static const char *const feed_forward[] = {"mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight",
                                           "mlp.c_proj.bias", NULL};
static const char *const norms[] = {"ln_1.weight", "ln_2.weight", NULL};

static const char *in_block(char out[96], const char *prefix, int layer, const char *rest) {
    snprintf(out, 96, "%stransformer.resblocks.%d.%s", prefix, layer, rest);
    return out;
}

static bool has_any(const tc_layout *l, const char *prefix, int layer, const char *const *names) {
    char name[96];
    for (int i = 0; names[i]; i++)
        for (int part = 0; part < 3; part++)
            if (tc_layout_find(l, in_block(name, prefix, layer, names[i]), part)) return true;
    return false;
}

static void measure(reader *r, shape *t, const char *prefix, const char *norm) {
    char name[96];
    t->width = at_least_one(r, norm, 1, 0, 1 << 16);
    t->layers = 0;
    for (int i = 0; i < TC_MAX_LAYERS; i++)
        if (has_any(r->l, prefix, i, norms)) t->layers = i + 1;
    for (int i = 0; i < t->layers && r->status == TC_OK; i++) {
        bool attn = has_any(r->l, prefix, i, attention), mlp = has_any(r->l, prefix, i, feed_forward);
        t->rows[i] =
            attn ? at_least_one(r, in_block(name, prefix, i, "attn.in_proj_bias"), 1, 0, 3 << 20) : 0;
        t->ffn[i] = mlp ? size_of(r, in_block(name, prefix, i, "mlp.c_fc.bias"), 1, 0, 1 << 20) : -1;
        if (r->status == TC_OK && !attn && !mlp)
            r->status = tc_fail(r->err, TC_EFORMAT, "%s: all tensors of %s are missing", r->l->path,
                                in_block(name, prefix, i, "*"));
    }
    if (r->status == TC_OK && t->layers == 0)
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: all tensors of %s are missing", r->l->path,
                            in_block(name, prefix, 0, "*"));
}

/* Equal blocks whose heads of this size fill the width. */
static bool is_ordinary(const shape *t, int head_dim) {
    bool same = t->width % head_dim == 0;
    for (int i = 0; i < t->layers; i++)
        same = same && t->rows[i] == 3 * t->width && t->ffn[i] > 0 && t->ffn[i] == t->ffn[0];
    return same;
}

/* CLIP has 64 channels a head, but for the image towers of OpenCLIP's largest models. */
static int usual_head_dim(const shape *t, bool vision) {
    static const struct {
        int width, layers, head_dim;
    } others[] = {
        {1280, 32, 80} /* ViT-H-14 */, {1408, 40, 88} /* ViT-g-14 */, {1664, 48, 104} /* ViT-bigG-14 */};
    for (size_t i = 0; i < sizeof others / sizeof *others && vision; i++)
        if (t->width == others[i].width && t->layers == others[i].layers) return others[i].head_dim;
    return 64;
}

static void take(tc_tower_config *out, const shape *t, int head_dim) {
    *out = (tc_tower_config){
        .width = t->width, .layers = t->layers, .head_dim = head_dim, .activation = out->activation};
    for (int i = 0; i < t->layers; i++) {
        out->block[i].heads = t->rows[i] / (3 * head_dim);
        out->block[i].ffn = t->ffn[i];
    }
}

/* A tower of a checkpoint without a configuration. */
static void recognise_tower(reader *r, tc_tower_config *out, const char *prefix, const char *norm,
                            bool vision) {
    shape t;
    measure(r, &t, prefix, norm);
    if (r->status != TC_OK) return;
    int head_dim = usual_head_dim(&t, vision);
    if (is_ordinary(&t, head_dim)) take(out, &t, head_dim);
    else
        r->status = tc_fail(r->err, TC_EARG,
                            "%s: there is no configuration beside it; name one with --model-config: the %s "
                            "tower (width %d, %d layers) is pruned or has "
                            "heads of an unusual size, which its tensors do not tell",
                            r->l->path, vision ? "image" : "text", t.width, t.layers);
}

/* The tensors of a pruned tower may be smaller than its configuration, nothing else. */
static void check_pruned(reader *r, const shape *t, const tc_tower_config *given, const char *tower) {
    if (t->width > given->width)
        r->status = tc_fail(r->err, TC_EFORMAT,
                            "%s: the %s tower has a width of %d in its tensors, %d in the configuration",
                            r->l->path, tower, t->width, given->width);
    for (int i = 0; i < t->layers && r->status == TC_OK; i++) {
        int heads = t->rows[i] / (3 * given->head_dim);
        if (t->rows[i] % (3 * given->head_dim))
            r->status = tc_fail(r->err, TC_EFORMAT,
                                "%s: block %d of the %s tower has %d query, key and value channels in its "
                                "tensors, which are no heads of %d each as "
                                "the configuration says",
                                r->l->path, i, tower, t->rows[i], given->head_dim);
        else if (heads > given->block[i].heads || t->ffn[i] > given->block[i].ffn)
            r->status =
                tc_fail(r->err, TC_EFORMAT,
                        "%s: block %d of the %s tower has %d heads and %d FFN channels in its tensors, %d "
                        "and %d in the configuration",
                        r->l->path, i, tower, heads, t->ffn[i], given->block[i].heads, given->block[i].ffn);
    }
}

static bool as_given(const shape *t, const tc_tower_config *given) {
    bool same = t->width == given->width && t->layers == given->layers;
    for (int i = 0; i < t->layers && same; i++)
        same = t->rows[i] == 3 * given->block[i].heads * given->head_dim && t->ffn[i] == given->block[i].ffn;
    return same;
}

/* Do the weight and the bias of each fused projection agree? If not, one of them is wrong, and binding them
 * tells which. */
static bool is_consistent(const tc_layout *l, const shape *t, const char *prefix) {
    char name[96];
    for (int i = 0; i < t->layers; i++) {
        const tc_named *n =
            t->rows[i] ? tc_layout_find(l, in_block(name, prefix, i, "attn.in_proj_weight"), 0) : NULL;
        if (t->rows[i] && (!n || n->tensor->ndim != 2 || n->tensor->shape[0] != t->rows[i] / n->is.parts))
            return false;
    }
    return true;
}

/* A tower of a checkpoint with a configuration: what is left of it, if it was pruned. A tensor that is
 * missing is reported when it is bound. */
static void adjust_tower(reader *r, tc_tower_config *tower, const char *prefix, const char *norm,
                         const char *what) {
    shape t;
    reader quiet = {.l = r->l, .status = TC_OK};
    /* a pruned tower's own configuration is exact */
    if (r->status != TC_OK || tc_tower_is_pruned(tower)) return;
    measure(&quiet, &t, prefix, norm);
    if (quiet.status != TC_OK || !is_consistent(r->l, &t, prefix)) return;
    /* another model altogether: the first tensor tells */
    if (t.layers != tower->layers && t.width != tower->width) return;
    if (t.layers != tower->layers) {
        r->status = tc_fail(r->err, TC_EFORMAT,
                            "%s: the %s tower has %d layers in its tensors, %d in the configuration",
                            r->l->path, what, t.layers, tower->layers);
        return;
    }
    bool pruned = r->l->written_by & TC_NAMED_ALIAS || !is_ordinary(&t, tower->head_dim);
    if (as_given(&t, tower) || !pruned) return;
    check_pruned(r, &t, tower, what);
    if (r->status == TC_OK) take(tower, &t, tower->head_dim);
}

/* ---- the rest */

static int square_root(int n) {
    int root = 0;
    while ((root + 1) * (root + 1) <= n) root++;
    return root;
}

/* An integer that OpenAI's archives carry beside the weights; `missing` if it is not there. */
static int scalar(reader *r, const char *name, int missing) {
    tc_named *n = tc_layout_find(r->l, name, 0);
    int64_t value;
    if (r->status != TC_OK || !n) return missing;
    if (tc_tensor_numel(n->tensor) != 1 || !tc_tensor_read_i64(n->tensor, 0, 1, &value) || value < 1 ||
        value > 1 << 24) {
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: tensor '%s' must be a whole number", r->l->path,
                            n->tensor->name);
        return missing;
    }
    n->used = true;
    return (int)value;
}

static void check_scalar(reader *r, const char *name, int of_tensors) {
    int value = scalar(r, name, of_tensors);
    if (r->status == TC_OK && value != of_tensors)
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: %s is %d, but the tensors are those of %d", r->l->path,
                            name, value, of_tensors);
}

static void recognise_image(reader *r, tc_config *c) {
    char text[96];
    c->patch_size = at_least_one(r, "visual.conv1.weight", 4, 2, 8192);
    int positions = at_least_one(r, "visual.positional_embedding", 2, 0, 1 << 26),
        grid = square_root(positions - 1);
    if (r->status == TC_OK &&
        (grid < 1 || grid * grid + 1 != positions || (int64_t)grid * c->patch_size > 8192)) {
        const tc_tensor *t = tc_layout_find(r->l, "visual.positional_embedding", 0)->tensor;
        r->status = tc_fail(
            r->err, TC_EFORMAT,
            "%s: tensor '%s' is %s, expected one row for the class and one for each patch of a square image",
            r->l->path, t->name, tc_shape_text(t->ndim, t->shape, text, sizeof text));
    }
    c->image_size = grid * c->patch_size;
    c->embed_dim = at_least_one(r, "visual.proj", 2, 1, 1 << 16);
    recognise_tower(r, &c->vision, "visual.", "visual.ln_pre.weight", true);
}

static void recognise_text(reader *r, tc_config *c) {
    c->context_length = at_least_one(r, "positional_embedding", 2, 0, 8192);
    c->vocab_size = at_least_one(r, "token_embedding.weight", 2, 0, 1 << 24);
    recognise_tower(r, &c->text, "", "ln_final.weight", false);
}

/* The grid does not tell an image size that is no multiple of the patch; the archive does. */
static void check_scalars(reader *r, tc_config *c, bool given) {
    int size = scalar(r, "input_resolution", c->image_size);
    if (r->status == TC_OK && !given && c->patch_size &&
        size / c->patch_size == c->image_size / c->patch_size)
        c->image_size = size;
    check_scalar(r, "input_resolution", c->image_size);
    check_scalar(r, "context_length", c->context_length);
    check_scalar(r, "vocab_size", c->vocab_size);
}

static bool is_resnet(const tc_layout *l) {
    return tc_layout_find(l, "visual.layer1.0.conv1.weight", 0) != NULL;
}

static void count_blocks(reader *r, tc_config *c) {
    c->vision.layers = 0;
    for (int stage = 0; stage < TC_STAGES; stage++) {
        char name[96];
        c->stages[stage] = 0;
        do snprintf(name, sizeof name, "visual.layer%d.%d.conv1.weight", stage + 1, c->stages[stage]);
        while (tc_layout_find(r->l, name, 0) && ++c->stages[stage] < TC_MAX_LAYERS / TC_STAGES);
        c->vision.layers += c->stages[stage];
        if (r->status == TC_OK && c->stages[stage] == 0)
            r->status = tc_fail(r->err, TC_EFORMAT, "%s: all tensors of visual.layer%d.* are missing",
                                r->l->path, stage + 1);
    }
}

/* Inner channels, of which a pruned one has fewer than its width promises. */
static void count_channels(reader *r, tc_config *c) {
    int number = 0;
    tc_net_resnet_fill(c);
    for (int stage = 0; stage <= TC_STAGES; stage++)
        for (int i = 0; i < (stage ? c->stages[stage - 1] : 1); i++)
            for (int norm = 1; norm <= 2 && r->status == TC_OK; norm++, number++) {
                char name[96];
                if (stage) snprintf(name, sizeof name, "visual.layer%d.%d.bn%d.bias", stage, i, norm);
                else snprintf(name, sizeof name, "visual.bn%d.bias", norm);
                int n = at_least_one(r, name, 1, 0, 1 << 16);
                if (r->status == TC_OK && n > c->channels[number])
                    r->status =
                        tc_fail(r->err, TC_EFORMAT,
                                "%s: %s has %d channels, but a ResNet of width %d has at most %d there",
                                r->l->path, name, n, c->vision.width, c->channels[number]);
                c->channels[number] = n;
            }
}

/* A ModifiedResNet: blocks of each stage, width of the stem, inner channels, image size from the positions of
 * the attention pool. */
static void recognise_resnet(reader *r, tc_config *c) {
    c->image_tower = TC_IMAGE_RESNET;
    count_blocks(r, c);
    c->vision.head_dim = 64;
    c->vision.width = at_least_one(r, "visual.bn3.bias", 1, 0, 1 << 11);
    if (r->status == TC_OK && c->vision.width % 2)
        r->status =
            tc_fail(r->err, TC_EFORMAT, "%s: visual.bn3.bias has %d channels, but a ResNet's width is even",
                    r->l->path, c->vision.width);
    c->vision.block[0].heads = TC_RESNET_STRIDE * c->vision.width / c->vision.head_dim;
    if (r->status == TC_OK) count_channels(r, c);
    c->embed_dim = at_least_one(r, "visual.attnpool.c_proj.bias", 1, 0, 1 << 16);
    int positions = at_least_one(r, "visual.attnpool.positional_embedding", 2, 0, 1 << 16),
        grid = square_root(positions - 1);
    if (r->status == TC_OK && (grid < 1 || grid * grid + 1 != positions))
        r->status =
            tc_fail(r->err, TC_EFORMAT,
                    "%s: visual.attnpool.positional_embedding has %d rows, expected one more than a square",
                    r->l->path, positions);
    c->image_size = TC_RESNET_STRIDE * grid;
}

/* A ResNet must be as configured, but for inner channels that were pruned since. */
static void adjust_resnet(reader *r, tc_config *c) {
    tc_config of_tensors = *c;
    int left[TC_CHANNEL_SITES];
    char difference[160];
    if (c->image_tower != TC_IMAGE_RESNET)
        r->status = tc_fail(
            r->err, TC_EFORMAT,
            "%s: the image tower is a ModifiedResNet in its tensors, a ViT in the configuration", r->l->path);
    else recognise_resnet(r, &of_tensors);
    of_tensors.vision.head_dim = c->vision.head_dim;
    of_tensors.vision.block[0].heads = c->vision.block[0].heads;
    memcpy(left, of_tensors.channels, sizeof left);
    bool pruned = tc_net_resnet_is_pruned(c); /* then its configuration is exact */
    if (!pruned) memcpy(of_tensors.channels, c->channels, sizeof left);
    if (r->status == TC_OK && tc_config_difference(&of_tensors, c, difference, sizeof difference))
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: its tensors and the configuration differ: %s",
                            r->l->path, difference);
    if (r->status == TC_OK && !pruned) memcpy(c->channels, left, sizeof left);
}

tc_status tc_layout_config(tc_config *out, const tc_layout *l, const tc_config *given, tc_error *err) {
    reader r = {l, err, TC_OK};
    tc_config c;
    memset(&c, 0, sizeof c);
    bool resnet = is_resnet(l);
    if (given) {
        c = *given;
        if (resnet) adjust_resnet(&r, &c);
        else adjust_tower(&r, &c.vision, "visual.", "visual.ln_pre.weight", "image");
        adjust_tower(&r, &c.text, "", "ln_final.weight", "text");
    } else {
        c.eos_id = -1;
        if (resnet) recognise_resnet(&r, &c);
        else recognise_image(&r, &c);
        recognise_text(&r, &c);
    }
    check_scalars(&r, &c, given != NULL);
    if (r.status == TC_OK) *out = c;
    return r.status;
}
