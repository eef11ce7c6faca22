/* cpu.c - chooses the level: the best that the CPU has, capped by TINYCLIP_CPU=ref|avx2|avx512; and holds the
 * number of threads.
 *
 * The choice is made once, at first use, since oneDNN accepts its own cap only before its first primitive. */
#include "kern/kern_priv.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 3 };

static const char *const level_names[LEVELS] = {"ref", "avx2", "avx512"};
static pthread_once_t choose_once = PTHREAD_ONCE_INIT;
static int best_level;

static void choose(void) {
    int cap = LEVELS - 1;
    const char *wish = getenv("TINYCLIP_CPU");
    for (int i = 0; wish && i < LEVELS; i++)
        if (strcmp(wish, level_names[i]) == 0) cap = i;
    best_level = 0;
    for (int i = 1; i <= cap; i++)
        if (tc_kern_simd(i) && tc_kern_simd_usable(i)) best_level = i;
    if (best_level > 0) tc_kern_simd_init(best_level);
}

static int chosen(void) {
    pthread_once(&choose_once, choose);
    return best_level;
}

const tc_kern *tc_kern_get(void) {
    int level = chosen();
    return level ? tc_kern_simd(level) : &tc_kern_ref;
}

const tc_kern *tc_kern_level(int i) {
    if (i < 0 || i > chosen()) return NULL;
    if (i == 0) return &tc_kern_ref;
    return tc_kern_simd_usable(i) ? tc_kern_simd(i) : NULL;
}

const char *tc_cpu_level(void) { return level_names[chosen()]; }

/* ---- threads */

static atomic_int thread_count; /* 0: not asked for yet */

/* A thread of a team works alone: what it calls opens no team of its own. */
int tc_threads(void) {
    if (omp_in_parallel()) return 1;
    int n = atomic_load_explicit(&thread_count, memory_order_relaxed);
    if (n > 0) return n;
    n = omp_get_max_threads();
    int none = 0;
    return atomic_compare_exchange_strong(&thread_count, &none, n) ? n : none;
}

void tc_set_threads(int n) {
    if (n < 1) n = omp_get_num_procs();
    atomic_store(&thread_count, n);
    omp_set_num_threads(n);
}

void tc_threads_apply(void) {
    int n = tc_threads();
    if (omp_get_max_threads() != n) omp_set_num_threads(n);
}

/* ---- the peak */

static double ref_peak(int64_t count) {
    tc_real x[8] = {0, 1, 2, 3, 4, 5, 6, 7}, a = (tc_real)0.999, b = (tc_real)0.001;
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j < 8; j++) x[j] = x[j] * a + b;
    volatile tc_real sink = 0;
    for (int j = 0; j < 8; j++) sink = sink + x[j];
    return 8.0 * (double)count;
}

double tc_kern_measure_peak(double seconds) {
    int level = chosen();
    double rate = 0;
#pragma omp parallel num_threads(tc_threads()) reduction(+ : rate)
    {
        double done = 0, start = tc_now(), spent;
        do {
            done += level ? tc_kern_simd_peak(level, 20000) : ref_peak(20000);
            spent = tc_now() - start;
        } while (spent < seconds || spent <= 0);
        rate += done / spent;
    }
    return rate;
}
