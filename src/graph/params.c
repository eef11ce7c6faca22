/* params.c - the table of parameters. */
#include "graph/params.h"

#include <stdlib.h>
#include <string.h>

int tc_params_add(tc_params *p, const char *name, int tower, int layer, int ndim, const int64_t *shape,
                  const tc_axis *axis, double mean, double std) {
    if (!tc_grow(&p->items, &p->capacity, p->count + 1, sizeof *p->items)) return -1;
    tc_param *item = &p->items[p->count];
    *item = (tc_param){.tower = tower,
                       .layer = layer,
                       .ndim = ndim,
                       .numel = 1,
                       .offset = p->total,
                       .init_mean = mean,
                       .init_std = std};
    snprintf(item->name, sizeof item->name, "%s", name);
    for (int i = 0; i < ndim; i++) {
        item->shape[i] = shape[i];
        item->axis[i] = axis[i];
        item->numel *= shape[i];
    }
    p->total += (item->numel + 15) / 16 * 16;
    return (int)p->count++;
}

int tc_params_find(const tc_params *p, const char *name) {
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].name, name) == 0) return (int)i;
    return -1;
}

int tc_params_with(const tc_params *p, unsigned role) {
    for (size_t i = 0; i < p->count; i++)
        if (tc_param_is(&p->items[i], role)) return (int)i;
    return -1;
}

void tc_params_free(tc_params *p) {
    free(p->items);
    *p = (tc_params){0};
}
