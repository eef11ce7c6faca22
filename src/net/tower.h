/* tower.h - what a family of towers is: one entry of a table, which says all that configurations, formats,
 * inheritance, masks, sessions and training need to know of it. Nobody else asks which family a tower is of;
 * they call what its entry has. */
#ifndef TC_TOWER_H
#define TC_TOWER_H

#include "graph/graph.h"
#include "net/config.h"

struct tc_config_reader; /* config_read.h */
struct tc_seen;          /* seen.h */
struct tc_adder;         /* builder.h */
typedef struct tc_hf_name {
    const char *ours, *theirs; /* within its table; ours NULL: the end */
    bool transposed;           /* the matrix is stored the other way round there */
    int part;                  /* of a fused query-key-value parameter, which is three tensors there */
    int parts;                 /* 3 of such a one; else 0 */
} tc_hf_name;

/* Names in Hugging Face's layout. */
typedef struct tc_hf_names {
    const tc_hf_name *whole; /* of the tower */
    /* what stands before the number of a block, and names behind it and a point; NULL: no blocks */
    const char *ours, *theirs;
    const tc_hf_name *block;
} tc_hf_names;

/* What is not given is NULL, 0 or false. `t` is always a tower of this family; `c` a configuration whose
 * tower of this side is. */
struct tc_tower_family {
    const char *name;  /* in messages and in info: "ViT" */
    const char *kind;  /* in records: "vit" */
    const char *title; /* short, as people say it: "ResNet" */
    int side;          /* TC_TOWER_VISION or TC_TOWER_TEXT */

    /* ---- configuration (config.c). `json` is the tower's own section. */
    /* Whether a section of OpenCLIP's form is one of this family. The first family of each side takes what no
     * other claims. */
    bool (*claims)(const json_t *json);
    /* OpenCLIP's form into the tower; image_size and the activation are there already. Checks all that it
     * takes. */
    void (*read)(struct tc_config_reader *r, tc_config *c, const json_t *json);
    /* And back, into `json`: read must give the same tower again. */
    void (*write)(const tc_config *c, json_t *json);
    /* OpenCLIP has such towers: its folders can hold them. Else only the project's single file can. */
    bool in_openclip;
    /* The same for Hugging Face's form, with all of its section; NULL: CLIPModel has none. */
    void (*read_hf)(struct tc_config_reader *r, tc_config *c, const json_t *json);
    json_t *(*write_hf)(const tc_config *c);
    /* Difference number *index, counted down, of what only the family knows: blocks, channels. `b` may be of
     * another family. */
    bool (*difference)(const tc_tower_config *a, const tc_tower_config *b, const char *tower, int *index,
                       tc_diff_setting *out);
    bool own_activation; /* has `activation`, whatever is configured */
    tc_activation activation;

    /* ---- the network (net.c) */
    void (*params)(struct tc_adder *a, const tc_config *c);
    /* From the input to the projection; returns the value of the result. */
    int (*graph)(tc_graph *g, const tc_config *c, unsigned flags);

    /* ---- images */
    /* Pixels a side that one position stands for: the smallest image. */
    int (*step)(const tc_tower_config *t);
    bool whole_steps;       /* an image's side is a multiple of it */
    const char *positions;  /* parameter of the grid of positions, the class first; resized with images */
    const char *fixed_size; /* why images of another size cannot be had of a model; NULL: they can */

    /* ---- checkpoints (recognise.c, names.c, bind.c) */
    /* Whether the tensors are a tower of this family. The first family of each side takes what no other
     * claims. */
    bool (*is_in)(const struct tc_seen *s);
    /* The tower, image_size or context_length and vocab_size, and of the image tower embed_dim, from the
     * tensors alone. */
    void (*recognise)(struct tc_seen *s, tc_config *c);
    /* What pruning has left of the configured tower. One that is not pruned must be as configured. */
    void (*adjust)(struct tc_seen *s, tc_config *c);
    /* A tensor that may be in a checkpoint and is no parameter. */
    bool (*is_idle)(const tc_config *c, const char *canonical);
    tc_hf_names hf;

    /* ---- masks and folding (prune.c). NULL set_kept: they are refused. */
    bool (*is_pruned)(const tc_tower_config *t);
    /* Why its blocks are not all the same, into buffer; false: they are. `tower`: "vision" or "text". */
    bool (*uneven)(const tc_tower_config *t, const char *tower, char *buffer, size_t size);
    /* Sets what a site is left with when it is folded. */
    void (*set_kept)(tc_tower_config *t, tc_group group, int layer, int kept);
    /* Groups, as bits 1 << TC_GROUP_, of which one member stays in any case. */
    unsigned never_empty;
    /* When all sites are set: takes out blocks of which only a constant is left. */
    void (*settle)(tc_tower_config *t);

    /* ---- inheritance (inherit.c) */
    /* The teacher's block that a student's block comes from. */
    int (*source_block)(const tc_tower_config *teacher, const tc_tower_config *student, int block);
    /* Heads of another size can be inherited: their projections are not fused, so leading rows are taken
     * whatever the heads are. */
    bool any_head_dim;

    /* ---- running and training */
    /* Threads take images of their own: short operations would let them wait for each other. An image's last
     * bits then depend on the batch. */
    bool images_apart;
    double beta2, eps; /* AdamW's, of models with this image tower */

    /* ---- telling */
    /* For plans: "12 blocks, width 768, 6 heads, 1536 FFN channels". */
    void (*describe)(const tc_tower_config *t, char *out, size_t size);
    /* For info, what a pruned layer has left, in columns under `columns`; layer -1: what is before the first
     * one, or false if nothing is. */
    const char *columns;
    bool (*row)(const tc_tower_config *t, int layer, char *out, size_t size);
    /* Adds what it is made of to kind, width and layers (tc_tower_json). */
    void (*record)(const tc_tower_config *t, json_t *json);
    const char *record_list; /* a list that each record has: "heads"; NULL: none */
};

enum {
    TC_NET_WHOLE = 1, /* the last block computes every row */
    /* values are named vision_patches, vision_hidden_0.., vision_pooled, text_hidden_0.., text_pooled;
       ResNet: visual.bn1, .stem, .layer1.., .attnpool */
    TC_NET_NAMED = 2
};

extern const tc_tower_family tc_vit, tc_modified_resnet, tc_text_transformer;

/* Every family, ended by NULL: a file, and a line in towers.c. */
extern const tc_tower_family *const tc_tower_families[];
/* More of them, ended by NULL, that whoever links the library may define: there is none here. */
extern const tc_tower_family *const tc_more_tower_families[] __attribute__((weak));

/* Family number `index` of all of them; NULL past the last one. */
const tc_tower_family *tc_tower_family_at(int index);

#endif
