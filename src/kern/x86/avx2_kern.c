/* avx2_kern.c - the kernels compiled for AVX2, FMA and F16C, and their table. */
#include "kern/products.h"
#include "kern/x86/x86.h"

#include <math.h>

#include "kern/x86/vec256.h"

#include "kern/x86/simd_math.h"
#include "kern/x86/simd_tile.h"
#include "kern/x86/simd_linear.h"
#include "kern/x86/simd_rows.h"
#include "kern/x86/simd_mask.h"
#include "kern/x86/simd_norm.h"

#include "kern/x86/simd_attention.h"
#include "kern/x86/simd_attention_backward.h"
#include "kern/x86/simd_train.h"

#include "kern/x86/simd_table.h"

const tc_kern tc_kern_avx2 = {
    .name = "avx2",
    SIMD_KERNELS,
};

double tc_avx2_peak(int64_t count) { return tile_peak(count); }
