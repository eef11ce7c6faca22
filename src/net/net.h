/* net.h - the parameters and the graphs of a configuration. What is done with a graph knows no network. */
#ifndef TC_NET_H
#define TC_NET_H

#include "net/tower.h"

/* All parameters, in OpenCLIP's names and order of the towers; logit_scale last. */
tc_status tc_net_params(tc_params *out, const tc_config *c, tc_error *err);
/* The graph of TC_TOWER_VISION or TC_TOWER_TEXT; flags: TC_NET_. */
tc_status tc_net_graph(tc_graph **out, int tower, const tc_config *c, const tc_params *p, unsigned flags,
                       tc_error *err);

#endif
