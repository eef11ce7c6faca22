/* params.h - the table of parameters beside a graph. Each axis of each parameter is tagged with the group
 * that it belongs to, so that inheritance, masks and pruning know no network. */
#ifndef TC_PARAMS_H
#define TC_PARAMS_H

#include "base/base.h"

/* What an axis counts. An axis of HEADS has parts x heads x unit entries (parts 3: fused query, key, value;
 * unit: head size). */
typedef enum tc_group {
    TC_GROUP_NONE,
    TC_GROUP_EMBED,
    TC_GROUP_WIDTH,
    TC_GROUP_HEADS,
    TC_GROUP_FFN,
    TC_GROUP_STAGE,   /* ResNet: what the blocks of stage `layer` add to; 0 is the stem's result */
    TC_GROUP_CHANNELS /* ResNet: channels within the stem or a block; `layer` numbers them over the tower */
} tc_group;
enum { TC_TOWER_VISION, TC_TOWER_TEXT, TC_TOWER_JOINT, TC_TOWERS };

typedef struct tc_axis {
    tc_group group;
    int layer; /* of HEADS and FFN: the block; of STAGE and CHANNELS: which; -1 otherwise */
    int parts, unit;
} tc_axis;

enum { TC_PARAM_RANK = 4 };

/* What a parameter is to training, masks, counts and formats; set by whoever adds it. */
enum {
    TC_ROLE_DECAYS = 1,      /* weight decay pulls at it (Loshchilov & Hutter: matrices) */
    TC_ROLE_PRUNABLE = 2,    /* counts as prunable: matrices and biases of attention and FFN, convolutions
                                with inner channels */
    TC_ROLE_TOKENS = 4,      /* the token table: a row for each id */
    TC_ROLE_LOGIT_SCALE = 8, /* a logarithm */
    TC_ROLE_STATE = 16       /* running statistics and their counter: not trained, not counted */
};

typedef struct tc_param {
    char name[96];    /* canonical: OpenCLIP's */
    int tower, layer; /* layer: the block it is in, or -1 */
    int ndim;
    int64_t shape[TC_PARAM_RANK];
    tc_axis axis[TC_PARAM_RANK];
    int64_t numel, offset;      /* offset in a flat block of all parameters, elements, a multiple of 16 */
    double init_mean, init_std; /* normal distribution of the initial values */
    unsigned roles;             /* TC_ROLE_ */
    int in_block;               /* where its name within its block begins */
} tc_param;

static inline bool tc_param_is(const tc_param *p, unsigned role) { return p->roles & role; }

/* A whole number: stored as I64, exact here up to 2^24. */
static inline bool tc_param_is_counter(const tc_param *p) {
    return tc_param_is(p, TC_ROLE_STATE) && p->ndim == 0;
}

typedef struct tc_params {
    tc_param *items;
    size_t count, capacity;
    int64_t total; /* length of the flat block */
} tc_params;

/* Adds a parameter and returns its number, or -1 if memory ran out. The sizes must have been checked. */
int tc_params_add(tc_params *p, const char *name, int tower, int layer, int ndim, const int64_t *shape,
                  const tc_axis *axis, double mean, double std);
int tc_params_find(const tc_params *p, const char *name); /* -1: none */
int tc_params_with(const tc_params *p, unsigned role);    /* the first with this role; -1: none */
void tc_params_free(tc_params *p);

#endif
