/* random.c - SplitMix64 (Steele, Lea, Flood 2014): every number is a hash of its position, so that any part
 * of a sequence can be computed alone, by any thread. Also the log line and the clock. */
#include "base/base.h"

#include <math.h>
#include <string.h>
#include <time.h>

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t tc_hash(uint64_t seed, uint64_t a, uint64_t b) {
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    return mix(mix(mix(seed + golden) + a + golden) + b + golden);
}

tc_rng tc_rng_make(uint64_t seed, uint64_t a, uint64_t b) { return (tc_rng){tc_hash(seed, a, b)}; }

uint64_t tc_rng_next(tc_rng *r) { return mix(r->state += 0x9e3779b97f4a7c15u); }

double tc_rng_uniform(tc_rng *r) { return (double)(tc_rng_next(r) >> 11) * 0x1p-53; }

/* The bias of the multiplication method is below n / 2^64. */
uint64_t tc_rng_below(tc_rng *r, uint64_t n) {
    return (uint64_t)(((unsigned __int128)tc_rng_next(r) * n) >> 64);
}

/* Box-Muller; one of the pair is dropped so that the generator has no second state. */
double tc_rng_normal(tc_rng *r) {
    double u = 1.0 - tc_rng_uniform(r), v = tc_rng_uniform(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void tc_rng_permutation(tc_rng *r, int64_t *order, int64_t n) {
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)tc_rng_below(r, (uint64_t)i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

void tc_log_line(const tc_log *log, int level, const char *format, ...) {
    if (!log || !log->fn) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log->fn(log->user, level, line);
}

double tc_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void tc_format_duration(double seconds, char *out, size_t size) {
    long s = seconds > 0 && seconds < 1e12 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600) snprintf(out, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(out, size, "%ld:%02ld", s / 60, s % 60);
}

uint64_t tc_checksum(uint64_t start, const void *data, size_t size) {
    const uint8_t *p = data;
    uint64_t h = start;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = mix(h ^ word ^ 0xcbf29ce484222325u) * 0x100000001b3u;
    }
    for (; size; size--, p++) h = mix(h ^ *p ^ 0xcbf29ce484222325u) * 0x100000001b3u;
    return h;
}

uint64_t tc_hash_text(uint64_t sum, const char *text) {
    size_t n = strlen(text);
    return tc_checksum(tc_hash(sum, n, 0), text, n);
}
