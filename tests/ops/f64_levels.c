/* f64_levels.c - the double build has only the plain-C kernels: stands in for kern/x86/x86_levels.c there. */
#include "kern/kern_priv.h"

const tc_kern *tc_kern_simd(int level) {
    (void)level;
    return NULL;
}

bool tc_kern_simd_usable(int level) {
    (void)level;
    return false;
}

double tc_kern_simd_peak(int level, int64_t count) {
    (void)level;
    (void)count;
    return 0;
}

void tc_kern_simd_init(int level) { (void)level; }
