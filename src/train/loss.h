/* loss.h - the losses on normalised features: affinity mimicking and the contrastive loss (definitions: loss
 * goldens; TinyCLIP section 3.1). */
#ifndef TC_LOSS_H
#define TC_LOSS_H

#include "kern/kern.h"

typedef struct tc_loss_input {
    int n, dim, teacher_dim;
    const tc_real *image, *text;                 /* student, [n,dim], rows of length 1 */
    const tc_real *teacher_image, *teacher_text; /* [n,teacher_dim] or NULL: no affinity term */
    double scale, teacher_scale;                 /* already exponentiated */
    double soft_weight, hard_weight;             /* of the affinity and of the contrastive loss */
    tc_real *work;                               /* tc_loss_work(n) numbers */
} tc_loss_input;

typedef struct tc_loss_result {
    double loss, soft_img2text, soft_text2img, hard; /* as weighted; loss is their sum */
    double grad_log_scale;
} tc_loss_result;

int64_t tc_loss_work(int n);
/* grad_image, grad_text [n,dim] are written. */
void tc_loss(const tc_kern *k, const tc_loss_input *in, tc_real *grad_image, tc_real *grad_text,
             tc_loss_result *out);

#endif
