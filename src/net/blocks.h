/* blocks.h - the transformer blocks of which the ViT and the text tower are made: their parameters and graph
 * (blocks.c), their configuration (blocks_config.c), and how they are found in a checkpoint (blocks_seen.c).
 */
#ifndef TC_BLOCKS_H
#define TC_BLOCKS_H

#include "net/builder.h"
#include "net/config_read.h"
#include "net/seen.h"
#include "net/tower.h"

/* ---- the network */

/* NAME.weight and NAME.bias of a LayerNorm over the tower's width. */
void tc_blocks_add_norm(tc_adder *a, const char *name, int width);
/* All blocks of a tower whose names begin with the adder's prefix. */
void tc_blocks_params(tc_adder *a, const tc_tower_config *t);
/* The blocks after the embedding x; returns the picked rows. Names of values begin with `label`. */
int tc_blocks_graph(tc_graph *g, const tc_tower_config *t, const char *prefix, const char *label, int x,
                    bool causal, tc_pick pick, unsigned flags);

/* ---- the configuration */

/* Width divided into heads without a rest: their size. */
int tc_blocks_head_dim(tc_config_reader *r, int width, int heads, const char *tower);
/* The blocks of a tower whose width, layers and head_dim are known; "heads" and "mlp" may be lists of what a
 * pruned one has left. */
void tc_blocks_read(tc_config_reader *r, tc_tower_config *t, const json_t *json, const char *where);
void tc_blocks_write(const tc_tower_config *t, json_t *json);
/* `missing`: hidden_size, num_hidden_layers, num_attention_heads and intermediate_size where the file has
 * none. */
void tc_blocks_read_hf(tc_config_reader *r, tc_tower_config *t, const json_t *json, const char *section,
                       const int missing[4]);
json_t *tc_blocks_write_hf(const tc_tower_config *t, const char *type, int embed_dim);
bool tc_blocks_difference(const tc_tower_config *a, const tc_tower_config *b, const char *tower, int *index,
                          tc_diff_setting *out);
bool tc_blocks_are_pruned(const tc_tower_config *t);
bool tc_blocks_uneven(const tc_tower_config *t, const char *tower, char *buffer, size_t size);
void tc_blocks_set_kept(tc_tower_config *t, tc_group group, int layer, int kept);
void tc_blocks_settle(tc_tower_config *t);
int tc_blocks_source(const tc_tower_config *teacher, const tc_tower_config *student, int block);
void tc_blocks_describe(const tc_tower_config *t, char *out, size_t size);
bool tc_blocks_row(const tc_tower_config *t, int layer, char *out, size_t size);
void tc_blocks_record(const tc_tower_config *t, json_t *json);
#define TC_BLOCKS_COLUMNS "heads   FFN"

/* ---- checkpoints. `prefix` is that of the tower's names, `norm` a norm over its width, `tower` "image" or
 * "text". */

/* Heads of this size that are usual for a tower of this width and so many layers. */
typedef struct tc_usual_heads {
    int width, layers, head_dim;
} tc_usual_heads;
/* `usual` ends with width 0, whose head_dim is that of all others. */
void tc_blocks_recognise(tc_seen *s, tc_tower_config *t, const char *prefix, const char *norm,
                         const char *tower, const tc_usual_heads *usual);
void tc_blocks_adjust(tc_seen *s, tc_tower_config *t, const char *prefix, const char *norm,
                      const char *tower);
/* The norm before an attention or an FFN that a pruned block does not have any more. */
bool tc_blocks_is_idle(const tc_tower_config *t, const char *prefix, const char *canonical);
/* Hugging Face's names within a block. */
extern const tc_hf_name tc_blocks_hf[];

/* What the entries of all families that are made of blocks have in common (tower.h). */
#define TC_BLOCKS_ENTRIES                                                                              \
    .difference = tc_blocks_difference, .is_pruned = tc_blocks_are_pruned, .uneven = tc_blocks_uneven, \
    .set_kept = tc_blocks_set_kept, .settle = tc_blocks_settle, .source_block = tc_blocks_source,      \
    .describe = tc_blocks_describe, .columns = TC_BLOCKS_COLUMNS, .row = tc_blocks_row,                \
    .record = tc_blocks_record, .record_list = "heads"

#endif
