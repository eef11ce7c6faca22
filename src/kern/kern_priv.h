/* kern_priv.h - what the files of kern/ share: the tables of the levels, the form of a prepared weight, when
 * to use threads. */
#ifndef TC_KERN_PRIV_H
#define TC_KERN_PRIV_H

#include "kern/kern.h"

#include <pthread.h>
#include <stdatomic.h>

/* Rows of a fixed block over which reductions are summed before the blocks are added in order: the result
 * then does not depend on the number of threads. */
enum { TC_REDUCE_ROWS = 64 };

/* Work (multiply-adds, or elements times their cost) below which a kernel stays on the calling thread: about
 * 20 microseconds of one core, several times what waking the others costs. */
enum { TC_PARALLEL_WORK = 1 << 17 };

struct tc_linear {
    int64_t n, k;
    int act;
    bool add;
    tc_real *bias;             /* [n], zeros behind it for whole panels */
    tc_weight weight;          /* only while not packed */
    _Atomic(tc_real *) packed; /* the level's own form, or NULL: not yet */
    struct tc_chunk *chunk;    /* where that lies */
    atomic_int runs;           /* before it was packed */
    pthread_mutex_t lock;      /* of packing */
};
enum { TC_BIAS_PADDING = 64 };

/* ---- linear.c: what every level does with one. NULL if memory ran out; bias may be NULL. */
tc_linear *tc_linear_new(const tc_real *bias, int64_t n, int64_t k, int act, bool add);
void tc_linear_free(tc_linear *l);
/* Room for n numbers of the packed weight, which goes with it; NULL if memory ran out. */
tc_real *tc_linear_room(tc_linear *l, size_t n);
/* The packed weight; NULL in the first run of one that may wait, and if memory ran out: then the weight is to
 * be used where it lies. */
const tc_real *tc_linear_packed(tc_linear *l, tc_real *(*pack)(tc_linear *l));

extern const tc_kern tc_kern_ref;

/* The level's table or NULL if the library has none (the double build); x86/x86_levels.c. */
const tc_kern *tc_kern_simd(int level);
/* Whether this CPU and its operating system run the level. */
bool tc_kern_simd_usable(int level);
/* Does `count` steps of the peak loop of a level on the calling thread and returns the multiply-accumulates
 * done. */
double tc_kern_simd_peak(int level, int64_t count);
/* Called once, before any kernel runs: caps oneDNN at this level. */
void tc_kern_simd_init(int level);

/* At least `bytes` bytes, 64-byte aligned, that belong to the calling thread until its next call; NULL if
 * memory ran out. */
void *tc_scratch(size_t bytes);

/* Makes omp_get_max_threads() of the calling thread agree with tc_threads(): oneDNN asks it. */
void tc_threads_apply(void);

#endif
