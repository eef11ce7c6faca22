/* mask.h - masks over axis groups: which members of a group count, and how much.
 *
 * A site is an axis group of one tower whose members can be masked: the tower's width, the heads or the FFN
 * channels of a block, the inner channels of a ResNet's blocks and stem. Every parameter with that group
 * shares the site. A mask is one number for each member of each site, all sites one after the other in one
 * vector: 1 leaves a member as it is, 0 takes it away, what lies between scales it. */
#ifndef TC_GRAPH_MASK_H
#define TC_GRAPH_MASK_H

#include "graph/graph.h"

typedef struct tc_mask_site {
    int tower;      /* TC_TOWER_VISION or TC_TOWER_TEXT */
    tc_group group; /* WIDTH, HEADS, FFN or CHANNELS */
    int layer;      /* as in tc_axis */
    int size;       /* members: channels or heads */
    int unit;       /* columns of an activation that a member stands for: the size of a head, else 1 */
    int64_t offset; /* of the first member in the vector over all sites */
} tc_mask_site;

typedef struct tc_mask_sites {
    tc_mask_site *items;
    size_t count;
    int64_t total; /* length of the vector */
} tc_mask_sites;

/* Every site of a model with these parameters, the image tower's first; in each tower WIDTH, then HEADS by
 * block, FFN by block, CHANNELS by number. A block without heads or FFN channels has no such site; the heads
 * of a ResNet's attention pooling and the widths of its stages are none. */
tc_status tc_mask_sites_create(tc_mask_sites *out, const tc_params *params, tc_error *err);
void tc_mask_sites_free(tc_mask_sites *s);
/* Number of a site, or -1. */
int tc_mask_sites_find(const tc_mask_sites *s, int tower, tc_group group, int layer);

/* Puts the masks of its sites into a graph that has just been built (before tc_graph_fuse); a failure sticks
 * to the graph. The sites must outlive it. heads, FFN channels, channels: the input of the linear or conv
 * node whose weight has the group on its input axis is scaled; width: what enters the residual stream is
 * scaled, biases and positions included; a LayerNorm runs over the channels that are not 0 and gives 0 in the
 * others, whatever the factors of those that are kept. The runner's `mask` and `mask_grad` belong to it.
 * Members of heads and channels that are 0 have a gradient, those of the width get 0. */
void tc_graph_mask(tc_graph *g, const tc_mask_sites *sites);

#endif
