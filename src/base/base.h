/* base.h - what every folder uses: errors, checked sizes, memory, strings, files, random numbers.
 *
 * The function that detects an error writes the message with tc_fail; callers pass the status on in silence.
 */
#ifndef TC_BASE_H
#define TC_BASE_H

#include "tinyclip.h"

#include <stdarg.h>
#include <stdio.h>

/* The number type of all tensors in memory: float. The tests build the library a second time with double and
 * the plain-C kernels, to check gradients against central differences. */
#ifndef TC_REAL
#define TC_REAL float
#endif
typedef TC_REAL tc_real;

/* ---- errors */

/* Writes the message and returns `status`. err may be NULL. */
tc_status tc_fail(tc_error *err, tc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "PREFIX: " before the message that err holds and returns its status. */
tc_status tc_fail_in(tc_error *err, tc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
tc_status tc_fail_memory(tc_error *err, size_t bytes);

/* TC_EARG if there is anything in the reserved room of options of the type `what`: they are not from its
 * _default(), or made for a later version. */
tc_status tc_check_reserved(const uint64_t *reserved, size_t size, const char *what, tc_error *err);

/* ---- checked arithmetic: false on overflow, then *out is unspecified */

bool tc_add(size_t a, size_t b, size_t *out);
bool tc_mul(size_t a, size_t b, size_t *out);
bool tc_round_up(size_t a, size_t multiple, size_t *out);

/* ---- memory; NULL if it ran out or the size overflows */

/* n * size zeroed bytes; freed with free(). n * size of 0 gives a valid pointer. */
void *tc_new(size_t n, size_t size);
/* n * size bytes, 64-byte aligned, zeroed; freed with free(). */
void *tc_new_aligned(size_t n, size_t size);
/* The same without zeroing. */
void *tc_alloc_aligned(size_t n, size_t size);
char *tc_strdup(const char *s);
char *tc_strndup(const char *s, size_t n);
/* Grows *array so that it holds at least n items (doubling). */
bool tc_grow(void *array /* T ** */, size_t *capacity, size_t n, size_t size);

/* ---- growing byte string: always NUL-terminated; `failed` is set once memory ran out and stays set */

typedef struct tc_buf {
    char *data;
    size_t size, capacity;
    bool failed;
} tc_buf;
void tc_buf_add(tc_buf *b, const void *data, size_t size);
void tc_buf_puts(tc_buf *b, const char *s);
void tc_buf_printf(tc_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Gives the string away (caller frees) and empties b; NULL if it failed. */
char *tc_buf_take(tc_buf *b);
void tc_buf_free(tc_buf *b);

bool tc_starts_with(const char *s, const char *prefix);
bool tc_ends_with(const char *s, const char *suffix);
/* dir + "/" + name, newly allocated; NULL if memory ran out. */
char *tc_path_join(const char *dir, const char *name);
bool tc_path_exists(const char *path);
bool tc_path_is_dir(const char *path);
/* mkdir -p. */
tc_status tc_make_dirs(const char *path, tc_error *err);

/* ---- files */

typedef struct tc_map {
    const uint8_t *data; /* the file's bytes, read-only; NULL for an empty file */
    size_t size;
    int fd;
    char *path;
} tc_map;
tc_status tc_map_open(tc_map *m, const char *path, tc_error *err);
/* Error if the file is now shorter than it was: call it before reading through the mapping (a shortened file
 * would be SIGBUS). */
tc_status tc_map_check(const tc_map *m, tc_error *err);
/* Copies size bytes at offset, read from the file itself: an error, never a signal, if the file was
 * shortened. */
tc_status tc_map_read(const tc_map *m, size_t offset, void *out, size_t size, tc_error *err);
/* Whether these bytes lie in the mapping of a file. */
bool tc_map_holds(const tc_map *m, const void *data, size_t size);
/* Takes the pages of these bytes, which lie in the read-only mapping of a file, out of memory; whoever reads
 * them again gets them from the file again. Thread-safe. */
void tc_pages_let_go(const void *data, size_t size);
void tc_map_close(tc_map *m);

/* The whole file, NUL-terminated behind its end; at most `limit` bytes. The caller frees *data. */
tc_status tc_file_read(const char *path, size_t limit, char **data, size_t *size, tc_error *err);

/* Atomic writing: bytes go to a temporary file in the same folder; commit does fsync, rename and fsync of the
 * folder, so that either the old or the new file is there whatever happens. Errors stick: commit reports the
 * first one. */
typedef struct tc_writer tc_writer;
tc_status tc_writer_open(tc_writer **w, const char *path, tc_error *err);
void tc_writer_add(tc_writer *w, const void *data, size_t size);
/* Closes and frees *w in every case. */
tc_status tc_writer_commit(tc_writer **w, tc_error *err);
void tc_writer_abort(tc_writer **w);
/* Removes what writers in programs that were killed have left in a folder. Only where nobody is writing. */
void tc_remove_temporaries(const char *dir);
tc_status tc_file_write(const char *path, const void *data, size_t size, tc_error *err);

/* What a file is that begins with certain bytes, for messages about files that are not what they should be.
 */
typedef enum tc_kind_role { TC_KIND_OTHER, TC_KIND_PICTURE, TC_KIND_WEIGHTS } tc_kind_role;
typedef struct tc_file_kind {
    const char *what;   /* "a JPEG picture" */
    const char *remedy; /* what may help who wanted weights; NULL: nothing */
    size_t at, size;    /* of the mark */
    const char *mark;
    tc_kind_role role;
} tc_file_kind;
enum { TC_KIND_BYTES = 300 }; /* how many first bytes are looked at */
/* A text, or what has a mark; NULL if nothing tells. */
const tc_file_kind *tc_file_kind_of(const uint8_t *first, size_t n);

/* ---- random numbers: pure functions, so that order and augmentation depend on (seed, epoch, index) alone */

/* 64 well-mixed bits of the key. */
uint64_t tc_hash(uint64_t seed, uint64_t a, uint64_t b);
typedef struct tc_rng {
    uint64_t state;
} tc_rng;
tc_rng tc_rng_make(uint64_t seed, uint64_t a, uint64_t b);
uint64_t tc_rng_next(tc_rng *r);
/* Uniform in [0,1), 53 bits. */
double tc_rng_uniform(tc_rng *r);
/* Uniform in 0..n-1, n > 0. */
uint64_t tc_rng_below(tc_rng *r, uint64_t n);
double tc_rng_normal(tc_rng *r);
/* order[n] = a permutation of 0..n-1 (Fisher-Yates). */
void tc_rng_permutation(tc_rng *r, int64_t *order, int64_t n);

/* ---- log, time */

typedef struct tc_log {
    tc_log_fn fn;
    void *user;
} tc_log;
void tc_log_line(const tc_log *log, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Seconds of a monotonic clock. */
double tc_now(void);
/* "1:02:03" or "4:05" */
void tc_format_duration(double seconds, char *out, size_t size);

/* A 64-bit checksum over 8-byte words, for our own files and for cache keys (no defence against an attacker).
 * Pieces chain through `start`; every piece but the last must be a multiple of 8 bytes. */
uint64_t tc_checksum(uint64_t start, const void *data, size_t size);
/* The same over a text and its length, so that "ab", "c" and "a", "bc" differ. */
uint64_t tc_hash_text(uint64_t sum, const char *text);

#endif
