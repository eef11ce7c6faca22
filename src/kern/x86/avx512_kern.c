/* avx512_kern.c - the kernels compiled for AVX-512 (F, BW, DQ, VL), and their table. */
#include "kern/products.h"
#include "kern/x86/x86.h"

#include <math.h>

#include "kern/x86/vec512.h"

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

const tc_kern tc_kern_avx512 = {
    .name = "avx512",
    SIMD_KERNELS,
};

double tc_avx512_peak(int64_t count) { return tile_peak(count); }
