/* net.h - CLIP networks: configuration, parameters and graphs. Builders only: what is done with a graph knows
 * no network. */
#ifndef TC_NET_H
#define TC_NET_H

#include "graph/graph.h"
#include "store/store.h"

enum {
    TC_MAX_LAYERS = 128,
    TC_STAGES = 4,                            /* of a ResNet */
    TC_CHANNEL_SITES = 2 + 2 * TC_MAX_LAYERS, /* groups of inner channels that a ResNet has at most */
    /* an image's side over that of the last map; also the last map's channels over the stem's */
    TC_RESNET_STRIDE = 32
};

typedef enum tc_image_tower { TC_IMAGE_VIT, TC_IMAGE_RESNET } tc_image_tower;

/* One transformer tower. Each block has its own number of heads and FFN channels, so that a pruned model is
 * an ordinary one. */
typedef struct tc_tower_config {
    int width, layers, head_dim;
    struct {
        int heads; /* 0: the block has no attention and no ln_1 */
        int ffn;   /* 0: of its FFN only the last bias is left; -1: it has no FFN and no ln_2 */
    } block[TC_MAX_LAYERS];
    tc_activation activation;
} tc_tower_config;

/* With a ModifiedResNet: patch_size is 0; vision.width is the stem's, vision.layers the blocks of all stages,
 * vision.head_dim and block[0].heads those of the attention pooling; its activation is ReLU, and
 * vision.activation the text tower's. */
typedef struct tc_config {
    tc_image_tower image_tower;
    int stages[TC_STAGES]; /* ResNet: blocks of each */
    /* ResNet: what the stem's first and second convolution give, then the first and second of each block: 2 +
     * 2 * vision.layers numbers. All are those of tc_net_resnet_channels unless it was pruned. */
    int channels[TC_CHANNEL_SITES];
    int embed_dim;
    int image_size, patch_size;
    int context_length, vocab_size;
    int eos_id; /* the text feature is taken at the first id equal to this; -1: at the first largest id */
    tc_tower_config vision, text;
} tc_config;

/* From an OpenCLIP configuration (also inside "model_cfg") or a Hugging Face one. `name` is for messages. */
tc_status tc_config_parse(tc_config *out, const json_t *json, const char *name, tc_error *err);
/* A built-in name or the path of a JSON file. */
tc_status tc_config_open(tc_config *out, const char *name_or_path, tc_error *err);
/* Text of a built-in configuration, or NULL. `index` >= 0 instead of a name goes through them; *name gets the
 * name. */
const char *tc_config_builtin(const char *name, int index, const char **found, size_t *size);
/* OpenCLIP's form. What it has no words for is added: of a pruned tower the lists "heads" and "mlp" (null: no
 * FFN) and "head_width", of a pruned ResNet the list "channels"; an "eos_token_id" of the text tower;
 * "quick_gelu" of a tower whose activation is not that of the image tower. tc_config_parse reads all of it.
 */
json_t *tc_config_openclip_json(const tc_config *c);
json_t *tc_config_hf_json(const tc_config *c); /* of one that tc_config_fits_hf */
/* One of the two, such that tc_config_parse gives the same configuration again. */
json_t *tc_config_full_json(const tc_config *c);
/* What a tower is made of, for records and cards: kind, width, layers; heads and ffn of each block, or of a
 * ResNet stages and channels. NULL if memory ran out. */
json_t *tc_tower_json(const tc_config *c, bool text);
/* Anything but equal blocks whose heads fill the width: what OpenCLIP's and Hugging Face's configurations
 * cannot describe. */
bool tc_tower_is_pruned(const tc_tower_config *t);
/* Fewer inner channels than a ResNet of this width has. */
bool tc_net_resnet_is_pruned(const tc_config *c);
bool tc_config_is_pruned(const tc_config *c);
/* Why the configuration's blocks cannot be described by one number of heads and of channels a tower, or NULL
 * if they can. */
const char *tc_config_uneven(const tc_config *c, char *buffer, size_t size);
/* Neither a ResNet nor pruned: what Hugging Face's CLIPModel can be. */
bool tc_config_fits_hf(const tc_config *c);
/* The first setting in which they differ as "what: a and b" in buffer; false if there is none. */
bool tc_config_difference(const tc_config *a, const tc_config *b, char *buffer, size_t size);
/* Difference number `index`, from 0 on; false past the last one. */
bool tc_config_difference_at(const tc_config *a, const tc_config *b, int index, tc_diff_setting *out);

/* All parameters, in OpenCLIP's names and order of the towers; logit_scale last. */
tc_status tc_net_params(tc_params *out, const tc_config *c, tc_error *err);

/* Counts as prunable: matrices and biases of attention and FFN within blocks; of a ResNet the convolutions'
 * weights that have inner channels. */
bool tc_param_is_prunable(const tc_param *p);

enum {
    TC_NET_WHOLE = 1, /* the last block computes every row */
    /* values are named vision_patches, vision_hidden_0.., vision_pooled, text_hidden_0.., text_pooled;
       ResNet: visual.bn1, .stem, .layer1.., .attnpool */
    TC_NET_NAMED = 2
};
tc_status tc_net_image_graph(tc_graph **out, const tc_config *c, const tc_params *p, unsigned flags,
                             tc_error *err);
tc_status tc_net_text_graph(tc_graph **out, const tc_config *c, const tc_params *p, unsigned flags,
                            tc_error *err);
/* The blocks of one tower after its embedding: used by both. Returns the picked, normalised, projected rows.
 */
int tc_net_blocks(tc_graph *g, const tc_tower_config *t, const char *prefix, const char *label, int x,
                  bool causal, tc_pick pick, unsigned flags);
/* Adds a node `op` with the named parameters (NULL: none). */
int tc_net_layer(tc_graph *g, tc_node node, const char *prefix, const char *weight, const char *bias);

/* The parts of a ModifiedResNet: called by the functions for all towers above. */
bool tc_net_resnet_params(tc_params *p, const tc_config *c); /* false: memory ran out */
tc_status tc_net_resnet_graph(tc_graph **out, const tc_config *c, const tc_params *p, unsigned flags,
                              tc_error *err);
/* Channels of a stage's result, 1 to TC_STAGES; 0: of the stem's. */
int tc_net_resnet_width(const tc_config *c, int stage);
/* Inner channels number `number` (see tc_config) of one that is not pruned. */
int tc_net_resnet_channels(const tc_config *c, int number);
/* Sets c->channels to these. */
void tc_net_resnet_fill(tc_config *c);
/* Takes "visual.layerS.I.REST" apart; false if the name is none. */
bool tc_net_resnet_block(const char *name, int *stage, int *index, const char **rest);

/* Number of ids up to and with the one that the text feature is taken at; at least 1. */
int tc_net_text_length(const tc_config *c, const int32_t *ids, int context);

/* Captions made ragged: the ids of each up to its end of text, one after the other. Buffers grow and stay. */
typedef struct tc_captions {
    int32_t *ids, *seq; /* seq [batch+1] */
    size_t ids_capacity, seq_capacity;
} tc_captions;
/* Takes captions of input_ids [n,context] until there are `most` rows or none is left; *batch gets their
 * number. Checks every id. */
tc_status tc_captions_gather(tc_captions *t, const tc_config *c, const int32_t *input_ids, int n, int context,
                             int64_t most, int *batch, tc_error *err);
void tc_captions_free(tc_captions *t);

#endif
