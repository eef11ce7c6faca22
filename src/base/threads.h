/* threads.h - work that is shared between threads.
 *
 * Each thread that shares out work has a team of helpers of its own: they are started when it first needs
 * them and end with it. A helper without work watches for it for a tenth of a millisecond, longer than the
 * gaps between kernels, and then sleeps, so that threads which wait take no processor from another program.
 * Where all threads of a process may run, how many there are is the process's number (tc_set_threads) or that
 * of the calling thread (tc_threads_enter). */
#ifndef TC_THREADS_H
#define TC_THREADS_H

#include "base/base.h"

/* Work (multiply-adds, or elements times their cost) below which sharing does not pay: about 20 microseconds
 * of one core, several times what it costs. */
enum { TC_PARALLEL_WORK = 1 << 17 };

/* Calls part(user, first, end) for ranges that make up 0 .. n-1: one a thread, as equal as can be, in their
 * order. Where `work` is no more than TC_PARALLEL_WORK, and on a thread that has been given a part itself,
 * there is one range. Returns when all parts are done. */
void tc_parallel(int64_t n, int64_t work, void (*part)(void *user, int64_t first, int64_t end), void *user);
/* Calls one(user, i) for i = 0 .. n-1, each on the next thread that is free: for parts of unlike length. */
void tc_parallel_each(int64_t n, void (*one)(void *user, int64_t i), void *user);

/* Processors that this process may use. */
int tc_processors(void);
/* What the calling thread does from here on is done by n threads (n < 1: as many as before), whatever
 * tc_set_threads says; gives what tc_threads_leave takes to end it. */
int tc_threads_enter(int n);
void tc_threads_leave(int before);

#endif
