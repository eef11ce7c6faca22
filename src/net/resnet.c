/* resnet.c - the image tower ModifiedResNet of CLIP (He et al. 2016; Radford et al. 2021, section 2.4): a
 * stem of three convolutions, four stages of bottleneck blocks whose strides are average pools (against
 * aliasing), and attention pooling in place of a mean.
 *
 * A block: y = ReLU(shortcut(x) + BN3 W3 pool(ReLU(BN2 conv2(ReLU(BN1 W1 x))))), of which the 1 x 1
 * convolutions are linear nodes on the pixels' rows. The shortcut comes before the branch, so that the
 * branch's first node is the first to write the gradient of x. */
#include "net/builder.h"
#include "net/resnet.h"

#include <math.h>
#include <string.h>

enum { STATISTICS = 5 };
static const char *const statistics[STATISTICS] = {"weight", "bias", "running_mean", "running_var",
                                                   "num_batches_tracked"};

static tc_axis stage_axis(int stage) { return (tc_axis){TC_GROUP_STAGE, stage, 1, 1}; }

/* Channels within: 0 and 1 of the stem, then two for each block. */
static tc_axis channel_axis(int number) { return (tc_axis){TC_GROUP_CHANNELS, number, 1, 1}; }

/* ---- parameters */

static void add_norm(tc_adder *a, const char *name, int n, tc_axis axis, double weight) {
    const double mean[STATISTICS] = {weight, 0, 0, 1, 0};
    for (int i = 0; i < STATISTICS; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s.%s", name, statistics[i]);
        tc_add_param(a, full, i >= 2 ? TC_ROLE_STATE : 0, i < 4, (int64_t[]){n}, &axis, mean[i], 0);
    }
}

/* Initial weights as OpenCLIP's: the last normalisation of a block starts at 0, so that the block starts as
 * its shortcut. */
static void add_block(tc_adder *a, const tc_tower_config *t, int stage, int index) {
    int in = tc_resnet_width(t, index ? stage : stage - 1), out = tc_resnet_width(t, stage);
    int number = 2 + 2 * a->layer, first = t->channels[number], second = t->channels[number + 1];
    tc_axis from = stage_axis(index ? stage : stage - 1), to = stage_axis(stage);
    tc_axis one = channel_axis(number), two = channel_axis(number + 1);
    tc_add_conv(a, "conv1", TC_ROLE_PRUNABLE, first, one, in, from, 1);
    add_norm(a, "bn1", first, one, 1);
    tc_add_conv(a, "conv2", TC_ROLE_PRUNABLE, second, two, first, one, 3);
    add_norm(a, "bn2", second, two, 1);
    tc_add_conv(a, "conv3", TC_ROLE_PRUNABLE, out, to, second, two, 1);
    add_norm(a, "bn3", out, to, 0);
    if (index > 0) return;
    tc_add_conv(a, "downsample.0", 0, out, to, in, from, 1);
    add_norm(a, "downsample.1", out, to, 1);
}

static void add_blocks(tc_adder *a, const tc_tower_config *t) {
    tc_adder block = *a;
    block.layer = 0;
    for (int stage = 1; stage <= TC_STAGES; stage++)
        for (int i = 0; i < t->stages[stage - 1]; i++, block.layer++) {
            char prefix[48];
            snprintf(prefix, sizeof prefix, "visual.layer%d.%d.", stage, i);
            block.prefix = prefix;
            block.in_block = strlen(prefix);
            add_block(&block, t, stage, i);
        }
    a->failed = block.failed;
}

static void add_stem(tc_adder *a, const tc_tower_config *t) {
    int first = t->channels[0], second = t->channels[1];
    tc_add_conv(a, "conv1", TC_ROLE_PRUNABLE, first, channel_axis(0), 3, tc_axis_fixed, 3);
    add_norm(a, "bn1", first, channel_axis(0), 1);
    tc_add_conv(a, "conv2", TC_ROLE_PRUNABLE, second, channel_axis(1), first, channel_axis(0), 3);
    add_norm(a, "bn2", second, channel_axis(1), 1);
    tc_add_conv(a, "conv3", TC_ROLE_PRUNABLE, t->width, stage_axis(0), second, channel_axis(1), 3);
    add_norm(a, "bn3", t->width, stage_axis(0), 1);
}

static void add_pool(tc_adder *a, const tc_config *c) {
    static const char *const names[] = {"k_proj", "q_proj", "v_proj", "c_proj"};
    const tc_tower_config *t = &c->vision;
    int width = tc_resnet_width(t, TC_STAGES), grid = c->image_size / TC_RESNET_STRIDE;
    tc_axis in = stage_axis(TC_STAGES), heads = {TC_GROUP_HEADS, t->layers, 1, t->head_dim};
    double std = pow(width, -0.5);
    a->prefix = "visual.attnpool.";
    tc_add_matrix(a, "positional_embedding", 0, 1 + (int64_t)grid * grid, tc_axis_fixed, width, in, std);
    for (int i = 0; i < 4; i++) {
        char name[32];
        bool last = i == 3;
        int rows = last ? c->embed_dim : width;
        tc_axis row = last ? tc_axis_embed : heads;
        snprintf(name, sizeof name, "%s.weight", names[i]);
        tc_add_matrix(a, name, 0, rows, row, width, last ? heads : in, std);
        snprintf(name, sizeof name, "%s.bias", names[i]);
        tc_add_vector(a, name, 0, rows, row, 0, 0);
    }
}

static void params(tc_adder *a, const tc_config *c) {
    a->prefix = "visual.";
    add_stem(a, &c->vision);
    add_blocks(a, &c->vision);
    add_pool(a, c);
}

/* ---- graph */

static int norm(tc_graph *g, int x, const char *prefix, const char *name) {
    tc_node n = {.op = &tc_op_batchnorm, .nin = 1, .in = {x}};
    for (int i = 0; i < STATISTICS; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s.%s", name, statistics[i]);
        n.param[i] = tc_net_param(g, prefix, full);
        if (n.param[i] < 0) return 0;
    }
    return tc_graph_add_node(g, n);
}

static int relu(tc_graph *g, int x) { return tc_net_act(g, x, TC_ACT_RELU); }

static int pool(tc_graph *g, int x, int side, int stride) {
    if (stride == 1) return x;
    tc_node n = {.op = &tc_op_avgpool, .nin = 1, .in = {x}, .side = side, .stride = stride};
    return tc_net_layer(g, n, "", NULL, NULL);
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
    return relu(g, tc_net_sum(g, y, x));
}

static int projected(tc_graph *g, int x, const char *weight, const char *bias) {
    return tc_net_linear(g, x, "visual.attnpool.", weight, bias);
}

/* Tokens: the mean of all pixels, then the pixels; what the mean attends to is the result. */
static int attention_pool(tc_graph *g, int x, const tc_tower_config *t, unsigned flags) {
    tc_pick pick = flags & TC_NET_WHOLE ? TC_PICK_ALL : TC_PICK_FIRST;
    x = tc_net_layer(g, (tc_node){.op = &tc_op_tokens, .nin = 1, .in = {x}}, "visual.attnpool.", NULL,
                     "positional_embedding");
    int k = projected(g, x, "k_proj.weight", "k_proj.bias");
    int v = projected(g, x, "v_proj.weight", "v_proj.bias");
    int q = projected(g, tc_net_pick(g, x, pick), "q_proj.weight", "q_proj.bias");
    tc_node n = {.op = &tc_op_attention,
                 .nin = 3,
                 .in = {q, k, v},
                 .heads = t->block[0].heads,
                 .dim = t->head_dim,
                 .pick = pick};
    x = projected(g, tc_net_layer(g, n, "", NULL, NULL), "c_proj.weight", "c_proj.bias");
    return flags & TC_NET_WHOLE ? tc_net_pick(g, x, TC_PICK_FIRST) : x;
}

/* Pixels come channel by channel; as patches of one pixel each is a row. */
static int graph(tc_graph *g, const tc_config *c, unsigned flags) {
    int side = c->image_size / 4, x = stem(g, tc_net_patches(g, c->image_size, 1), c, flags);
    for (int stage = 1; stage <= TC_STAGES; stage++) {
        for (int i = 0; i < c->vision.stages[stage - 1]; i++) {
            x = bottleneck(g, x, stage, i, side);
            if (i == 0 && stage > 1) side /= 2;
        }
        if (flags & TC_NET_NAMED) tc_graph_name(g, x, "visual.layer%d", stage);
    }
    x = attention_pool(g, x, &c->vision, flags);
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "visual.attnpool");
    return x;
}

/* ---- the table's entry */

static int step(const tc_tower_config *t) {
    (void)t;
    return TC_RESNET_STRIDE;
}

static void set_kept(tc_tower_config *t, tc_group group, int layer, int kept) {
    if (group == TC_GROUP_CHANNELS) t->channels[layer] = kept;
}

const tc_tower_family tc_modified_resnet = {
    .name = "ModifiedResNet",
    .kind = "resnet",
    .title = "ResNet",
    .side = TC_TOWER_VISION,
    .claims = tc_resnet_claims,
    .read = tc_resnet_read,
    .write = tc_resnet_write,
    .in_openclip = true,
    .difference = tc_resnet_difference,
    .own_activation = true,
    .activation = TC_RELU,
    .params = params,
    .graph = graph,
    .step = step,
    .whole_steps = true,
    .fixed_size = "its attention pool has one position for each place",
    .is_in = tc_resnet_is_in,
    .recognise = tc_resnet_recognise,
    .adjust = tc_resnet_adjust,
    .is_pruned = tc_resnet_is_pruned,
    .uneven = tc_resnet_uneven,
    .set_kept = set_kept,
    .never_empty = 1 << TC_GROUP_CHANNELS, /* a convolution without channels would be none */
    .source_block = tc_resnet_source,
    .any_head_dim = true,
    .images_apart = true,
    .beta2 = 0.999,
    .eps = 1e-8,
    .describe = tc_resnet_describe,
    .columns = "channels",
    .row = tc_resnet_row,
    .record = tc_resnet_record,
    .record_list = "channels",
};
