/* idx.c - IDX files as MNIST's (http://yann.lecun.com/exdb/mnist/): big-endian header, then unsigned bytes;
 * gzip-compressed or plain. Pictures are gray, their class gives the caption. All pictures are held in
 * memory. */
#include "data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const size_t memory_limit = (size_t)8 << 30;
enum { SIDE_LIMIT = 65535, PIECE = 1 << 24 };

typedef struct idx {
    uint8_t *pixels; /* [all,h,w] */
    uint8_t *labels; /* [all] */
    int64_t all, h, w;
    int64_t *kept; /* [count] numbers of the samples in the split, or NULL: all */
} idx;

/* ---- files */

static tc_status gz_fail(gzFile f, const char *path, tc_error *err) {
    int code = 0;
    const char *text = gzerror(f, &code);
    if (code == Z_ERRNO) return tc_fail(err, TC_EIO, "%s: cannot read: %s", path, strerror(errno));
    if (code == Z_MEM_ERROR) return tc_fail_memory(err, 0);
    return tc_fail(err, TC_EFORMAT, "%s: %s", path, code ? text : "the file is cut short");
}

/* Reads `size` bytes into a buffer that grows with what really comes, so that a lying header costs no memory.
 */
static tc_status read_growing(gzFile f, const char *path, size_t size, uint8_t **out, tc_error *err) {
    uint8_t *bytes = NULL;
    size_t capacity = 0, done = 0;
    tc_status status = TC_OK;
    while (status == TC_OK && done < size) {
        size_t piece = size - done < PIECE ? size - done : PIECE;
        int n = tc_grow(&bytes, &capacity, done + piece, 1) ? gzread(f, bytes + done, (unsigned)piece) : -1;
        if (capacity < done + piece) status = tc_fail_memory(err, done + piece);
        else if (n <= 0 || (size_t)n < piece) status = gz_fail(f, path, err);
        else done += piece;
    }
    if (status == TC_OK) {
        /* One byte more makes zlib check the sum at the end; a file cut within that sum gives 0 bytes and an
         * error. */
        uint8_t extra;
        int n = gzread(f, &extra, 1), code = Z_OK;
        gzerror(f, &code);
        if (n < 0 || code != Z_OK) status = gz_fail(f, path, err);
        else if (n > 0)
            status = tc_fail(err, TC_EFORMAT, "%s: more data than the sizes in its header say", path);
    }
    if (status != TC_OK) {
        free(bytes);
        bytes = NULL;
    }
    *out = bytes;
    return status;
}

static tc_status read_header(gzFile f, const char *path, int ndim, int64_t *sizes, size_t *total,
                             tc_error *err) {
    uint8_t head[4 + 4 * 4];
    int length = 4 + 4 * ndim;
    if (gzread(f, head, (unsigned)length) != length) return gz_fail(f, path, err);
    if (head[0] || head[1]) return tc_fail(err, TC_EFORMAT, "%s: not an IDX file", path);
    if (head[2] != 8 || head[3] != ndim)
        return tc_fail(err, TC_EFORMAT,
                       "%s: IDX type 0x%02x with %d axes, expected unsigned bytes (0x08) with %d", path,
                       head[2], head[3], ndim);
    *total = 1;
    for (int i = 0; i < ndim; i++) {
        const uint8_t *p = head + 4 + 4 * i;
        sizes[i] = (int64_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
        if (!tc_mul(*total, (size_t)sizes[i], total) || *total > memory_limit)
            return tc_fail(err, TC_EFORMAT, "%s: the header gives more than %zu bytes of data", path,
                           memory_limit);
    }
    if (*total == 0) return tc_fail(err, TC_EFORMAT, "%s: an axis of length 0", path);
    return TC_OK;
}

tc_status tc_idx_read(const char *path, int ndim, int64_t *sizes, uint8_t **bytes, tc_error *err) {
    struct stat st;
    size_t total;
    *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return tc_fail(err, TC_EIO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return tc_fail(err, TC_EIO, "%s: not a regular file", path);
    }
    gzFile f = gzdopen(fd, "rb");
    if (!f) {
        close(fd);
        return tc_fail_memory(err, 0);
    }
    gzbuffer(f, 1 << 18);
    tc_status status = read_header(f, path, ndim, sizes, &total, err);
    if (status == TC_OK) status = read_growing(f, path, total, bytes, err);
    gzclose(f);
    return status;
}

/* Reads one pair of files and puts it behind what x holds. */
static tc_status add_part(const tc_data *d, idx *x, const tc_idx_part *part, tc_error *err) {
    int64_t image_sizes[3], label_sizes[1];
    uint8_t *pixels = NULL, *labels = NULL;
    tc_status status = tc_idx_read(part->images, 3, image_sizes, &pixels, err);
    if (status == TC_OK) status = tc_idx_read(part->labels, 1, label_sizes, &labels, err);
    if (status != TC_OK) goto out;
    int64_t n = image_sizes[0], h = image_sizes[1], w = image_sizes[2];
    if (n != label_sizes[0])
        status = tc_fail(err, TC_EFORMAT, "%s: %lld labels for the %lld pictures of %s", part->labels,
                         (long long)label_sizes[0], (long long)n, part->images);
    else if (h > SIDE_LIMIT || w > SIDE_LIMIT ||
             (d->options.pixel_limit > 0 && h * w > d->options.pixel_limit))
        status = tc_fail(err, TC_EFORMAT, "%s: pictures of %lldx%lld pixels are too large", part->images,
                         (long long)w, (long long)h);
    else if (x->all && (h != x->h || w != x->w))
        status =
            tc_fail(err, TC_EFORMAT, "%s: pictures of another size than the part before it", part->images);
    for (int64_t i = 0; i < n && status == TC_OK; i++)
        if (labels[i] >= d->nclasses)
            status = tc_fail(err, TC_EFORMAT, "%s: label %d of sample %lld, but there are %d class names",
                             part->labels, labels[i], (long long)i, d->nclasses);
    if (status != TC_OK) goto out;
    size_t picture = (size_t)(h * w), capacity_pixels = 0, capacity_labels = 0;
    if (!tc_grow(&x->pixels, &capacity_pixels, (size_t)(x->all + n) * picture, 1) ||
        !tc_grow(&x->labels, &capacity_labels, (size_t)(x->all + n), 1)) {
        status = tc_fail_memory(err, (size_t)(x->all + n) * picture);
        goto out;
    }
    memcpy(x->pixels + (size_t)x->all * picture, pixels, (size_t)n * picture);
    memcpy(x->labels + x->all, labels, (size_t)n);
    x->all += n;
    x->h = h;
    x->w = w;
out:
    free(pixels);
    free(labels);
    return status;
}

/* ---- the source */

static const idx *state(const tc_data *d) { return d->state; }

static int64_t sample(const idx *x, int64_t i) { return x->kept ? x->kept[i] : i; }

static const char *idx_name(const tc_data *d, int64_t i, char *buffer, size_t size) {
    snprintf(buffer, size, "picture %lld", (long long)sample(state(d), i));
    return buffer;
}

static int idx_label(const tc_data *d, int64_t i) { return state(d)->labels[sample(state(d), i)]; }

static tc_status idx_image(const tc_data *d, int64_t i, const tc_preprocess *p, const tc_augment *a,
                           float *pixel_values, tc_error *err) {
    const idx *x = state(d);
    tc_image im;
    tc_status status =
        tc_image_from_gray(&im, x->pixels + (size_t)(sample(x, i) * x->h * x->w), (int)x->w, (int)x->h);
    return status == TC_OK ? tc_preprocess_image(p, &im, a, pixel_values, NULL, err) : status;
}

static tc_status idx_hash(const tc_data *d, uint64_t *sum, tc_error *err) {
    (void)err;
    const idx *x = state(d);
    size_t picture = (size_t)(x->h * x->w);
    *sum = tc_hash(*sum, (uint64_t)x->h, (uint64_t)x->w);
    for (int64_t i = 0; i < d->count; i++) {
        int64_t k = sample(x, i);
        *sum =
            tc_checksum(tc_hash(*sum, (uint64_t)k, x->labels[k]), x->pixels + (size_t)k * picture, picture);
    }
    return TC_OK;
}

static void idx_free(tc_data *d) {
    idx *x = d->state;
    if (!x) return;
    free(x->pixels);
    free(x->labels);
    free(x->kept);
    free(x);
}

static const tc_source idx_source = {.kind = "idx",
                                     .image = idx_image,
                                     .name = idx_name,
                                     .label = idx_label,
                                     .hash = idx_hash,
                                     .free = idx_free};

static tc_status keep_split(tc_data *d, idx *x, tc_error *err) {
    x->kept = tc_new((size_t)x->all, sizeof *x->kept);
    if (!x->kept) return tc_fail_memory(err, (size_t)x->all * sizeof *x->kept);
    d->count = 0;
    for (int64_t i = 0; i < x->all; i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)i);
        if (tc_split_keeps(d->split, name)) x->kept[d->count++] = i;
    }
    return TC_OK;
}

tc_status tc_idx_open(tc_data *d, const tc_idx_part *parts, int nparts, bool own_split, tc_error *err) {
    idx *x = tc_new(1, sizeof *x);
    d->source = &idx_source;
    d->state = x;
    if (!x) return tc_fail_memory(err, sizeof *x);
    for (int i = 0; i < nparts; i++) {
        tc_status status = add_part(d, x, &parts[i], err);
        if (status != TC_OK) return status;
    }
    d->count = x->all;
    return own_split || d->split == TC_SPLIT_WHOLE ? TC_OK : keep_split(d, x, err);
}

#define PREFIX "idx:"

/* idx:IMAGES,LABELS,CLASSES */
static tc_status open_spec(tc_data *d, const char *spec, tc_error *err) {
    char *names = tc_strdup(spec + strlen(PREFIX)), *images = names, *labels, *classes;
    tc_status status;
    if (!names) return tc_fail_memory(err, strlen(spec));
    labels = strchr(images, ',');
    classes = labels ? strchr(labels + 1, ',') : NULL;
    if (!classes || strchr(classes + 1, ',')) {
        status = tc_fail(err, TC_EARG, "%s: expected idx:IMAGES,LABELS,CLASSES", spec);
    } else {
        *labels++ = 0;
        *classes++ = 0;
        status = tc_lines_read(&d->classes, &d->nclasses, classes, NULL, true, err);
        if (status == TC_OK) status = tc_idx_open(d, &(tc_idx_part){images, labels}, 1, false, err);
    }
    free(names);
    return status;
}

static bool takes(const char *spec) { return tc_starts_with(spec, PREFIX); }

const tc_data_form tc_form_idx = {"idx:IMAGES,LABELS,CLASSES", NULL, takes, open_spec};
