/* loss.c - affinity mimicking and the contrastive loss.
 *
 * A = s I T^t and C = s T I^t are the student's affinities, A' and C' the teacher's. The affinity loss is the
 * mean over rows of the cross-entropy of softmax(A) against softmax(A'), and the same for C, averaged; the
 * contrastive one has row r's target at column r. With G = weight/2/n (softmax(A) - Q), H likewise for C: dI
 * = s (G T + H^t T), dT = s (G^t I + H I), and since A is linear in I, the gradient of the scale's logarithm
 * is the product of I and dI summed up. */
#include "train/loss.h"

int64_t tc_loss_work(int n) { return 3 * (int64_t)n * n; }

typedef struct side {
    const tc_real *x, *y, *teacher_x, *teacher_y;
    double *soft, *hard;
} side;

/* g [n,n] = gradient of this side's loss by its logits. q and other are room for [n,n] each. */
static void side_gradient(const tc_kern *k, const tc_loss_input *in, const side *s, tc_real *g, tc_real *q,
                          tc_real *other) {
    int64_t n = in->n, d = in->dim, t = in->teacher_dim;
    bool soft = in->soft_weight != 0 && s->teacher_x, hard = in->hard_weight != 0;
    k->gemm(false, true, n, n, d, (tc_real)in->scale, s->x, d, s->y, d, 0, g, n);
    if (soft && hard) k->copy(n * n, g, other);
    if (soft) {
        k->gemm(false, true, n, n, t, (tc_real)in->teacher_scale, s->teacher_x, t, s->teacher_y, t, 0, q, n);
        k->softmax(n, n, q, n);
        *s->soft = 0.5 * in->soft_weight / (double)n *
                   k->softmax_xent(n, n, g, n, q, n, 0, (tc_real)(0.5 * in->soft_weight / (double)n));
    }
    tc_real *h = soft ? other : g;
    if (hard)
        *s->hard = 0.5 * in->hard_weight / (double)n *
                   k->softmax_xent(n, n, h, n, NULL, 0, 0, (tc_real)(0.5 * in->hard_weight / (double)n));
    if (soft && hard) k->add(n * n, g, other, g);
    if (!soft && !hard) k->zero(n * n, g);
}

void tc_loss(const tc_kern *k, const tc_loss_input *in, tc_real *grad_image, tc_real *grad_text,
             tc_loss_result *out) {
    int64_t n = in->n, d = in->dim;
    tc_real *g = in->work, *q = g + n * n, *other = q + n * n, s = (tc_real)in->scale;
    double hard[2] = {0, 0};
    *out = (tc_loss_result){0};
    side image = {in->image, in->text, in->teacher_image, in->teacher_text, &out->soft_img2text, &hard[0]};
    side text = {in->text, in->image, in->teacher_text, in->teacher_image, &out->soft_text2img, &hard[1]};
    side_gradient(k, in, &image, g, q, other);
    k->gemm(false, false, n, d, n, s, g, n, in->text, d, 0, grad_image, d);
    k->gemm(true, false, n, d, n, s, g, n, in->image, d, 0, grad_text, d);
    side_gradient(k, in, &text, g, q, other);
    k->gemm(true, false, n, d, n, s, g, n, in->text, d, 1, grad_image, d);
    k->gemm(false, false, n, d, n, s, g, n, in->image, d, 1, grad_text, d);
    out->hard = hard[0] + hard[1];
    out->loss = out->soft_img2text + out->soft_text2img + out->hard;
    out->grad_log_scale = k->dot(n * d, in->image, grad_image);
}
