/* bench_kern.c - the speed of every kernel at every level: bench_kern [THREADS [SECONDS]].
 *
 * Shapes are those of ViT-B/32-like towers of width 512: 32 images of 50 tokens or 32 captions of 10. Each
 * figure is the best of the calls that fit in SECONDS (0.2). GFLOP/s counts a multiply-add as two, against
 * the peak of a loop of multiply-adds in registers; G/s counts elements. */
#include "kern/kern.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 1600,
    WIDTH = 512,
    WIDE = 3072,
    ROOM = ROWS * WIDE,
    HEADS = 8,
    DIM = 64,
    IMAGES = 32,
    TOKENS = 50,
    CAPTIONS = 32,
    WORDS = 10
};

static float *x, *y, *z, *w, *g, *stats;
static int32_t image_seq[IMAGES + 1], caption_seq[CAPTIONS + 1];
static const tc_kern *k;
static tc_packed *linear;
static tc_attention images, captions;

typedef struct bench {
    const char *name;
    void (*run)(const struct bench *b);
    int64_t m, n, k;
    int act;
    bool add;
    double work; /* multiply-adds if `flops`, else elements */
    bool flops;
} bench;

static void run_linear(const bench *b) { tc_packed_run(linear, b->m, x, b->k, y, b->n); }
static void run_gemm_nt(const bench *b) {
    k->gemm(false, true, b->m, b->n, b->k, 1, x, b->k, w, b->k, 0, y, b->n);
}
static void run_gemm_nn(const bench *b) {
    k->gemm(false, false, b->m, b->n, b->k, 1, x, b->k, w, b->n, 0, y, b->n);
}
static void run_gemm_tn(const bench *b) {
    k->gemm(true, false, b->m, b->n, b->k, 1, x, b->m, w, b->n, 1, y, b->n);
}
static void run_layernorm(const bench *b) { k->layernorm(b->m, b->n, x, b->n, w, w, 1e-5f, y, b->n, stats); }
static void run_layernorm_backward(const bench *b) {
    k->layernorm_backward(b->m, b->n, x, w, stats, z, y, false, g, g + b->n);
}
static void run_layernorm_kept(const bench *b) { k->layernorm_kept(b->m, b->n, w, x, w, w, 1e-5f, y, stats); }
static void run_layernorm_kept_backward(const bench *b) {
    k->layernorm_kept_backward(b->m, b->n, w, x, w, stats, z, y, false, g, g + b->n);
}
static void run_scale(const bench *b) { k->scale(b->m, b->n, b->k, x, w, y); }
static void run_scale_backward(const bench *b) { k->scale_backward(b->m, b->n, b->k, x, w, z, y, false, g); }
static void run_act(const bench *b) { k->act(b->act, b->m * b->n, x, y); }
static void run_act_backward(const bench *b) { k->act_backward(b->act, b->m * b->n, x, z, y); }
static void run_bias_act(const bench *b) { k->bias_act(b->act, b->m, b->n, y, stats, z); }
static void run_bias_backward(const bench *b) { k->bias_backward(b->m, b->n, x, g); }
static void run_add(const bench *b) { k->add(b->m * b->n, x, z, y); }
static void run_softmax(const bench *b) { k->softmax(b->m, b->n, y, b->n); }
static void run_l2norm(const bench *b) { k->l2norm(b->m, b->n, x, y, stats); }
static void run_l2norm_backward(const bench *b) { k->l2norm_backward(b->m, b->n, x, stats, z, y); }
static void run_images(const bench *b) {
    (void)b;
    k->attention(&images, y, WIDTH, stats);
}
static void run_images_backward(const bench *b) {
    (void)b;
    k->attention_backward(&images, y, WIDTH, stats, z, WIDTH, w, w + WIDTH, w + 2 * WIDTH);
}
static void run_captions(const bench *b) {
    (void)b;
    k->attention(&captions, y, WIDTH, stats);
}
static void run_captions_backward(const bench *b) {
    (void)b;
    k->attention_backward(&captions, y, WIDTH, stats, z, WIDTH, w, w + WIDTH, w + 2 * WIDTH);
}
static void run_xent(const bench *b) { k->softmax_xent(b->m, b->n, y, b->n, NULL, 0, 0, 1e-3f); }
static void run_dot(const bench *b) { stats[0] = (float)k->dot(b->m * b->n, x, z); }
static void run_adamw(const bench *b) {
    k->adamw(b->m * b->n, y, x, g, z, 1, 1e-3, 0.1, 0.9, 0.98, 1e-6, 0.5, 0.5);
}

#define GELU .act = TC_ACT_GELU
#define QUICK .act = TC_ACT_QUICK_GELU

static const bench benches[] = {
    {"linear qkv", run_linear, ROWS, 1536, 512, .flops = true},
    {"linear proj +y", run_linear, ROWS, 512, 512, .add = true, .flops = true},
    {"linear fc1 gelu", run_linear, ROWS, 2048, 512, GELU, .flops = true},
    {"linear fc1 quick", run_linear, ROWS, 2048, 512, QUICK, .flops = true},
    {"linear fc2 +y", run_linear, ROWS, 512, 2048, .add = true, .flops = true},
    {"linear patches", run_linear, 1568, 512, 3072, .flops = true},
    {"linear qkv", run_linear, 320, 1536, 512, .flops = true},
    {"linear fc1 gelu", run_linear, 320, 2048, 512, GELU, .flops = true},
    {"linear fc2 +y", run_linear, 320, 512, 2048, .add = true, .flops = true},
    {"linear qkv", run_linear, 50, 1536, 512, .flops = true},
    {"linear proj +y", run_linear, 50, 512, 512, .add = true, .flops = true},
    {"linear fc1 gelu", run_linear, 50, 2048, 512, GELU, .flops = true},
    {"linear fc2 +y", run_linear, 50, 512, 2048, .add = true, .flops = true},
    {"linear patches", run_linear, 49, 512, 3072, .flops = true},
    {"linear fc1 gelu", run_linear, 10, 2048, 512, GELU, .flops = true},
    {"linear fc2 +y", run_linear, 10, 512, 2048, .add = true, .flops = true},
    {"linear fc1 gelu", run_linear, 1, 2048, 512, GELU, .flops = true},
    {"gemm y = x w^T", run_gemm_nt, ROWS, 2048, 512, .flops = true},
    {"gemm y = x w^T", run_gemm_nt, 320, 2048, 512, .flops = true},
    {"gemm dx = dy w", run_gemm_nn, ROWS, 512, 2048, .flops = true},
    {"gemm dx = dy w", run_gemm_nn, 320, 512, 2048, .flops = true},
    {"gemm dw = dy^T x", run_gemm_tn, 2048, 512, ROWS, .flops = true},
    {"gemm dw = dy^T x", run_gemm_tn, 2048, 512, 320, .flops = true},
    {"attention 32x50", run_images, .work = 2.0 * IMAGES * TOKENS * TOKENS * WIDTH, .flops = true},
    {"  backward", run_images_backward, .work = 5.0 * IMAGES * TOKENS * TOKENS * WIDTH, .flops = true},
    {"attention 32x10", run_captions, .work = 2.0 * CAPTIONS * WORDS * WORDS * WIDTH, .flops = true},
    {"  backward", run_captions_backward, .work = 5.0 * CAPTIONS * WORDS * WORDS * WIDTH, .flops = true},
    {"layernorm", run_layernorm, ROWS, WIDTH, .act = TC_ACT_NONE},
    {"  backward", run_layernorm_backward, ROWS, WIDTH, .act = TC_ACT_NONE},
    {"layernorm kept", run_layernorm_kept, ROWS, WIDTH, .act = TC_ACT_NONE},
    {"  backward", run_layernorm_kept_backward, ROWS, WIDTH, .act = TC_ACT_NONE},
    {"scale heads", run_scale, ROWS, WIDTH, DIM, .work = ROWS * WIDTH},
    {"  backward", run_scale_backward, ROWS, WIDTH, DIM, .work = ROWS * WIDTH},
    {"scale channels", run_scale, ROWS, 2048, 1, .act = TC_ACT_NONE},
    {"  backward", run_scale_backward, ROWS, 2048, 1, .act = TC_ACT_NONE},
    {"act gelu", run_act, ROWS, 2048, GELU},
    {"  backward", run_act_backward, ROWS, 2048, GELU},
    {"act quick gelu", run_act, ROWS, 2048, QUICK},
    {"  backward", run_act_backward, ROWS, 2048, QUICK},
    {"bias_act gelu", run_bias_act, ROWS, 2048, GELU},
    {"bias_backward", run_bias_backward, ROWS, 2048, .act = TC_ACT_NONE},
    {"add", run_add, ROWS, WIDTH, .act = TC_ACT_NONE},
    {"softmax", run_softmax, ROWS, 256, .act = TC_ACT_NONE},
    {"l2norm", run_l2norm, ROWS, WIDTH, .act = TC_ACT_NONE},
    {"  backward", run_l2norm_backward, ROWS, WIDTH, .act = TC_ACT_NONE},
    {"softmax_xent", run_xent, 256, 256, .act = TC_ACT_NONE},
    {"dot", run_dot, ROWS, 2048, .act = TC_ACT_NONE},
    {"adamw", run_adamw, ROWS, 2048, .act = TC_ACT_NONE},
};

static double best_time(const bench *b, double seconds) {
    double best = 1e9, start = tc_now();
    for (int i = 0; i < 3 || tc_now() - start < seconds; i++) {
        double t = tc_now();
        b->run(b);
        t = tc_now() - t;
        best = t < best ? t : best;
    }
    return best;
}

static void fill(float *to, int64_t n, double spread) {
    tc_rng rng = tc_rng_make(1, 2, 3);
    for (int64_t i = 0; i < n; i++) to[i] = (float)((tc_rng_uniform(&rng) - 0.5) * spread);
}

static bool prepare(const bench *b) {
    fill(x, ROOM, 2);
    fill(y, ROOM, 2);
    fill(z, ROOM, 2);
    fill(w, ROOM, 0.1);
    memset(g, 0, ROOM * sizeof *g);
    memset(stats, 0, ROOM * sizeof *stats);
    for (int i = 0; b->run == run_adamw && i < ROOM; i++) z[i] *= z[i];
    tc_product p = {.n = b->n, .k = b->k, .act = b->act, .add = b->add};
    if (b->run == run_linear)
        linear = tc_pack(tc_form_choose(k->forms, &p, "f32"), &p,
                         &(tc_weight){.part = {w}, .part_rows = b->n, .ld = b->k}, w);
    return b->run != run_linear || linear;
}

static void report(const bench *b, double seconds, double peak) {
    double time[3] = {0}, work = b->work;
    char shape[64];
    if (work <= 0) work = (double)b->m * (double)b->n * (b->flops ? (double)b->k : 1);
    snprintf(shape, sizeof shape, "%lldx%lldx%lld", (long long)b->m, (long long)b->n, (long long)b->k);
    printf("%-17s %-14s", b->name, b->m ? shape : "");
    for (int level = 0; level < 3; level++) {
        k = tc_kern_level(level);
        if (!k || !prepare(b)) continue;
        time[level] = best_time(b, level ? seconds : 0);
        printf(" %9.1f us", time[level] * 1e6);
        if (level && b->flops) printf(" %6.1f GFLOP/s", 2e-9 * work / time[level]);
        else if (level) printf(" %6.2f G/s    ", 1e-9 * work / time[level]);
        if (level) printf(" %5.1fx", time[0] / time[level]);
        tc_packed_free(linear);
        linear = NULL;
    }
    double fast = time[2] > 0 ? time[2] : time[1];
    if (b->flops && fast > 0) printf("  %5.1f %% of peak", 100 * work / fast / peak);
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    double peak = 0, seconds = argc > 2 ? atof(argv[2]) : 0.2;
    float **all[] = {&x, &y, &z, &w, &g, &stats};
    tc_set_threads(argc > 1 ? atoi(argv[1]) : 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!(*all[i] = tc_new_aligned(ROOM, sizeof(float)))) {
            fprintf(stderr, "bench_kern: memory ran out\n");
            return 1;
        }
    for (int i = 0; i <= IMAGES; i++) image_seq[i] = i * TOKENS;
    for (int i = 0; i <= CAPTIONS; i++) caption_seq[i] = i * WORDS;
    images = (tc_attention){.heads = HEADS,
                            .dim = DIM,
                            .nseq = IMAGES,
                            .seq = image_seq,
                            .scale = 0.125f,
                            .q = x,
                            .k = x + WIDTH,
                            .v = x + 2 * WIDTH,
                            .ldq = 3 * WIDTH,
                            .ldk = 3 * WIDTH,
                            .ldv = 3 * WIDTH};
    captions = images;
    captions.nseq = CAPTIONS, captions.seq = caption_seq, captions.causal = true;
    for (int i = 0; i < 5; i++) peak = fmax(peak, tc_kern_measure_peak(0.1));
    printf("level %s, %d threads, peak %.1f GFLOP/s\n%-32s %12s %s\n", tc_cpu_level(), tc_threads(),
           2e-9 * peak, "", "ref", "  then each level: time, speed, ratio to ref");
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) report(&benches[i], seconds, peak);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(*all[i]);
    return 0;
}
