/* config.h - what a CLIP model is made of, as a plain value that can be copied, and its forms as JSON. */
#ifndef TC_CONFIG_H
#define TC_CONFIG_H

#include "graph/params.h"
#include "store/store.h"

enum {
    TC_MAX_LAYERS = 128,
    TC_STAGES = 4,
    TC_CHANNEL_SITES = 2 + 2 * TC_MAX_LAYERS /* groups of inner channels that a tower has at most */
};

typedef struct tc_tower_family tc_tower_family; /* tower.h */

/* One tower. What a family has no use for is 0. Each block has its own numbers, so that a pruned model is an
 * ordinary one. */
typedef struct tc_tower_config {
    const tc_tower_family *family;
    int width, layers;
    int patch_size; /* pixels a side */
    /* Of an image tower that has an activation of its own (a ResNet's ReLU): the text tower's. */
    tc_activation activation;
    int head_dim;
    struct {
        int heads; /* 0: the block has no attention and no ln_1 */
        int ffn;   /* 0: of its FFN only the last bias is left; -1: it has no FFN and no ln_2 */
    } block[TC_MAX_LAYERS];
    int stages[TC_STAGES];          /* blocks of each; `layers` in all */
    int channels[TC_CHANNEL_SITES]; /* inner channels, in the family's order */
} tc_tower_config;

typedef struct tc_config {
    int embed_dim;
    int image_size;
    int context_length, vocab_size;
    int eos_id; /* the text feature is taken at the first id equal to this; -1: at the first largest id */
    tc_tower_config vision, text;
} tc_config;

/* By TC_TOWER_VISION and TC_TOWER_TEXT. */
static inline const tc_tower_config *tc_config_tower(const tc_config *c, int tower) {
    return tower == TC_TOWER_TEXT ? &c->text : &c->vision;
}

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
/* What a tower is made of, for records and cards: kind, width, layers, and what its family adds. NULL if
 * memory ran out. */
json_t *tc_tower_json(const tc_tower_config *t);

/* Less than a tower of these sizes has when it is made: what the configurations of other programs cannot
 * describe. */
bool tc_config_is_pruned(const tc_config *c);
/* Why the configuration's blocks cannot be described by one number of heads and of channels a tower, or NULL
 * if they can. */
const char *tc_config_uneven(const tc_config *c, char *buffer, size_t size);
/* Whether Hugging Face's CLIPModel can be it. */
bool tc_config_fits_hf(const tc_config *c);

/* The activation that layouts, configurations and options decide: the image tower's, or the text tower's if
 * the image tower has one of its own. */
tc_activation tc_config_activation(const tc_config *c);
void tc_config_set_activation(tc_config *c, tc_activation a);

/* The first setting in which they differ as "what: a and b" in buffer; false if there is none. */
bool tc_config_difference(const tc_config *a, const tc_config *b, char *buffer, size_t size);
/* Difference number `index`, from 0 on; false past the last one. */
bool tc_config_difference_at(const tc_config *a, const tc_config *b, int index, tc_diff_setting *out);

#endif
