/* resnet.c - the image tower ModifiedResNet of CLIP (He et al. 2016; Radford et al. 2021, section 2.4): a
 * stem of three convolutions, four stages of bottleneck blocks whose strides are average pools (against
 * aliasing), and attention pooling in place of a mean.
 *
 * A block: y = ReLU(shortcut(x) + BN3 W3 pool(ReLU(BN2 conv2(ReLU(BN1 W1 x))))), of which the 1 x 1
 * convolutions are linear nodes on the pixels' rows.
 * The shortcut comes before the branch, so that the branch's
 * first node is the first to write the gradient of x. */
#include "graph/op.h"
#include "net/net.h"

#include <math.h>
#include <string.h>

enum { STEM = 3, EXPANSION = 4 };

static const tc_axis FIXED = {TC_GROUP_NONE, -1, 1, 1}, EMBED = {TC_GROUP_EMBED, -1, 1, 1};

static tc_axis stage_axis(int stage) { return (tc_axis){TC_GROUP_STAGE, stage, 1, 1}; }

/* Channels within: 0 and 1 of the stem, then two for each block. */
static tc_axis channel_axis(int number) { return (tc_axis){TC_GROUP_CHANNELS, number, 1, 1}; }

int tc_net_resnet_width(const tc_config *c, int stage) {
    return stage == 0 ? c->vision.width : c->vision.width * EXPANSION << (stage - 1);
}

int tc_net_resnet_channels(const tc_config *c, int number) {
    int stage = 0, block = number / 2 - 1;
    if (number < 2) return c->vision.width / 2;
    do block -= c->stages[stage++];
    while (block >= 0 && stage < TC_STAGES);
    return tc_net_resnet_width(c, stage) / EXPANSION;
}

void tc_net_resnet_fill(tc_config *c) {
    for (int i = 0; i < 2 + 2 * c->vision.layers; i++) c->channels[i] = tc_net_resnet_channels(c, i);
}

/* ---- parameters */

typedef struct adder {
    tc_params *params;
    int layer;
    bool failed;
} adder;

static tc_param *add(adder *a, const char *prefix, const char *name, int ndim, const int64_t *shape,
                     const tc_axis *axis, double mean, double std) {
    char full[96];
    snprintf(full, sizeof full, "visual.%s%s", prefix, name);
    int id = a->failed
                 ? -1
                 : tc_params_add(a->params, full, TC_TOWER_VISION, a->layer, ndim, shape, axis, mean, std);
    a->failed = id < 0;
    return a->failed ? NULL : &a->params->items[id];
}

/* PyTorch's default for a convolution: uniform of standard deviation 1/sqrt(3 fan_in). */
static void add_conv(adder *a, const char *prefix, const char *name, int out, tc_axis out_axis, int in,
                     tc_axis in_axis, int kernel) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    add(a, prefix, full, 4, (int64_t[]){out, in, kernel, kernel},
        (tc_axis[]){out_axis, in_axis, FIXED, FIXED}, 0, pow(3.0 * in * kernel * kernel, -0.5));
}

static void add_norm(adder *a, const char *prefix, const char *name, int n, tc_axis axis, double weight) {
    static const char *const kinds[] = {"weight", "bias", "running_mean", "running_var",
                                        "num_batches_tracked"};
    const double mean[] = {weight, 0, 0, 1, 0};
    for (int i = 0; i < 5; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s.%s", name, kinds[i]);
        tc_param *p = add(a, prefix, full, i < 4, (int64_t[]){n}, &axis, mean[i], 0);
        if (p) p->state = i >= 2;
    }
}

/* Initial weights as OpenCLIP's: the last normalisation of a block starts at 0, so that the block starts as
 * its shortcut. */
static void add_block(adder *a, const tc_config *c, int stage, int index, int block) {
    char prefix[48];
    int in = tc_net_resnet_width(c, index ? stage : stage - 1), out = tc_net_resnet_width(c, stage);
    int first = c->channels[2 + 2 * block], second = c->channels[3 + 2 * block];
    tc_axis from = stage_axis(index ? stage : stage - 1), to = stage_axis(stage);
    tc_axis one = channel_axis(2 + 2 * block), two = channel_axis(3 + 2 * block);
    snprintf(prefix, sizeof prefix, "layer%d.%d.", stage, index);
    a->layer = block;
    add_conv(a, prefix, "conv1", first, one, in, from, 1);
    add_norm(a, prefix, "bn1", first, one, 1);
    add_conv(a, prefix, "conv2", second, two, first, one, 3);
    add_norm(a, prefix, "bn2", second, two, 1);
    add_conv(a, prefix, "conv3", out, to, second, two, 1);
    add_norm(a, prefix, "bn3", out, to, 0);
    if (index == 0) {
        add_conv(a, prefix, "downsample.0", out, to, in, from, 1);
        add_norm(a, prefix, "downsample.1", out, to, 1);
    }
    a->layer = -1;
}

static void add_pool(adder *a, const tc_config *c) {
    static const char *const names[] = {"k_proj", "q_proj", "v_proj", "c_proj"};
    int width = tc_net_resnet_width(c, TC_STAGES), grid = c->image_size / TC_RESNET_STRIDE;
    tc_axis in = stage_axis(TC_STAGES), heads = {TC_GROUP_HEADS, c->vision.layers, 1, c->vision.head_dim};
    double std = pow(width, -0.5);
    add(a, "attnpool.", "positional_embedding", 2, (int64_t[]){1 + (int64_t)grid * grid, width},
        (tc_axis[]){FIXED, in}, 0, std);
    for (int i = 0; i < 4; i++) {
        char name[32];
        bool last = i == 3;
        int64_t shape[2] = {last ? c->embed_dim : width, width};
        tc_axis axis[2] = {last ? EMBED : heads, last ? heads : in};
        snprintf(name, sizeof name, "%s.weight", names[i]);
        add(a, "attnpool.", name, 2, shape, axis, 0, std);
        snprintf(name, sizeof name, "%s.bias", names[i]);
        add(a, "attnpool.", name, 1, shape, axis, 0, 0);
    }
}

bool tc_net_resnet_params(tc_params *p, const tc_config *c) {
    adder a = {.params = p, .layer = -1};
    int first = c->channels[0], second = c->channels[1], width = c->vision.width;
    add_conv(&a, "", "conv1", first, channel_axis(0), 3, FIXED, 3);
    add_norm(&a, "", "bn1", first, channel_axis(0), 1);
    add_conv(&a, "", "conv2", second, channel_axis(1), first, channel_axis(0), 3);
    add_norm(&a, "", "bn2", second, channel_axis(1), 1);
    add_conv(&a, "", "conv3", width, stage_axis(0), second, channel_axis(1), 3);
    add_norm(&a, "", "bn3", width, stage_axis(0), 1);
    int block = 0;
    for (int stage = 1; stage <= TC_STAGES; stage++)
        for (int i = 0; i < c->stages[stage - 1]; i++) add_block(&a, c, stage, i, block++);
    add_pool(&a, c);
    return !a.failed;
}

/* ---- graph */

static int norm(tc_graph *g, int x, const char *prefix, const char *name) {
    static const char *const kinds[] = {"weight", "bias", "running_mean", "running_var",
                                        "num_batches_tracked"};
    tc_node n = {.op = &tc_op_batchnorm, .nin = 1, .in = {x}};
    for (int i = 0; i < 5; i++) {
        char full[128];
        snprintf(full, sizeof full, "%s%s.%s", prefix, name, kinds[i]);
        n.param[i] = tc_params_find(g->params, full);
        if (n.param[i] < 0) {
            tc_graph_fail(g, "there is no parameter %s", full);
            return 0;
        }
    }
    return tc_graph_add_node(g, n);
}

static int relu(tc_graph *g, int x) {
    return tc_net_layer(g, (tc_node){.op = &tc_op_act, .nin = 1, .in = {x}, .act = TC_ACT_RELU}, "", NULL,
                        NULL);
}

static int pool(tc_graph *g, int x, int side, int stride) {
    return stride == 1
               ? x
               : tc_net_layer(
                     g, (tc_node){.op = &tc_op_avgpool, .nin = 1, .in = {x}, .side = side, .stride = stride},
                     "", NULL, NULL);
}

/* Convolution NAME of `kernel` 1 or 3 (padded by 1) and its normalisation. */
static int conv_norm(tc_graph *g, int x, const char *prefix, const char *name, const char *norm_name,
                     int kernel, int side, int stride) {
    char weight[32];
    snprintf(weight, sizeof weight, "%s.weight", name);
    tc_node n = {.op = kernel == 1 ? &tc_op_linear : &tc_op_conv,
                 .nin = 1,
                 .in = {x},
                 .side = side,
                 .stride = stride,
                 .pad = kernel / 2};
    return norm(g, tc_net_layer(g, n, prefix, weight, NULL), prefix, norm_name);
}

static int stem(tc_graph *g, int x, const tc_config *c, unsigned flags) {
    int side = c->image_size / 2;
    x = conv_norm(g, x, "visual.", "conv1", "bn1", 3, c->image_size, 2);
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "visual.bn1");
    x = conv_norm(g, relu(g, x), "visual.", "conv2", "bn2", 3, side, 1);
    x = conv_norm(g, relu(g, x), "visual.", "conv3", "bn3", 3, side, 1);
    x = pool(g, relu(g, x), side, 2);
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "visual.stem");
    return x;
}

static int bottleneck(tc_graph *g, int x, int stage, int index, int side) {
    char prefix[48];
    int stride = index == 0 && stage > 1 ? 2 : 1, y = x;
    snprintf(prefix, sizeof prefix, "visual.layer%d.%d.", stage, index);
    if (index == 0)
        y = conv_norm(g, pool(g, x, side, stride), prefix, "downsample.0", "downsample.1", 1, 0, 0);
    x = relu(g, conv_norm(g, x, prefix, "conv1", "bn1", 1, 0, 0));
    x = relu(g, conv_norm(g, x, prefix, "conv2", "bn2", 3, side, 1));
    x = conv_norm(g, pool(g, x, side, stride), prefix, "conv3", "bn3", 1, 0, 0);
    return relu(g, tc_net_layer(g, (tc_node){.op = &tc_op_add, .nin = 2, .in = {y, x}}, "", NULL, NULL));
}

static int projected(tc_graph *g, int x, const char *weight, const char *bias) {
    return tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}}, "visual.attnpool.", weight,
                        bias);
}

static int first_row(tc_graph *g, int x) {
    return tc_net_layer(g, (tc_node){.op = &tc_op_select, .nin = 1, .in = {x}, .pick = TC_PICK_FIRST}, "",
                        NULL, NULL);
}

/* Tokens: the mean of all pixels, then the pixels; what the mean attends to is the result. */
static int attention_pool(tc_graph *g, int x, const tc_config *c, unsigned flags) {
    bool whole = flags & TC_NET_WHOLE;
    x = tc_net_layer(g, (tc_node){.op = &tc_op_tokens, .nin = 1, .in = {x}}, "visual.attnpool.", NULL,
                     "positional_embedding");
    int k = projected(g, x, "k_proj.weight", "k_proj.bias"),
        v = projected(g, x, "v_proj.weight", "v_proj.bias");
    int q = projected(g, whole ? x : first_row(g, x), "q_proj.weight", "q_proj.bias");
    tc_node n = {.op = &tc_op_attention,
                 .nin = 3,
                 .in = {q, k, v},
                 .heads = c->vision.block[0].heads,
                 .dim = c->vision.head_dim};
    n.pick = whole ? TC_PICK_ALL : TC_PICK_FIRST;
    x = projected(g, tc_net_layer(g, n, "", NULL, NULL), "c_proj.weight", "c_proj.bias");
    return whole ? first_row(g, x) : x;
}

/* Pixels come channel by channel; as patches of one pixel each is a row. */
tc_status tc_net_resnet_graph(tc_graph **out, const tc_config *c, const tc_params *p, unsigned flags,
                              tc_error *err) {
    tc_graph *g = tc_graph_create(p);
    *out = NULL;
    if (!g) return tc_fail_memory(err, sizeof *g);
    int space = tc_graph_space(g, 1), x = tc_graph_input(g, space, 3 * c->image_size * c->image_size),
        side = c->image_size / 4;
    x = tc_net_layer(
        g,
        (tc_node){.op = &tc_op_patchify, .nin = 1, .in = {x}, .image_size = c->image_size, .patch_size = 1},
        "", NULL, NULL);
    x = stem(g, x, c, flags);
    for (int stage = 1; stage <= TC_STAGES; stage++) {
        for (int i = 0; i < c->stages[stage - 1]; i++) {
            x = bottleneck(g, x, stage, i, side);
            if (i == 0 && stage > 1) side /= 2;
        }
        if (flags & TC_NET_NAMED) tc_graph_name(g, x, "visual.layer%d", stage);
    }
    g->output = attention_pool(g, x, c, flags);
    if (flags & TC_NET_NAMED) tc_graph_name(g, g->output, "visual.attnpool");
    if (g->failed) {
        tc_fail(err, TC_EARG, "image tower: %s", g->message);
        tc_graph_free(&g);
        return TC_EARG;
    }
    *out = g;
    return TC_OK;
}

bool tc_net_resnet_block(const char *name, int *stage, int *index, const char **rest) {
    int end = 0;
    if (sscanf(name, "visual.layer%d.%d.%n", stage, index, &end) != 2 || end == 0) return false;
    *rest = name + end;
    return true;
}
