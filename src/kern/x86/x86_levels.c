/* x86_levels.c - the x86 levels: their tables, whether the CPU can run them, their peak loops. */
#include "kern/products.h"
#include "kern/x86/x86.h"

#include <cpuid.h>

/* clang's __builtin_cpu_supports does not know this one. */
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const tc_level tc_levels[] = {
    {.kern = &tc_kern_ref, .peak = tc_ref_peak},
    {.kern = &tc_kern_avx2, .usable = has_avx2, .init = tc_products_cap_avx2, .peak = tc_avx2_peak},
    {.kern = &tc_kern_avx512, .usable = has_avx512, .peak = tc_avx512_peak},
};
const int tc_level_count = sizeof tc_levels / sizeof *tc_levels;
