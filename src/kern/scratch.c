/* scratch.c - one buffer a thread for packed blocks of the kernels. It grows by whole megabytes to the
 * largest size asked for and goes with its thread. */
#include "kern/kern_priv.h"

#include <pthread.h>
#include <stdlib.h>

enum { STEP = 1 << 20 };

typedef struct scratch {
    size_t size;
    void *data;
} scratch;

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool key_valid;

static void release(void *p) {
    scratch *s = p;
    free(s->data);
    free(s);
}

static void make_key(void) { key_valid = pthread_key_create(&key, release) == 0; }

void *tc_scratch(size_t bytes) {
    pthread_once(&key_once, make_key);
    if (!key_valid) return NULL;
    scratch *s = pthread_getspecific(key);
    if (!s) {
        s = tc_new(1, sizeof *s);
        if (!s || pthread_setspecific(key, s) != 0) {
            free(s);
            return NULL;
        }
    }
    if (s->size < bytes) {
        free(s->data);
        s->size = 0;
        s->data = tc_round_up(bytes, STEP, &bytes) ? tc_new_aligned(bytes, 1) : NULL;
        if (s->data) s->size = bytes;
    }
    return s->data;
}
