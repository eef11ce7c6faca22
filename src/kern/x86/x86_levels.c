/* x86_levels.c - what the x86 levels have to say to cpu.c: their tables, whether the CPU can run them, their
 * peak loops. */
#include "kern/x86/x86.h"

#include <cpuid.h>

const tc_kern *tc_kern_simd(int level) {
    return level == 1 ? &tc_kern_avx2 : level == 2 ? &tc_kern_avx512 : NULL;
}

/* clang's __builtin_cpu_supports does not know this one. */
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

bool tc_kern_simd_usable(int level) {
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (level == 1) return avx2;
    return level == 2 && avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

double tc_kern_simd_peak(int level, int64_t count) {
    return level == 2 ? tc_avx512_peak(count) : tc_avx2_peak(count);
}

void tc_kern_simd_init(int level) { tc_dnnl_cap(level); }
