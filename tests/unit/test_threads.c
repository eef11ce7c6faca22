/* test_threads.c - sharing of work: every index once, in the ranges that are promised, from several threads
 * at once, nested, and after a fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 1000, ROUNDS = 300, MUCH = 1 << 20 };

typedef struct marks {
    atomic_int seen[MOST];
    atomic_int parts;
    int64_t n, threads;
} marks;

static void mark(void *user, int64_t first, int64_t end) {
    marks *m = user;
    int64_t each = m->n / m->threads, longer = m->n % m->threads, number = -1;
    for (int64_t i = 0; i < m->threads; i++)
        if (first == i * each + (i < longer ? i : longer)) number = i;
    assert_true(number >= 0 && end == first + each + (number < longer));
    for (int64_t i = first; i < end; i++) atomic_fetch_add(&m->seen[i], 1);
    atomic_fetch_add(&m->parts, 1);
}

static void share(int64_t n, int threads) {
    marks *m = tc_new(1, sizeof *m);
    assert_non_null(m);
    m->n = n;
    m->threads = n < threads ? n : threads;
    tc_parallel(n, MUCH, mark, m);
    for (int64_t i = 0; i < MOST; i++) assert_int_equal(atomic_load(&m->seen[i]), i < n);
    assert_int_equal(atomic_load(&m->parts), m->threads);
    free(m);
}

static void every_index_once(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 64, 999, MOST};
    for (int threads = 1; threads <= 9; threads++) {
        tc_set_threads(threads);
        assert_int_equal(tc_threads(), threads);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) share(sizes[i], threads);
    }
    tc_set_threads(0);
    assert_int_equal(tc_threads(), tc_processors());
}

static void *share_often(void *user) {
    int threads = *(int *)user;
    int before = tc_threads_enter(threads);
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 100 == 0) usleep(500); /* until the helpers sleep */
        share(1 + i * 7 % MOST, threads);
    }
    tc_threads_leave(before);
    assert_int_equal(tc_threads(), 2);
    return NULL;
}

/* Each with its own number of threads, whatever the process's is. */
static void several_at_once(void **state) {
    (void)state;
    pthread_t t[4];
    int threads[4] = {1, 2, 3, 5};
    tc_set_threads(2);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, share_often, &threads[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    assert_int_equal(tc_threads(), 2);
}

static void add_one(void *user, int64_t first, int64_t end) {
    assert_true(first == 0 && end == 5);
    atomic_fetch_add((atomic_int *)user, 1);
}

static void share_again(void *user, int64_t first, int64_t end) {
    assert_int_equal(tc_threads(), 1);
    for (; first < end; first++) tc_parallel(5, MUCH, add_one, user);
}

static void parts_are_not_shared_again(void **state) {
    (void)state;
    atomic_int calls = 0;
    tc_set_threads(3);
    tc_parallel(10, MUCH, share_again, &calls);
    assert_int_equal(atomic_load(&calls), 10);
    assert_int_equal(tc_threads(), 3);
}

static void little_work_stays(void **state) {
    (void)state;
    atomic_int calls = 0;
    tc_set_threads(3);
    tc_parallel(5, TC_PARALLEL_WORK, add_one, &calls);
    assert_int_equal(atomic_load(&calls), 1);
}

static void count(void *user, int64_t i) { atomic_fetch_add((atomic_int *)user + i, 1); }

static void each_once(void **state) {
    (void)state;
    for (int threads = 1; threads < 5; threads++)
        for (int n = 0; n <= 50; n++) {
            atomic_int seen[50] = {0};
            tc_set_threads(threads);
            tc_parallel_each(n, count, seen);
            for (int i = 0; i < 50; i++) assert_int_equal(atomic_load(&seen[i]), i < n);
        }
}

/* The helpers do not live in a child: it must neither wait for them nor lose work. */
static void after_a_fork(void **state) {
    (void)state;
    int code = -1;
    tc_set_threads(3);
    share(MOST, 3);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        share(MOST, 3);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    share(MOST, 3);
}

/* A thread of the parent that has a team, and forks; in the child it ends as threads do. */
static void *fork_and_end(void *user) {
    pid_t *child = user;
    share(MOST, 3);
    *child = fork();
    if (*child == 0) {
        alarm(20);
        pthread_exit(NULL);
    }
    return NULL;
}

static void a_forked_thread_ends(void **state) {
    (void)state;
    int code = -1;
    pid_t child = -1;
    pthread_t thread;
    tc_set_threads(3);
    assert_int_equal(pthread_create(&thread, NULL, fork_and_end, &child), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(parts_are_not_shared_again),
        cmocka_unit_test(little_work_stays),
        cmocka_unit_test(each_once),
        cmocka_unit_test(after_a_fork),
        cmocka_unit_test(a_forked_thread_ends),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
