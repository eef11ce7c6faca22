/* net.c - a model's parameters and graphs: those of its towers, and the logit scale. */
#include "net/net.h"
#include "net/builder.h"

#include <math.h>

static void add_tower(tc_adder *a, const tc_config *c, int tower) {
    *a = (tc_adder){.params = a->params, .tower = tower, .layer = -1, .failed = a->failed};
    tc_config_tower(c, tower)->family->params(a, c);
}

tc_status tc_net_params(tc_params *out, const tc_config *c, tc_error *err) {
    *out = (tc_params){0};
    tc_adder a = {.params = out};
    add_tower(&a, c, TC_TOWER_VISION);
    add_tower(&a, c, TC_TOWER_TEXT);
    a = (tc_adder){.params = out, .tower = TC_TOWER_JOINT, .layer = -1, .prefix = "", .failed = a.failed};
    tc_add_param(&a, "logit_scale", TC_ROLE_LOGIT_SCALE, 0, NULL, NULL, log(1 / 0.07), 0);
    if (!a.failed && out->total < (int64_t)1 << 40) return TC_OK;
    tc_params_free(out);
    return tc_fail(err, TC_ENOMEM, "the configuration needs more memory than there is");
}

tc_status tc_net_graph(tc_graph **out, int tower, const tc_config *c, const tc_params *p, unsigned flags,
                       tc_error *err) {
    tc_graph *g = tc_graph_create(p);
    *out = NULL;
    if (!g) return tc_fail_memory(err, sizeof *g);
    g->output = tc_config_tower(c, tower)->family->graph(g, c, flags);
    if (g->failed) {
        tc_fail(err, TC_EARG, "%s tower: %s", tower == TC_TOWER_TEXT ? "text" : "image", g->message);
        tc_graph_free(&g);
        return TC_EARG;
    }
    *out = g;
    return TC_OK;
}
