/* mask_sites.c - finds what can be masked in a table of parameters, by the axis groups alone. */
#include "graph/mask.h"

#include <stdlib.h>

static const tc_group order[] = {TC_GROUP_WIDTH, TC_GROUP_HEADS, TC_GROUP_FFN, TC_GROUP_CHANNELS};
enum { GROUPS = sizeof order / sizeof *order };

static int rank(tc_group g) {
    for (int i = 0; i < GROUPS; i++)
        if (order[i] == g) return i;
    return -1;
}

static int in_order(const void *a, const void *b) {
    const tc_mask_site *x = a, *y = b;
    if (x->tower != y->tower) return x->tower - y->tower;
    if (x->group != y->group) return rank(x->group) - rank(y->group);
    return x->layer - y->layer;
}

/* Heads are seen at the fused projection of query, key and value only: attention pooling has none and keeps
 * its heads. */
static bool begins_site(const tc_axis *a, int64_t size) {
    return size > 0 && rank(a->group) >= 0 && (a->group != TC_GROUP_HEADS || a->parts == 3);
}

tc_status tc_mask_sites_create(tc_mask_sites *out, const tc_params *params, tc_error *err) {
    size_t capacity = 0;
    *out = (tc_mask_sites){0};
    for (size_t i = 0; i < params->count; i++) {
        const tc_param *p = &params->items[i];
        for (int k = 0; k < p->ndim; k++) {
            const tc_axis *a = &p->axis[k];
            if (!begins_site(a, p->shape[k]) || tc_mask_sites_find(out, p->tower, a->group, a->layer) >= 0)
                continue;
            if (!tc_grow(&out->items, &capacity, out->count + 1, sizeof *out->items)) {
                tc_mask_sites_free(out);
                return tc_fail_memory(err, sizeof *out->items);
            }
            int size = (int)(p->shape[k] / a->parts / a->unit);
            out->items[out->count++] = (tc_mask_site){
                .tower = p->tower, .group = a->group, .layer = a->layer, .size = size, .unit = a->unit};
        }
    }
    if (out->count) qsort(out->items, out->count, sizeof *out->items, in_order);
    for (size_t i = 0; i < out->count; i++) {
        out->items[i].offset = out->total;
        out->total += out->items[i].size;
    }
    return TC_OK;
}

void tc_mask_sites_free(tc_mask_sites *s) {
    free(s->items);
    *s = (tc_mask_sites){0};
}

int tc_mask_sites_find(const tc_mask_sites *s, int tower, tc_group group, int layer) {
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i].tower == tower && s->items[i].group == group && s->items[i].layer == layer)
            return (int)i;
    return -1;
}
