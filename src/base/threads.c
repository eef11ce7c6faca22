/* threads.c - teams of helpers, see threads.h.
 *
 * A job is written into the team before its helpers are told of it: each has a count of the jobs that it was
 * given. Both sides follow one rule for sleeping: who is about to sleep says so first and looks again then;
 * who changes what is waited for changes it first and looks then whether somebody sleeps. So one of the two
 * sees the other. After a fork the helpers are not there, and the child makes a team of its own. */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause() /* leaves the core to its other thread for a moment */
#else
#define RELAX() ((void)0)
#endif

static const double WATCH_SECONDS = 1e-4;
enum { LOOKS = 64 }; /* between two looks at the clock */

/* What a thread waits for: that `count` changes. */
typedef struct signal_count {
    atomic_uint count;
    atomic_bool asleep;
    pthread_mutex_t lock;
    pthread_cond_t changed;
} signal_count;

typedef struct helper {
    _Alignas(64) signal_count given;
    struct team *team;
    int number; /* of the helper's range */
    pthread_t thread;
} helper;

typedef struct team {
    helper **helpers;
    int count;
    size_t capacity;
    unsigned generation; /* forks before it was made */
    /* the job */
    void (*part)(void *user, int64_t first, int64_t end);
    void *user;
    int64_t n;
    int parts;
    bool watch; /* there is a processor for each thread */
    atomic_int left;
    signal_count done;
} team;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool key_valid;
static atomic_uint forks;
static atomic_int thread_count; /* 0: not asked for yet */
static _Thread_local bool has_part;
static _Thread_local int scope; /* 0: the process's number */
static _Thread_local team *mine;

/* ---- waiting */

static void signal_init(signal_count *s) {
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
}

static void signal_release(signal_count *s) {
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
}

static void signal_raise(signal_count *s) {
    atomic_fetch_add(&s->count, 1);
    if (!atomic_load(&s->asleep)) return;
    pthread_mutex_lock(&s->lock);
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static bool changes_soon(const signal_count *s, unsigned from) {
    for (double start = tc_now(); tc_now() - start < WATCH_SECONDS;)
        for (int i = 0; i < LOOKS; i++) {
            if (atomic_load_explicit(&s->count, memory_order_acquire) != from) return true;
            RELAX();
        }
    return false;
}

static void signal_wait(signal_count *s, unsigned from, bool watch) {
    if (watch && changes_soon(s, from)) return;
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->asleep, true);
    while (atomic_load(&s->count) == from) pthread_cond_wait(&s->changed, &s->lock);
    atomic_store(&s->asleep, false);
    pthread_mutex_unlock(&s->lock);
}

/* ---- a team */

/* The first n % parts ranges are one longer than the others. */
static void run_part(const team *t, int number) {
    int64_t each = t->n / t->parts, longer = t->n % t->parts;
    int64_t first = number * each + (number < longer ? number : longer);
    t->part(t->user, first, first + each + (number < longer));
}

static void *help(void *user) {
    helper *h = user;
    team *t = h->team;
    bool watch = true;
    has_part = true;
    for (unsigned seen = 0;; seen++) {
        signal_wait(&h->given, seen, watch);
        if (!t->part) return NULL;
        watch = t->watch;
        run_part(t, h->number);
        if (atomic_fetch_sub(&t->left, 1) == 1) signal_raise(&t->done);
    }
}

static void team_free(void *user) {
    team *t = user;
    if (t->generation != atomic_load(&forks)) return; /* the copy of a fork: nobody is there to be joined */
    t->part = NULL;
    for (int i = 0; i < t->count; i++) {
        signal_raise(&t->helpers[i]->given);
        pthread_join(t->helpers[i]->thread, NULL);
        signal_release(&t->helpers[i]->given);
        free(t->helpers[i]);
    }
    signal_release(&t->done);
    free(t->helpers);
    free(t);
}

static void count_fork(void) { atomic_fetch_add(&forks, 1); }

static void begin(void) {
    key_valid = pthread_key_create(&key, team_free) == 0;
    pthread_atfork(NULL, NULL, count_fork);
}

/* Signals are the program's own threads' business. */
static bool helper_start(team *t) {
    sigset_t all, before;
    helper *h = tc_new_aligned(1, sizeof *h);
    if (!h || !tc_grow(&t->helpers, &t->capacity, (size_t)t->count + 1, sizeof *t->helpers)) {
        free(h);
        return false;
    }
    h->team = t;
    h->number = t->count + 1;
    signal_init(&h->given);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(&h->thread, NULL, help, h) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok) {
        t->helpers[t->count++] = h;
        return true;
    }
    signal_release(&h->given);
    free(h);
    return false;
}

/* The calling thread's team with that many helpers, or as many as can be had; NULL: none. */
static team *team_of(int helpers) {
    pthread_once(&once, begin);
    if (!mine || mine->generation != atomic_load(&forks)) {
        team *t = key_valid ? tc_new(1, sizeof *t) : NULL;
        if (!t || pthread_setspecific(key, t) != 0) {
            free(t);
            return NULL;
        }
        t->generation = atomic_load(&forks);
        signal_init(&t->done);
        mine = t;
    }
    while (mine->count < helpers && helper_start(mine)) continue;
    return mine->count ? mine : NULL;
}

void tc_parallel(int64_t n, int64_t work, void (*part)(void *user, int64_t first, int64_t end), void *user) {
    int threads = work > TC_PARALLEL_WORK && n > 1 ? tc_threads() : 1;
    if (threads > n) threads = (int)n;
    team *t = threads > 1 ? team_of(threads - 1) : NULL;
    if (!t) {
        if (n > 0) part(user, 0, n);
        return;
    }
    t->part = part, t->user = user, t->n = n;
    t->parts = threads <= t->count ? threads : t->count + 1;
    t->watch = t->parts <= tc_processors();
    atomic_store(&t->left, t->parts - 1);
    unsigned before = atomic_load(&t->done.count);
    for (int i = 1; i < t->parts; i++) signal_raise(&t->helpers[i - 1]->given);
    has_part = true;
    run_part(t, 0);
    has_part = false;
    signal_wait(&t->done, before, t->watch);
}

typedef struct each_job {
    void (*one)(void *user, int64_t i);
    void *user;
    int64_t n;
    atomic_llong next;
} each_job;

static void each_part(void *user, int64_t first, int64_t end) {
    each_job *j = user;
    (void)first, (void)end;
    for (int64_t i; (i = atomic_fetch_add(&j->next, 1)) < j->n;) j->one(j->user, i);
}

void tc_parallel_each(int64_t n, void (*one)(void *user, int64_t i), void *user) {
    each_job j = {.one = one, .user = user, .n = n};
    tc_parallel(n < tc_threads() ? n : tc_threads(), INT64_MAX, each_part, &j);
}

/* ---- how many */

int tc_processors(void) {
    static atomic_int found;
    int n = atomic_load_explicit(&found, memory_order_relaxed);
    cpu_set_t set;
    if (n) return n;
    n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1) n = 1;
    atomic_store(&found, n);
    return n;
}

/* OMP_NUM_THREADS is what programs of this kind are told by. */
static int first_count(void) {
    const char *wish = getenv("OMP_NUM_THREADS");
    int n = wish ? atoi(wish) : 0;
    return n > 0 ? n : tc_processors();
}

/* A thread that has been given a part works on it alone. */
int tc_threads(void) {
    if (has_part) return 1;
    if (scope) return scope;
    int n = atomic_load_explicit(&thread_count, memory_order_relaxed);
    if (n > 0) return n;
    n = first_count();
    int none = 0;
    return atomic_compare_exchange_strong(&thread_count, &none, n) ? n : none;
}

void tc_set_threads(int n) { atomic_store(&thread_count, n < 1 ? tc_processors() : n); }

int tc_threads_enter(int n) {
    int before = scope;
    if (n > 0) scope = n;
    return before;
}

void tc_threads_leave(int before) { scope = before; }
