/* cpu.c - chooses the level: the best that the CPU has, capped by TINYCLIP_CPU.
 *
 * The choice is made once, at first use, since oneDNN accepts its own cap only before its first primitive. */
#include "kern/kern_priv.h"

#include <pthread.h>
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

/* ---- the peak */

typedef struct peak_work {
    const tc_level *level;
    double seconds;
    pthread_mutex_t lock;
    double rate; /* of all threads */
} peak_work;

static void peak_range(void *user, int64_t first, int64_t end) {
    peak_work *k = user;
    double done = 0, start = tc_now(), spent;
    (void)first, (void)end;
    do {
        done += k->level->peak(20000);
        spent = tc_now() - start;
    } while (spent < k->seconds || spent <= 0);
    pthread_mutex_lock(&k->lock);
    k->rate += done / spent;
    pthread_mutex_unlock(&k->lock);
}

double tc_kern_measure_peak(double seconds) {
    peak_work k = {.level = chosen(), .seconds = seconds, .lock = PTHREAD_MUTEX_INITIALIZER};
    tc_parallel(tc_threads(), INT64_MAX, peak_range, &k);
    pthread_mutex_destroy(&k.lock);
    return k.rate;
}
