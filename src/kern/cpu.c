/* cpu.c - chooses the level: the best that the CPU has, capped by TINYCLIP_CPU; and holds the number of
 * threads.
 *
 * The choice is made once, at first use, since oneDNN accepts its own cap only before its first primitive. */
#include "kern/kern_priv.h"
#include "kern/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t choose_once = PTHREAD_ONCE_INIT;
static int best_level;

static bool usable(int i) { return !tc_levels[i].usable || tc_levels[i].usable(); }

static void choose(void) {
    int cap = tc_level_count - 1;
    const char *wish = getenv("TINYCLIP_CPU");
    for (int i = 0; wish && i < tc_level_count; i++)
        if (strcmp(wish, tc_levels[i].kern->name) == 0) cap = i;
    for (int i = 0; i <= cap; i++)
        if (usable(i)) best_level = i;
    if (tc_levels[best_level].init) tc_levels[best_level].init();
}

static const tc_level *chosen(void) {
    pthread_once(&choose_once, choose);
    return &tc_levels[best_level];
}

const tc_kern *tc_kern_get(void) { return chosen()->kern; }

const tc_kern *tc_kern_level(int i) {
    if (i < 0 || i > chosen() - tc_levels || !usable(i)) return NULL;
    return tc_levels[i].kern;
}

const char *tc_cpu_level(void) { return chosen()->kern->name; }

/* ---- threads */

static atomic_int thread_count; /* 0: not asked for yet */

static _Thread_local int own_count; /* of the calling thread, in tc_threads_enter; 0: the process's */

/* A thread of a team works alone: what it calls opens no team of its own. */
int tc_threads(void) {
    if (omp_in_parallel()) return 1;
    if (own_count > 0) return own_count;
    int n = atomic_load_explicit(&thread_count, memory_order_relaxed);
    if (n > 0) return n;
    n = omp_get_max_threads();
    int none = 0;
    return atomic_compare_exchange_strong(&thread_count, &none, n) ? n : none;
}

void tc_set_threads(int n) {
    if (n < 1 || !TC_TEAMS) n = omp_get_num_procs();
    atomic_store(&thread_count, n);
    omp_set_num_threads(n);
}

void tc_threads_apply(void) {
    int n = tc_threads();
    if (omp_get_max_threads() != n) omp_set_num_threads(n);
}

int tc_threads_enter(int n) {
    int before = own_count;
    if (n < 1 || !TC_TEAMS) return before;
    tc_threads(); /* the process's number is asked for before it is hidden */
    own_count = n;
    return before;
}

void tc_threads_leave(int before) {
    if (own_count == before) return;
    own_count = before;
    tc_threads_apply();
}

/* ---- the peak */

double tc_kern_measure_peak(double seconds) {
    const tc_level *level = chosen();
    double rate = 0;
#pragma omp parallel num_threads(tc_threads()) reduction(+ : rate)
    {
        double done = 0, start = tc_now(), spent;
        do {
            done += level->peak(20000);
            spent = tc_now() - start;
        } while (spent < seconds || spent <= 0);
        rate += done / spent;
    }
    return rate;
}
