/* teacher_cache.c - the teacher's features in a mapped file.
 *
 * A header page, then one row for each augmentation and sample: the image's feature, the text's, a checksum.
 * The header is what the key makes of it, byte for byte, so nothing is read from it that could be wrong: it
 * is equal, or the file is refused and the first difference told. Rows are filled when a batch first needs
 * them; until then they are holes of a sparse file. They are written with pwrite, since a mapping of a full
 * disk would be a signal, and read through the mapping. The checksum, seeded with key and row, is what makes
 * a row valid: a row that a killed run wrote in part, that was damaged or that lies in another's place is
 * computed again.
 *
 * A ResNet's last bits depend on the images that share its batch (net/session.c). So that a run does not
 * depend on where an earlier one ended, a batch with a missing row is computed whole, and of two values for
 * one row the first one counts: the same batch wrote it in the undisturbed run. */
#include "train/teacher_cache.h"

#include "text/tokenizer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char magic[8] = "TCTEACH\n", remedy[] = "name another folder, or remove the file";
enum { HEADER = 4096, VERSION = 1, FIELDS = 13 };

/* The header as 64-bit words, in the order of the machine: another one's version number is another one. */
enum { WORD_MAGIC, WORD_VERSION, WORD_FIRST, WORD_CHECKSUM = WORD_FIRST + FIELDS, WORDS = HEADER / 8 };

struct tc_teacher_cache {
    char *path;
    int fd;
    const uint8_t *data; /* the mapping, [size] */
    size_t size, row;    /* bytes */
    int64_t rows, samples, augmentations, dim;
    uint64_t key;  /* checksum of the header */
    uint8_t *line; /* [row] room for one that is written */
    bool dirty;
    tc_teacher_cache_counts counts;
};

/* ---- the key */

static uint64_t hash_preprocess(const tc_preprocess *p) {
    uint64_t sum = tc_hash((uint64_t)p->resize, (uint64_t)p->crop, (uint64_t)p->order * 2 + p->exif);
    sum = tc_checksum(sum, p->mean, sizeof p->mean);
    sum = tc_checksum(sum, p->std, sizeof p->std);
    return tc_checksum(sum, &p->rescale, sizeof p->rescale);
}

static uint64_t hash_templates(const tc_data *d) {
    uint64_t sum = (uint64_t)tc_data_templates(d);
    for (int i = 0; i < tc_data_templates(d); i++) sum = tc_hash_text(sum, tc_data_template(d, i));
    return sum;
}

static tc_status hash_config(const tc_config *c, uint64_t *sum, tc_error *err) {
    json_t *json = tc_config_full_json(c);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (!text) return tc_fail_memory(err, 4096);
    *sum = tc_checksum(0, text, strlen(text));
    free(text);
    return TC_OK;
}

tc_status tc_teacher_key_make(tc_teacher_key *key, const tc_teacher_use *use, tc_error *err) {
    bool random = use->crop_scale_min < 1 || use->flip || tc_data_templates(use->data) > 1;
    *key = (tc_teacher_key){.weights = use->weights,
                            .templates = hash_templates(use->data),
                            .context = use->context,
                            .preprocess = hash_preprocess(use->preprocess),
                            .crop_scale_min = use->crop_scale_min,
                            .flip = use->flip,
                            .seed = random ? use->seed : 0,
                            .augmentations = random ? use->augmentations : 1,
                            .samples = tc_data_count(use->data),
                            .dim = use->teacher->config.embed_dim};
    tc_status status = hash_config(&use->teacher->config, &key->config, err);
    if (status == TC_OK) status = tc_tokenizer_hash(use->tokenizer, &key->tokenizer, err);
    if (status == TC_OK) status = tc_data_hash(use->data, &key->data, err);
    return status;
}

/* ---- the header */

typedef enum field_kind { FIELD_HASH, FIELD_NUMBER, FIELD_REAL, FIELD_FLAG } field_kind;

/* In the order in which differences are looked for: what explains others comes first. */
static const struct {
    field_kind kind;
    const char *name;
} fields[FIELDS] = {{FIELD_HASH, "teacher (its configuration differs)"},
                    {FIELD_HASH, "teacher (its weights differ)"},
                    {FIELD_NUMBER, "number of samples"},
                    {FIELD_HASH, "list of prompt templates"},
                    {FIELD_HASH, "set of data (names, captions, labels, or files that have changed)"},
                    {FIELD_HASH, "tokenizer"},
                    {FIELD_NUMBER, "context length"},
                    {FIELD_HASH, "preprocessing of the images"},
                    {FIELD_REAL, "smallest crop"},
                    {FIELD_FLAG, "choice of mirroring"},
                    {FIELD_NUMBER, "number of augmentations"},
                    {FIELD_NUMBER, "seed"},
                    {FIELD_NUMBER, "length of the features"}};

static void make_header(const tc_teacher_key *k, uint64_t header[WORDS]) {
    uint64_t *f = header + WORD_FIRST, crop;
    memcpy(&crop, &k->crop_scale_min, sizeof crop);
    const uint64_t values[FIELDS] = {k->config,
                                     k->weights,
                                     (uint64_t)k->samples,
                                     k->templates,
                                     k->data,
                                     k->tokenizer,
                                     (uint64_t)k->context,
                                     k->preprocess,
                                     crop,
                                     k->flip,
                                     (uint64_t)k->augmentations,
                                     k->seed,
                                     (uint64_t)k->dim};
    memset(header, 0, HEADER);
    memcpy(header + WORD_MAGIC, magic, sizeof magic);
    header[WORD_VERSION] = VERSION;
    memcpy(f, values, sizeof values);
    header[WORD_CHECKSUM] = tc_checksum(0, header, WORD_CHECKSUM * sizeof *header);
}

static void print_field(field_kind kind, uint64_t value, char out[32]) {
    double x;
    memcpy(&x, &value, sizeof x);
    if (kind == FIELD_NUMBER) snprintf(out, 32, "%" PRIu64, value);
    else if (kind == FIELD_REAL) snprintf(out, 32, "%.9g", x);
    else if (kind == FIELD_FLAG) snprintf(out, 32, "%s", value ? "on" : "off");
    else snprintf(out, 32, "%016" PRIx64, value);
}

/* Why a header that is not the wanted one is refused. */
static tc_status refuse_header(const char *path, const uint64_t *is, const uint64_t *wanted, tc_error *err) {
    char there[32], here[32];
    if (is[WORD_MAGIC] != wanted[WORD_MAGIC])
        return tc_fail(err, TC_EFORMAT, "%s: not a teacher cache; %s", path, remedy);
    if (is[WORD_VERSION] != wanted[WORD_VERSION])
        return tc_fail(err, TC_EFORMAT, "%s: a teacher cache of version %" PRIu64 ", expected %d; %s", path,
                       is[WORD_VERSION], VERSION, remedy);
    if (is[WORD_CHECKSUM] != tc_checksum(0, is, WORD_CHECKSUM * sizeof *is))
        return tc_fail(err, TC_EFORMAT,
                       "%s: the header of the teacher cache is damaged, its checksum is wrong; %s", path,
                       remedy);
    for (int i = 0; i < FIELDS; i++) {
        if (is[WORD_FIRST + i] == wanted[WORD_FIRST + i]) continue;
        print_field(fields[i].kind, is[WORD_FIRST + i], there);
        print_field(fields[i].kind, wanted[WORD_FIRST + i], here);
        return tc_fail(err, TC_EARG, "%s: the teacher cache belongs to another %s: %s there, %s here; %s",
                       path, fields[i].name, there, here, remedy);
    }
    return tc_fail(err, TC_EFORMAT,
                   "%s: the header of the teacher cache is damaged, there are bytes behind its checksum; %s",
                   path, remedy);
}

/* ---- opening */

static tc_status io_fail(const tc_teacher_cache *c, const char *what, tc_error *err) {
    return tc_fail(err, TC_EIO, "%s: cannot %s: %s", c->path, what, strerror(errno));
}

static tc_status write_at(const tc_teacher_cache *c, const void *data, size_t size, size_t offset,
                          tc_error *err) {
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(c->fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) return io_fail(c, "write", err);
        done += (size_t)n;
    }
    return TC_OK;
}

static tc_status set_sizes(tc_teacher_cache *c, const tc_teacher_key *k, tc_error *err) {
    size_t feature, rows, all;
    bool ok = k->dim > 0 && k->samples > 0 && k->augmentations > 0 &&
              tc_mul((size_t)k->dim, 2 * sizeof(float), &feature) &&
              tc_add(feature, sizeof(uint64_t), &c->row) &&
              tc_mul((size_t)k->samples, (size_t)k->augmentations, &rows) && tc_mul(rows, c->row, &all) &&
              tc_add(all, HEADER, &c->size) && c->size <= INT64_MAX;
    if (!ok)
        return tc_fail(err, TC_EARG,
                       "%s: a teacher cache for %" PRId64 " samples with %" PRId64
                       " augmentations and features of %" PRId64 " numbers is larger than "
                       "a file can be",
                       c->path, k->samples, k->augmentations, k->dim);
    c->rows = (int64_t)rows;
    c->samples = k->samples;
    c->augmentations = k->augmentations;
    c->dim = k->dim;
    return TC_OK;
}

static tc_status open_file(tc_teacher_cache *c, struct stat *st, tc_error *err) {
    c->fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    if (c->fd < 0) return io_fail(c, "open", err);
    if (fstat(c->fd, st) != 0 || !S_ISREG(st->st_mode))
        return tc_fail(err, TC_EIO, "%s: not a regular file", c->path);
    if (flock(c->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? tc_fail(
                         err, TC_ESTATE,
                         "%s: another run is using this teacher cache; wait for it or name another folder",
                         c->path)
                   : io_fail(c, "lock", err);
    return fstat(c->fd, st) == 0 ? TC_OK : io_fail(c, "open", err); /* once more: now nobody writes */
}

/* The file grows with its rows, so that what is not there yet has to find room. */
static tc_status check_room(const tc_teacher_cache *c, const struct stat *st, tc_error *err) {
    struct statvfs fs;
    if (fstatvfs(c->fd, &fs) != 0) return io_fail(c, "ask for the free space", err);
    unsigned __int128 room = (unsigned __int128)fs.f_bavail * fs.f_frsize;
    unsigned __int128 has = (unsigned __int128)st->st_blocks * 512;
    if (c->size <= has || c->size - has <= room) return TC_OK;
    return tc_fail(err, TC_EIO,
                   "%s: the teacher cache takes %zu MB more, the disk has %zu MB; choose fewer augmentations "
                   "or a folder on another disk",
                   c->path, (size_t)((c->size - has) >> 20) + 1, (size_t)(room >> 20));
}

/* A file of size 0 is new; one that is the header alone was made by a run that was killed then. */
static tc_status check_file(const tc_teacher_cache *c, const struct stat *st, const uint64_t *header,
                            tc_error *err) {
    uint64_t is[WORDS];
    size_t size = (size_t)st->st_size;
    if (size == 0) return TC_OK;
    if (size < HEADER)
        return tc_fail(err, TC_EFORMAT, "%s: the teacher cache is cut short within its header; %s", c->path,
                       remedy);
    ssize_t n = pread(c->fd, is, HEADER, 0);
    if (n < 0) return io_fail(c, "read", err);
    if (n != HEADER || memcmp(is, header, HEADER) != 0) return refuse_header(c->path, is, header, err);
    if (size == HEADER || size == c->size) return TC_OK;
    return tc_fail(err, TC_EFORMAT, "%s: the teacher cache has %zu bytes, expected %zu; %s", c->path, size,
                   c->size, remedy);
}

static tc_status make_file(const tc_teacher_cache *c, const struct stat *st, const uint64_t *header,
                           tc_error *err) {
    if ((size_t)st->st_size == c->size) return TC_OK;
    tc_status status = st->st_size == 0 ? write_at(c, header, HEADER, 0, err) : TC_OK;
    if (status == TC_OK && (fdatasync(c->fd) != 0 || ftruncate(c->fd, (off_t)c->size) != 0))
        status = io_fail(c, "write", err);
    return status;
}

static tc_status open_cache(tc_teacher_cache *c, const char *dir, const tc_teacher_key *key, tc_error *err) {
    uint64_t header[WORDS];
    struct stat st;
    if (!(c->path = tc_path_join(dir, "teacher.cache"))) return tc_fail_memory(err, strlen(dir));
    make_header(key, header);
    c->key = header[WORD_CHECKSUM];
    tc_status status = set_sizes(c, key, err);
    if (status == TC_OK && !(c->line = tc_new(c->row, 1))) status = tc_fail_memory(err, c->row);
    if (status == TC_OK) status = tc_make_dirs(dir, err);
    if (status == TC_OK) status = open_file(c, &st, err);
    if (status != TC_OK) return status;
    status = check_file(c, &st, header, err);
    if (status == TC_OK) status = check_room(c, &st, err);
    if (status == TC_OK) status = make_file(c, &st, header, err);
    if (status != TC_OK && st.st_size == 0) unlink(c->path); /* it was made just now */
    if (status != TC_OK) return status;
    void *p = mmap(NULL, c->size, PROT_READ, MAP_SHARED, c->fd, 0);
    if (p == MAP_FAILED) return io_fail(c, "map", err);
    c->data = p;
    (void)madvise(p, c->size, MADV_RANDOM); /* a request: it may be refused */
    return TC_OK;
}

tc_status tc_teacher_cache_open(tc_teacher_cache **out, const char *dir, const tc_teacher_key *key,
                                tc_error *err) {
    tc_teacher_cache *c = tc_new(1, sizeof *c);
    *out = NULL;
    if (!c) return tc_fail_memory(err, sizeof *c);
    c->fd = -1;
    tc_status status = open_cache(c, dir, key, err);
    if (status != TC_OK) tc_teacher_cache_close(&c);
    *out = c;
    return status;
}

void tc_teacher_cache_close(tc_teacher_cache **out) {
    tc_teacher_cache *c = *out;
    if (!c) return;
    if (c->data) munmap((void *)(uintptr_t)c->data, c->size);
    if (c->fd >= 0) close(c->fd);
    free(c->path);
    free(c->line);
    free(c);
    *out = NULL;
}

const char *tc_teacher_cache_path(const tc_teacher_cache *c) { return c->path; }

size_t tc_teacher_cache_size(const tc_teacher_cache *c) { return c->size; }

tc_teacher_cache_counts tc_teacher_cache_count(const tc_teacher_cache *c) { return c->counts; }

/* ---- rows */

int64_t tc_teacher_cache_row(const tc_teacher_cache *c, int64_t augmentation, int64_t sample) {
    return augmentation % c->augmentations * c->samples + sample;
}

static size_t offset_of(const tc_teacher_cache *c, int64_t row) { return HEADER + (size_t)row * c->row; }

/* Never 0, which is what a hole reads as. */
static uint64_t row_checksum(const tc_teacher_cache *c, int64_t row, const void *values) {
    uint64_t sum = tc_checksum(tc_hash(c->key, (uint64_t)row, 0), values, c->row - sizeof(uint64_t));
    return sum ? sum : 1;
}

static bool read_row(const tc_teacher_cache *c, int64_t row, float *image, float *text, bool *damaged) {
    const uint8_t *values = c->data + offset_of(c, row);
    size_t bytes = (size_t)c->dim * sizeof(float);
    uint64_t sum;
    memcpy(&sum, values + 2 * bytes, sizeof sum);
    bool valid = sum != 0 && sum == row_checksum(c, row, values);
    *damaged = !valid && sum != 0;
    if (valid) {
        memcpy(image, values, bytes);
        memcpy(text, values + bytes, bytes);
    }
    /* the system keeps them as it likes; they are no memory of this process */
    tc_pages_let_go(values, c->row);
    return valid;
}

static tc_status check_rows(const tc_teacher_cache *c, const int64_t *rows, int n, tc_error *err) {
    struct stat st;
    if (fstat(c->fd, &st) != 0 || (size_t)st.st_size < c->size)
        return tc_fail(err, TC_EIO, "%s: the file was shortened while it was in use", c->path);
    for (int i = 0; i < n; i++)
        if (rows[i] < 0 || rows[i] >= c->rows)
            return tc_fail(err, TC_EARG, "%s: no row %" PRId64 ", there are %" PRId64, c->path, rows[i],
                           c->rows);
    return TC_OK;
}

tc_status tc_teacher_cache_read(tc_teacher_cache *c, const int64_t *rows, int n, float *image, float *text,
                                int *missing, tc_error *err) {
    tc_status status = check_rows(c, rows, n, err);
    bool damaged;
    *missing = 0;
    for (int64_t i = 0; i < n && status == TC_OK; i++)
        *missing += !read_row(c, rows[i], image + i * c->dim, text + i * c->dim, &damaged);
    if (status == TC_OK && *missing == 0) c->counts.found += n;
    return status;
}

tc_status tc_teacher_cache_fill(tc_teacher_cache *c, const int64_t *rows, int n, float *image, float *text,
                                tc_error *err) {
    tc_status status = check_rows(c, rows, n, err);
    size_t bytes = (size_t)c->dim * sizeof(float);
    for (int64_t i = 0; i < n && status == TC_OK; i++) {
        float *x = image + i * c->dim, *y = text + i * c->dim;
        bool damaged;
        if (read_row(c, rows[i], x, y, &damaged)) continue;
        memcpy(c->line, x, bytes);
        memcpy(c->line + bytes, y, bytes);
        uint64_t sum = row_checksum(c, rows[i], c->line);
        memcpy(c->line + 2 * bytes, &sum, sizeof sum);
        status = write_at(c, c->line, c->row, offset_of(c, rows[i]), err);
        c->dirty = true;
        c->counts.computed++;
        c->counts.damaged += damaged;
    }
    return status;
}

tc_status tc_teacher_cache_sync(tc_teacher_cache *c, tc_error *err) {
    if (!c->dirty) return TC_OK;
    if (fdatasync(c->fd) != 0) return io_fail(c, "write", err);
    c->dirty = false;
    return TC_OK;
}
