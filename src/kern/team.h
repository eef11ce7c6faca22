/* team.h - OpenMP's functions; for a compiler without it the pragmas mean nothing, and these say so: one
 * thread. */
#ifndef TC_TEAM_H
#define TC_TEAM_H

#ifdef _OPENMP
#include <omp.h>
enum { TC_TEAMS = 1 };
#else
enum { TC_TEAMS = 0 };
static inline int omp_in_parallel(void) { return 0; }
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_num_procs(void) { return 1; }
static inline void omp_set_num_threads(int n) { (void)n; }
#endif

#endif
