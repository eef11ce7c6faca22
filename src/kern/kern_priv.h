/* kern_priv.h - what the files of kern/ share: the tables of the levels, when to use threads. */
#ifndef TC_KERN_PRIV_H
#define TC_KERN_PRIV_H

#include "kern/kern.h"

/* Rows of a fixed block over which reductions are summed before the blocks are added in order: the result
 * then does not depend on the number of threads. */
enum { TC_REDUCE_ROWS = 64 };

/* Work (multiply-adds, or elements times their cost) below which a kernel stays on the calling thread: about
 * 20 microseconds of one core, several times what waking the others costs. */
enum { TC_PARALLEL_WORK = 1 << 17 };

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
