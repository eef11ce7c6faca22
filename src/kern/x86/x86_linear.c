/* x86_linear.c - the packed linear layer for a thread that could not get its scratch. */
#include "kern/ref.h"
#include "kern/x86/x86.h"

void tc_x86_linear_slow(const tc_packed *l, const float *packed, int64_t panel, int64_t first, int64_t last,
                        int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = first; j < last; j++) {
            float sum = 0, *to = &y[i * ldy + j];
            for (int64_t p = 0; p < l->product.k; p++)
                sum += x[i * ldx + p] *
                       (packed ? packed[j / panel * panel * l->product.k + p * panel + j % panel]
                               : tc_weight_at(&l->weight, j, p));
            sum += l->bias[j];
            if (l->product.add) sum += *to;
            ref_act(l->product.act, 1, &sum, to);
        }
}
