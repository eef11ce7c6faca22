/* kern_priv.h - what the files of kern/ share: the tables of the levels, when to use threads. */
#ifndef TC_KERN_PRIV_H
#define TC_KERN_PRIV_H

#include "base/threads.h"
#include "kern/kern.h"

/* Rows of a fixed block over which reductions are summed before the blocks are added in order: the result
 * then does not depend on the number of threads. */
enum { TC_REDUCE_ROWS = 64 };

extern const tc_kern tc_kern_ref;

/* A level: its kernels, and what they ask of the machine. */
typedef struct tc_level {
    const tc_kern *kern;
    bool (*usable)(void); /* whether this CPU and its operating system run it; NULL: all do */
    void (*init)(void);   /* called once, before any kernel runs; NULL: nothing to do */
    /* Does `count` steps of the peak loop on the calling thread and returns the multiply-accumulates done. */
    double (*peak)(int64_t count);
} tc_level;
/* Those of this architecture from ref to the best: x86/x86_levels.c; plain_levels.c where there is only ref,
 * as in the double build. */
extern const tc_level tc_levels[];
extern const int tc_level_count;

double tc_ref_peak(int64_t count);

/* At least `bytes` bytes, 64-byte aligned, that belong to the calling thread until its next call; NULL if
 * memory ran out. */
void *tc_scratch(size_t bytes);

#endif
