/* test_alloc.c - after the first call neither inference nor a training step of any kind of model allocates,
 * unless a batch is larger than any before.
 *
 * The program's own malloc and its kin count calls and pass them on to glibc's. Libraries (oneDNN packs into
 * memory of its own) are not counted: only calls whose return address lies in this program, into which
 * libtinyclip is linked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/trainer.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A sanitizer brings its own malloc, and another C library than glibc has no second names for its own; the
 * test is then skipped. */
#if defined __SANITIZE_ADDRESS__ || !defined __GLIBC__
#define OTHER_MALLOC 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define OTHER_MALLOC 1
#endif
#endif

static atomic_long allocations;

#ifndef OTHER_MALLOC

extern const char __executable_start, etext;
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static void count(const void *caller) {
    if ((uintptr_t)caller >= (uintptr_t)&__executable_start && (uintptr_t)caller < (uintptr_t)&etext)
        atomic_fetch_add(&allocations, 1);
}

void *malloc(size_t size) {
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
    count(__builtin_return_address(0));
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    *out = __libc_memalign(alignment, size);
    return *out || !size ? 0 : ENOMEM;
}

#endif

enum { BATCH = 6, CONTEXT = 20 };

typedef enum kind { VIT, PRUNED, RESNET, KINDS } kind;

/* A pruned one has a block without heads and one without an FFN in each tower. */
static tc_model *make_model(kind k, int layers) {
    tc_config c = {
        .embed_dim = 16,
        .image_size = 32,
        .context_length = CONTEXT,
        .vocab_size = 100,
        .eos_id = -1,
        .vision = {.family = &tc_vit, .patch_size = 8, .width = 32, .layers = layers, .head_dim = 16},
        .text = {.family = &tc_text_transformer, .width = 32, .layers = layers, .head_dim = 16}};
    for (int i = 0; i < layers; i++) {
        c.vision.block[i].heads = c.text.block[i].heads = 2;
        c.vision.block[i].ffn = c.text.block[i].ffn = 64;
    }
    if (k == PRUNED) {
        c.vision.width = 27;
        c.vision.block[0].heads = c.text.block[1].heads = 0;
        c.vision.block[1].ffn = c.text.block[0].ffn = -1;
    }
    if (k == RESNET) {
        json_t *json = json_pack("{s:i, s:{s:i, s:[i,i,i,i], s:i, s:i}, s:{s:i, s:i, s:i, s:i, s:i}}",
                                 "embed_dim", 16, "vision_cfg", "image_size", 32, "layers", 1, layers, 1, 1,
                                 "width", 4, "head_width", 16, "text_cfg", "context_length", CONTEXT,
                                 "vocab_size", 100, "width", 32, "heads", 2, "layers", layers);
        assert_int_equal(tc_config_parse(&c, json, "test", NULL), TC_OK);
        json_decref(json);
    }
    tc_model *m = NULL;
    assert_int_equal(tc_model_random(&m, &c, 3, NULL), TC_OK);
    return m;
}

/* Captions of 3 to CONTEXT ids, longest last; images of any values. */
static void make_batch(float *pixels, int32_t *ids) {
    tc_rng rng = tc_rng_make(1, 1, 1);
    for (int i = 0; i < BATCH * 3 * 32 * 32; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int t = 0; t < BATCH; t++)
        for (int i = 0; i < CONTEXT; i++)
            ids[t * CONTEXT + i] =
                i == CONTEXT - 1 - 3 * (BATCH - 1 - t) ? 99 : 1 + (int32_t)tc_rng_below(&rng, 90);
}

static float pixels[BATCH * 3 * 32 * 32];
static int32_t ids[BATCH * CONTEXT];

static void check_inference(kind k) {
    tc_model *m = make_model(k, 3);
    tc_session *s = NULL;
    float out[BATCH * 16];
    make_batch(pixels, ids);
    assert_int_equal(tc_session_create(&s, m, NULL), TC_OK);
    for (int pass = 0; pass < 2; pass++) {
        long before = atomic_load(&allocations);
        /* The largest batch first; then others. */
        for (int n = BATCH; n > 0; n--) {
            assert_int_equal(tc_session_encode_image(s, pixels, n, out, NULL), TC_OK);
            assert_int_equal(tc_session_encode_text(s, ids + (BATCH - n) * CONTEXT, n, CONTEXT, out, NULL),
                             TC_OK);
            if (pass == 0 && n == BATCH) {
                assert_true(atomic_load(&allocations) > before); /* the counter counts */
                before = atomic_load(&allocations);
            }
        }
        assert_int_equal(atomic_load(&allocations) - before, 0);
    }
    tc_session_close(&s);
    tc_model_close(&m);
}

static void inference(void **state) {
    (void)state;
    for (kind k = VIT; k < KINDS; k++) check_inference(k);
}

static void check_training(kind k, bool masked) {
    tc_model *student = make_model(k, 2), *teacher = make_model(k, 3);
    tc_trainer *t = NULL;
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 1e-3, .warmup = 1, .steps = 100},
                  .weight_decay = 0.2,
                  .beta1 = 0.9,
                  .beta2 = 0.98,
                  .eps = 1e-6,
                  .clip = 5,
                  .alpha = 0.5,
                  .weight = 1,
                  .logit_scale = 50};
    tc_mask_hyper masks = {.lr = {.kind = TC_SCHEDULE_STEP, .base = 0.02, .start = 100},
                           .start = 1,
                           .target = {.end = {0.9, 0.9}}};
    tc_step_log log;
    if (masked) h.masks = &masks;
    make_batch(pixels, ids);
    assert_int_equal(tc_trainer_create(&t, &student, teacher, &h, NULL), TC_OK);
    long before = atomic_load(&allocations);
    assert_int_equal(tc_trainer_step(t, pixels, ids, BATCH, CONTEXT, &log, NULL), TC_OK);
    assert_true(atomic_load(&allocations) > before);
    before = atomic_load(&allocations);
    for (int n = BATCH; n > 0; n--) {
        assert_int_equal(tc_trainer_step(t, pixels, ids + (BATCH - n) * CONTEXT, n, CONTEXT, &log, NULL),
                         TC_OK);
        assert_false(log.skipped);
    }
    assert_int_equal(atomic_load(&allocations) - before, 0);
    tc_trainer_free(&t);
    tc_model_close(&teacher);
}

static void training(void **state) {
    (void)state;
    for (kind k = VIT; k < KINDS; k++) check_training(k, false);
}

static void training_with_masks(void **state) {
    (void)state;
    for (kind k = VIT; k < KINDS; k++) check_training(k, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(inference), cmocka_unit_test(training),
                                       cmocka_unit_test(training_with_masks)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
#ifdef OTHER_MALLOC
    printf("1..1\nok 1 - allocations # SKIP malloc is a sanitizer's, or not glibc's\n");
    (void)tests;
    return 0;
#else
    return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
