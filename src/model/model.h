/* model.h - a model in memory: configuration, parameters, and where their values lie. */
#ifndef TC_MODEL_H
#define TC_MODEL_H

#include "graph/mask.h"
#include "graph/prepare.h"
#include "graph/run.h"
#include "net/captions.h"
#include "net/net.h"

#include <pthread.h>

/* Where a parameter's value comes from: up to three tensors of a mapped file, one after the other, or memory
 * of its own, or the flat block. */
typedef struct tc_origin {
    const tc_tensor *part[3];
    int parts;
    bool transposed;
    tc_real *own; /* its value in place of the file's, or NULL */
} tc_origin;

struct tc_model {
    tc_config config;
    tc_params params;
    tc_store *store;      /* mapped files, or NULL */
    tc_origin *origin;    /* [params], with store */
    tc_real *flat;        /* [params.total] values in memory, or NULL */
    char *path, *source;  /* where it came from, and the layout */
    char *tokenizer_dir;  /* vocab.json and merges.txt lie here, or NULL */
    char *vocab, *merges; /* their texts, from a single file; or NULL: the built-in vocabulary */
    tc_tokenizer_kind tokenizer_kind;
    tc_preprocess preprocess;
    char *card; /* JSON text, or NULL */
    float logit_scale;
    char *activation_source; /* why the activation is what it is */
    bool activation_assumed;
    /* for info: heads and FFN channels of the image tower, then of the text tower */
    int layer[4][TC_MAX_LAYERS];
    tc_model_info info;
    /* made when a session first needs them, under the lock; then constant */
    pthread_mutex_t lock;
    bool ready[2]; /* by tower, as the next two */
    tc_graph *graph[2];
    tc_prepared prepared[2];
    const tc_real **data; /* [params] for the nodes that are not matrix products; NULL for the others */
    bool *owned;          /* [params] data[i] is to be freed */
};

/* A model with its parameter table and no values. */
tc_status tc_model_new(tc_model **out, const tc_config *c, tc_error *err);
/* The same with a zeroed flat block. */
tc_status tc_model_new_flat(tc_model **out, const tc_config *c, tc_error *err);
/* Computes info and logit_scale; call when the values are there. */
tc_status tc_model_finish(tc_model *m, tc_error *err);
/* Makes a model that was opened from a file one for images of another size: positions are resized,
 * preprocessing follows. Before tc_model_finish. */
tc_status tc_model_set_image_size(tc_model *m, int image_size, tc_error *err);
/* positions [1 + from*from, width] -> out [1 + to*to, width]: the first row stays, the grid of the others is
 * resized. */
tc_status tc_positions_resize(const tc_real *positions, int from, int to, int64_t width, tc_real *out,
                              tc_error *err);
/* "gelu" or "quick_gelu" -> *out. */
tc_status tc_activation_parse(tc_activation *out, const char *name, tc_error *err);
/* The part of it that needs no value: info of a configuration, with the logit_scale that m has. */
tc_status tc_model_count(tc_model *m, tc_error *err);
/* The values of parameter i -> out [numel]. Thread-safe. */
tc_status tc_model_read(const tc_model *m, size_t i, tc_real *out, tc_error *err);
/* A 64-bit checksum over the values of all parameters, in their order. Thread-safe. */
tc_status tc_model_hash(const tc_model *m, uint64_t *hash, tc_error *err);
/* Gives the file's pages of parameter i back to the system, which reads them again if they are used again.
 * Thread-safe. */
void tc_model_let_go(const tc_model *m, size_t i);
/* Makes the graph and the prepared weights of TC_TOWER_VISION or TC_TOWER_TEXT. Thread-safe. */
tc_status tc_model_prepare(const tc_model *m, int tower, tc_error *err);
/* Frees them again. */
void tc_model_release(tc_model *m, int tower);
/* Error if a mapped file was shortened since it was opened. */
tc_status tc_model_check(const tc_model *m, tc_error *err);

/* Preprocessing and tokenizer of another model. */
tc_status tc_model_copy_settings(tc_model *to, const tc_model *from, tc_error *err);
/* Whether a student of this configuration can inherit from such a teacher; TC_EARG: no, and why. */
tc_status tc_inherit_check(const tc_config *teacher, const tc_config *student, tc_error *err);
tc_status tc_model_inherit_config(tc_model **out, const tc_model *teacher, const tc_config *config,
                                  tc_error *err);
tc_status tc_model_random(tc_model **out, const tc_config *config, uint64_t seed, tc_error *err);
/* A copy in memory of the same configuration, tokenizer and preprocessing. */
tc_status tc_model_copy(tc_model **out, const tc_model *m, tc_error *err);

/* The configuration of a model folded with a mask of which kept[site] members are not 0. A block that keeps
 * no heads has no attention then, one that keeps no FFN channels no FFN. TC_EARG if nothing is left of a
 * tower's width. */
tc_status tc_config_fold(tc_config *out, const tc_config *c, const tc_mask_sites *sites, const int *kept,
                         tc_error *err);
/* A model without the members that are 0 in the mask [sites->total], whose outputs are those of `masked`
 * under the mask but for rounding: in memory, with its activation, end-of-text rule, logit scale, tokenizer
 * and preprocessing. `sites` must be those of masked's parameters; else TC_EARG. */
tc_status tc_model_fold(tc_model **out, const tc_model *masked, const tc_mask_sites *sites,
                        const tc_real *mask, tc_error *err);

#endif
