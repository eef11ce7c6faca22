/* plain_levels.c - the levels of an architecture that has no kernels of its own, and of the double build. */
#include "kern/kern_priv.h"

const tc_level tc_levels[] = {{.kern = &tc_kern_ref, .peak = tc_ref_peak}};
const int tc_level_count = 1;
