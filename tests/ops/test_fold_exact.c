/* test_fold_exact.c - masked and folded models in double, where rounding is no excuse: outputs within 1e-12
 * of each other, for every kind of empty block, in both towers, in graphs that compute all rows and in those
 * that compute the last one's only, in training and in inference.
 *
 * Folding is linear in the weights: for any weights D, <gradient of the masked model, D> = <gradient of the
 * folded model, fold(D)>. So one number compares all gradients, moved constants and dropped members included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fold_rig.h"

#define TOLERANCE 1e-12

static void expect_near(double distance, const char *what, const char *name, bool text, unsigned flags) {
    if (!(distance <= TOLERANCE))
        fail_msg("%s, %s, %s%s: relative difference %.3g", what, name, text ? "text" : "image",
                 flags ? ", whole" : "", distance);
}

static void compare(const tc_model *masked, const tc_mask_sites *sites, const tc_real *mask,
                    const tc_model *folded, const char *what, const char *name) {
    for (int k = 0; k < 8; k++) {
        unsigned flags = k & 1 ? TC_NET_WHOLE : 0;
        expect_near(fold_distance(masked, sites, mask, folded, k & 2, flags, k & 4), what, name, k & 2,
                    flags);
    }
}

static void outputs(void **state) {
    (void)state;
    fold_check_all(compare);
}

/* ---- gradients */

static double inner_product(const tc_model *m, const fold_pass *p, const tc_model *direction) {
    double sum = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *x = &m->params.items[i];
        for (int64_t k = 0; k < x->numel && !tc_param_is(x, TC_ROLE_STATE); k++)
            sum += p->grad[i][k] * direction->flat[x->offset + k];
    }
    return sum;
}

static void backward(fold_pass *p) {
    tc_rng rng = tc_rng_make(3, 3, 3);
    tc_real *g = tc_runner_output_grad(p->r);
    for (int i = 0; i < p->rows * FOLD_EMBED; i++) g[i] = tc_rng_normal(&rng);
    tc_runner_backward(p->r);
}

static void check_gradients(const tc_config *c, const fold_case *image, const fold_case *text,
                            fold_gone channels, const char *what) {
    tc_model *m = fold_model(c, 1), *direction = fold_model(c, 2);
    tc_mask_sites sites = fold_sites(m);
    tc_real *mask = fold_mask(&sites, image, text, channels, 3);
    tc_model *folded = fold_folded(m, &sites, mask), *folded_direction = fold_folded(direction, &sites, mask);
    for (int tower = 0; tower < 2; tower++) {
        fold_pass a, b;
        fold_forward(&a, m, &sites, mask, tower, 0, true);
        fold_forward(&b, folded, NULL, NULL, tower, 0, true);
        backward(&a);
        backward(&b);
        double x = inner_product(m, &a, direction), y = inner_product(folded, &b, folded_direction);
        if (!(fabs(x) > 1e-3))
            fail_msg("%s, %s: the inner product vanishes (%.3g): the case tests nothing", what, image->name,
                     x);
        if (!(fabs(x - y) <= 1e-10 * fabs(x))) fail_msg("%s, %s: %.15g and %.15g", what, image->name, x, y);
        fold_pass_free(&a);
        fold_pass_free(&b);
    }
    free(mask);
    tc_mask_sites_free(&sites);
    tc_model_close(&m);
    tc_model_close(&direction);
    tc_model_close(&folded);
    tc_model_close(&folded_direction);
}

static void gradients(void **state) {
    (void)state;
    tc_config vit = fold_vit(false), left = fold_vit(true), resnet = fold_resnet();
    for (int i = 0; i < FOLD_CASES; i++) {
        check_gradients(&vit, &fold_cases[i], &fold_cases[(i + 4) % FOLD_CASES], FOLD_NONE_GONE,
                        "transformers");
        check_gradients(&left, &fold_cases[i], &fold_cases[(i + 4) % FOLD_CASES], FOLD_NONE_GONE,
                        "pruned transformers");
    }
    check_gradients(&resnet, &fold_cases[0], &fold_cases[0], FOLD_NONE_GONE, "ResNet");
    check_gradients(&resnet, &fold_cases[0], &fold_cases[0], FOLD_BLOCKS_GONE,
                    "ResNet without some channels");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(outputs), cmocka_unit_test(gradients)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    tc_set_threads(1); /* hundreds of passes, each too small to be shared */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
