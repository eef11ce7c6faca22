/* memory.c - allocation with checked sizes, and the growing byte string. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE_PAGE = 2 << 20 };

void *tc_new(size_t n, size_t size) { return calloc(n ? n : 1, size ? size : 1); }

/* Large blocks lie on large pages where the system gives them on request: matrix products walk across rows
 * that are several small pages apart. */
void *tc_alloc_aligned(size_t n, size_t size) {
    size_t bytes, alignment = 64;
    if (!tc_mul(n, size, &bytes)) return NULL;
    if (bytes >= LARGE_PAGE) alignment = LARGE_PAGE;
    if (!tc_round_up(bytes ? bytes : 1, 64, &bytes)) return NULL;
    void *p;
    if (posix_memalign(&p, alignment, bytes) != 0) return NULL;
    if (alignment == LARGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

void *tc_new_aligned(size_t n, size_t size) {
    void *p = tc_alloc_aligned(n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

char *tc_strndup(const char *s, size_t n) {
    size_t bytes;
    if (!tc_add(n, 1, &bytes)) return NULL;
    char *copy = malloc(bytes);
    if (!copy) return NULL;
    memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *tc_strdup(const char *s) { return tc_strndup(s, strlen(s)); }

bool tc_grow(void *array, size_t *capacity, size_t n, size_t size) {
    if (n <= *capacity) return true;
    size_t wanted = *capacity > SIZE_MAX / 2 ? n : *capacity * 2, bytes;
    if (wanted < n) wanted = n;
    if (wanted < 16) wanted = 16;
    if (!tc_mul(wanted, size, &bytes)) return false;
    void *old;
    memcpy(&old, array, sizeof old);
    void *grown = realloc(old, bytes);
    if (!grown) return false;
    memcpy(array, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}

void tc_buf_add(tc_buf *b, const void *data, size_t size) {
    size_t need;
    if (b->failed) return;
    if (!tc_add(b->size, size, &need) || !tc_add(need, 1, &need) ||
        !tc_grow(&b->data, &b->capacity, need, 1)) {
        b->failed = true;
        return;
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
}

void tc_buf_puts(tc_buf *b, const char *s) { tc_buf_add(b, s, strlen(s)); }

void tc_buf_printf(tc_buf *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size_t need;
    if (n < 0 || b->failed || !tc_add(b->size, (size_t)n + 1, &need) ||
        !tc_grow(&b->data, &b->capacity, need, 1)) {
        b->failed = true;
    } else {
        vsnprintf(b->data + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
}

char *tc_buf_take(tc_buf *b) {
    tc_buf_add(b, "", 0);
    char *data = b->failed ? NULL : b->data;
    if (b->failed) free(b->data);
    *b = (tc_buf){0};
    return data;
}

void tc_buf_free(tc_buf *b) {
    free(b->data);
    *b = (tc_buf){0};
}
