/* archive.c - the container of PyTorch files.
 *
 * libzip opens the archive with its consistency checks and reads the small members; what weights lie in is
 * used where it is mapped, so the place of each member is worked out here too. Both must agree. Rules that
 * libzip does not have: the members follow each other from the first byte to the central directory without a
 * hole, the end records are the last bytes, names are unique and lie in one folder, nothing is encrypted. So
 * there is one way to read the file, and nothing hides in it. */
#include "base/threads.h"
#include "store/archive.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

enum { LOCAL = 30, CENTRAL = 46, END = 22, END64 = 56, LOCATOR = 20, DIRECTORY_LIMIT = 1 << 28 };
enum { ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13, DESCRIPTOR = 1 << 3 };
static const uint8_t local_mark[] = "PK\3\4", central_mark[] = "PK\1\2", end_mark[] = "PK\5\6",
                     end64_mark[] = "PK\6\6", locator_mark[] = "PK\6\7", descriptor_mark[] = "PK\7\10";

struct tc_archive {
    tc_bytes bytes;
    zip_t *zip;
    char *names;
    tc_member *members; /* sorted by name */
    size_t count, prefix;
};

/* Where the central directory lies and where the end records begin. */
typedef struct ending {
    uint64_t count, size, offset;
    size_t start;
} ending;

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16; }
static uint64_t get64(const uint8_t *p) { return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32; }
static bool marked(const uint8_t *p, const uint8_t *mark) { return memcmp(p, mark, 4) == 0; }

/* ---- bytes */

tc_status tc_bytes_read(const tc_bytes *b, size_t offset, void *out, size_t size, tc_error *err) {
    if (b->map) return tc_map_read(b->map, offset, out, size, err);
    if (offset > b->size || size > b->size - offset)
        return tc_fail(err, TC_EFORMAT, "%s: ends before offset %zu", b->name, offset + size);
    if (size) memcpy(out, b->data + offset, size);
    return TC_OK;
}

tc_status tc_bytes_copy(const tc_bytes *b, size_t offset, size_t size, uint8_t **out, tc_error *err) {
    *out = malloc(size ? size : 1);
    if (!*out) return tc_fail_memory(err, size);
    tc_status status = tc_bytes_read(b, offset, *out, size, err);
    if (status == TC_OK) return TC_OK;
    free(*out);
    *out = NULL;
    return status;
}

/* ---- end records */

static tc_status refuse_end(const tc_bytes *b, size_t offset, const char *rule, tc_error *err) {
    return tc_fail(err, TC_EFORMAT, "%s: zip end record at offset %zu: %s", b->name, offset, rule);
}

/* The ZIP64 records before the plain one, where there are any. */
static tc_status read_end64(const tc_bytes *b, ending *e, tc_error *err) {
    uint8_t locator[LOCATOR], r[END64];
    size_t at = b->size - END;
    bool needed = e->count == 0xffff || e->size == 0xffffffff || e->offset == 0xffffffff;
    e->start = at;
    bool there = at >= LOCATOR;
    tc_status status = there ? tc_bytes_read(b, at - LOCATOR, locator, LOCATOR, err) : TC_OK;
    if (status != TC_OK) return status;
    there = there && marked(locator, locator_mark);
    if (!there)
        return needed ? refuse_end(b, at, "a size is left to a ZIP64 record that is missing", err) : TC_OK;
    if (get32(locator + 4) != 0 || get32(locator + 16) > 1)
        return refuse_end(b, at - LOCATOR, "the archive has several disks", err);
    if (at < LOCATOR + END64 || get64(locator + 8) != at - LOCATOR - END64)
        return refuse_end(b, at - LOCATOR, "the ZIP64 record does not lie directly before its locator", err);
    e->start = at - LOCATOR - END64;
    status = tc_bytes_read(b, e->start, r, END64, err);
    if (status != TC_OK) return status;
    if (!marked(r, end64_mark) || get64(r + 4) != END64 - 12)
        return refuse_end(b, e->start, "it is no ZIP64 record of 56 bytes", err);
    if (get32(r + 16) != 0 || get32(r + 20) != 0)
        return refuse_end(b, e->start, "the archive has several disks", err);
    ending w = {get64(r + 32), get64(r + 40), get64(r + 48), e->start};
    if (get64(r + 24) != w.count || (e->count != 0xffff && e->count != w.count) ||
        (e->size != 0xffffffff && e->size != w.size) || (e->offset != 0xffffffff && e->offset != w.offset))
        return refuse_end(b, e->start, "it disagrees with the plain end record", err);
    *e = w;
    return TC_OK;
}

static tc_status read_end(const tc_bytes *b, ending *e, tc_error *err) {
    uint8_t r[END];
    if (b->size < END)
        return tc_fail(err, TC_EFORMAT, "%s: %zu bytes, too short for a zip archive", b->name, b->size);
    size_t at = b->size - END;
    tc_status status = tc_bytes_read(b, at, r, END, err);
    if (status != TC_OK) return status;
    if (!marked(r, end_mark) || get16(r + 20) != 0)
        return tc_fail(err, TC_EFORMAT,
                       "%s: the last %d bytes are no zip end record: the file is cut short, or there are "
                       "bytes behind its end",
                       b->name, END);
    if (get16(r + 4) != 0 || get16(r + 6) != 0 || get16(r + 8) != get16(r + 10))
        return refuse_end(b, at, "the archive has several disks", err);
    *e = (ending){get16(r + 10), get32(r + 12), get32(r + 16), at};
    status = read_end64(b, e, err);
    if (status != TC_OK) return status;
    if (e->size > e->start || e->offset != e->start - e->size)
        return refuse_end(b, e->start,
                          "the central directory does not end directly before it: there are bytes before the "
                          "first member, or two end records",
                          err);
    if (e->size > DIRECTORY_LIMIT || e->count > e->size / CENTRAL)
        return refuse_end(b, e->start, "more members than the central directory has room for", err);
    return TC_OK;
}

/* ---- members */

static tc_status refuse_member(const tc_bytes *b, const char *name, const char *rule, tc_error *err) {
    return tc_fail(err, TC_EFORMAT, "%s: member '%.200s': %s", b->name, name, rule);
}

/* Fills in the 64-bit values of an extra field for those of the n 32-bit values that are the sentinel. False
 * if one is missing. */
static bool widen(const uint8_t *extra, size_t size, uint64_t **values, int n) {
    bool needed = false;
    for (int i = 0; i < n; i++) needed = needed || *values[i] == 0xffffffff;
    if (!needed) return true;
    while (size >= 4) {
        size_t length = get16(extra + 2);
        if (length > size - 4) return false;
        const uint8_t *p = extra + 4;
        if (get16(extra) == 1) {
            for (int i = 0; i < n; i++) {
                if (*values[i] != 0xffffffff) continue;
                if (length < 8) return false;
                *values[i] = get64(p);
                p += 8;
                length -= 8;
            }
            return true;
        }
        extra += 4 + length;
        size -= 4 + length;
    }
    return false;
}

static bool is_plain(const char *name, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '\\') return false;
    return n > 0;
}

/* One entry of the central directory at d, `left` bytes being there. Its name goes to *names. */
static tc_status parse_central(tc_archive *a, tc_member *m, const uint8_t *d, size_t left, char **names,
                               size_t *length, tc_error *err) {
    const tc_bytes *b = &a->bytes;
    if (left < CENTRAL || !marked(d, central_mark))
        return tc_fail(err, TC_EFORMAT, "%s: entry %zu of the zip directory is damaged", b->name, m->index);
    size_t n = get16(d + 28), extra = get16(d + 30), comment = get16(d + 32);
    if (n + extra + comment > left - CENTRAL)
        return tc_fail(err, TC_EFORMAT, "%s: entry %zu of the zip directory is cut short", b->name, m->index);
    if (!is_plain((const char *)d + CENTRAL, n))
        return tc_fail(err, TC_EFORMAT, "%s: entry %zu of the zip directory has no plain name", b->name,
                       m->index);
    memcpy(*names, d + CENTRAL, n);
    (*names)[n] = 0;
    m->name = *names;
    *names += n + 1;
    *length = CENTRAL + n + extra + comment;
    uint64_t size = get32(d + 24), packed = get32(d + 20), header = get32(d + 42);
    uint64_t *values[] = {&size, &packed, &header};
    if (!widen(d + CENTRAL + n, extra, values, 3))
        return refuse_member(b, m->name, "a size is left to a ZIP64 field that is missing", err);
    m->flags = get16(d + 8);
    m->method = get16(d + 10);
    m->crc = get32(d + 16);
    if (m->flags & ENCRYPTED) return refuse_member(b, m->name, "it is encrypted", err);
    if (get16(d + 34) != 0) return refuse_member(b, m->name, "it lies on another disk", err);
    if (header > b->size || packed > b->size || (m->method == 0 && size != packed))
        return refuse_member(b, m->name, "its sizes make no sense", err);
    m->header = (size_t)header;
    m->packed = (size_t)packed;
    m->size = (size_t)size;
    return TC_OK;
}

static tc_status parse_directory(tc_archive *a, const ending *e, const uint8_t *d, tc_error *err) {
    char *names = a->names = tc_new((size_t)e->size, 1); /* an entry is longer than its name */
    a->members = tc_new((size_t)e->count, sizeof *a->members);
    if (!a->names || !a->members) return tc_fail_memory(err, (size_t)e->size);
    size_t at = 0, length = 0;
    for (size_t i = 0; i < e->count; i++, at += length) {
        tc_member *m = &a->members[i];
        m->index = i;
        tc_status status = parse_central(a, m, d + at, (size_t)e->size - at, &names, &length, err);
        if (status != TC_OK) return status;
        a->count++;
    }
    if (at != e->size)
        return refuse_end(&a->bytes, e->start,
                          "the central directory holds more than the members that are counted", err);
    return TC_OK;
}

/* The sizes and the CRC behind the data, `gap` bytes before the next member. */
static tc_status check_descriptor(const tc_bytes *b, const tc_member *m, size_t gap, tc_error *err) {
    uint8_t r[24];
    bool streamed = m->flags & DESCRIPTOR;
    if (gap == 0 && (!streamed || m->size == 0)) return TC_OK;
    if (!streamed || (gap != 16 && gap != 24))
        return refuse_member(b, m->name, "there are bytes behind it that belong to no member", err);
    tc_status status = tc_bytes_read(b, m->start + m->packed, r, gap, err);
    if (status != TC_OK) return status;
    uint64_t packed = gap == 16 ? get32(r + 8) : get64(r + 8);
    uint64_t size = gap == 16 ? get32(r + 12) : get64(r + 16);
    if (!marked(r, descriptor_mark) || get32(r + 4) != m->crc || packed != m->packed || size != m->size)
        return refuse_member(b, m->name, "the record behind it disagrees with the zip directory", err);
    return TC_OK;
}

/* The local header must say what the directory says; sizes that follow the data may be 0 there. `next` is
 * where the next member begins. */
static tc_status check_local(const tc_bytes *b, tc_member *m, size_t next, tc_error *err) {
    uint8_t h[LOCAL], *rest;
    size_t name_size = strlen(m->name);
    if (next - m->header < LOCAL) return refuse_member(b, m->name, "it overlaps the next", err);
    tc_status status = tc_bytes_read(b, m->header, h, LOCAL, err);
    if (status != TC_OK) return status;
    size_t n = get16(h + 26), extra = get16(h + 28);
    if (!marked(h, local_mark))
        return refuse_member(b, m->name, "there is no local header where it begins", err);
    if (next - m->header < LOCAL + n + extra || next - m->header - LOCAL - n - extra < m->packed)
        return refuse_member(b, m->name, "it overlaps the next", err);
    status = tc_bytes_copy(b, m->header + LOCAL, n + extra, &rest, err);
    if (status != TC_OK) return status;
    uint64_t size = get32(h + 22), packed = get32(h + 18), *values[] = {&size, &packed};
    bool same_name = n == name_size && memcmp(rest, m->name, n) == 0;
    bool wide = widen(rest + n, extra, values, 2);
    free(rest);
    bool later = (m->flags & DESCRIPTOR) && size == 0 && packed == 0 && get32(h + 14) == 0;
    if (!same_name) return refuse_member(b, m->name, "its local header has another name", err);
    if (!wide) return refuse_member(b, m->name, "a size is left to a ZIP64 field that is missing", err);
    if (get16(h + 6) != m->flags || get16(h + 8) != m->method ||
        (!later && (size != m->size || packed != m->packed || get32(h + 14) != m->crc)))
        return refuse_member(b, m->name, "its local header disagrees with the zip directory", err);
    m->start = m->header + LOCAL + n + extra;
    return check_descriptor(b, m, next - m->start - m->packed, err);
}

static int by_header(const void *pa, const void *pb) {
    const tc_member *a = pa, *b = pb;
    if (a->header != b->header) return a->header < b->header ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static int by_member_name(const void *a, const void *b) {
    return strcmp(((const tc_member *)a)->name, ((const tc_member *)b)->name);
}

/* Leaves the members sorted by name. */
static tc_status check_members(tc_archive *a, const ending *e, tc_error *err) {
    const tc_bytes *b = &a->bytes;
    tc_member *m = a->members;
    if (a->count == 0) return tc_fail(err, TC_EFORMAT, "%s: the zip archive is empty", b->name);
    qsort(m, a->count, sizeof *m, by_header);
    if (m[0].header != 0)
        return tc_fail(err, TC_EFORMAT, "%s: %zu bytes before the first member of the zip archive", b->name,
                       m[0].header);
    for (size_t i = 0; i < a->count; i++) {
        size_t next = i + 1 < a->count ? m[i + 1].header : (size_t)e->offset;
        if (next < m[i].header) return refuse_member(b, m[i].name, "it overlaps the next", err);
        tc_status status = check_local(b, &m[i], next, err);
        if (status != TC_OK) return status;
    }
    qsort(m, a->count, sizeof *m, by_member_name);
    for (size_t i = 1; i < a->count; i++)
        if (strcmp(m[i - 1].name, m[i].name) == 0)
            return refuse_member(b, m[i].name, "there are two of this name", err);
    const char *slash = strchr(m[0].name, '/');
    if (!slash || slash == m[0].name)
        return refuse_member(b, m[0].name, "it lies in no folder, so PyTorch did not write the archive", err);
    a->prefix = (size_t)(slash + 1 - m[0].name);
    for (size_t i = 1; i < a->count; i++)
        if (strncmp(m[i].name, m[0].name, a->prefix) != 0)
            return refuse_member(b, m[i].name, "not all members lie in one folder", err);
    return TC_OK;
}

/* ---- libzip */

static tc_status refuse_zip(const tc_archive *a, int code, tc_error *err) {
    zip_error_t e;
    zip_error_init_with_code(&e, code);
    tc_status status = code == ZIP_ER_MEMORY
                           ? tc_fail_memory(err, a->count)
                           : tc_fail(err, TC_EFORMAT, "%s: zip: %s", a->bytes.name, zip_error_strerror(&e));
    zip_error_fini(&e);
    return status;
}

static tc_status open_zip(tc_archive *a, tc_error *err) {
    int code = 0;
    if (a->bytes.map) {
        /* libzip closes what it is given. */
        int fd = dup(a->bytes.map->fd);
        a->zip = fd < 0 ? NULL : zip_fdopen(fd, ZIP_CHECKCONS, &code);
        if (!a->zip && fd >= 0) close(fd);
    } else {
        zip_error_t e;
        zip_error_init(&e);
        zip_source_t *source = zip_source_buffer_create(a->bytes.data, a->bytes.size, 0, &e);
        a->zip = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &e) : NULL;
        code = zip_error_code_zip(&e);
        if (!a->zip && source) zip_source_free(source);
        zip_error_fini(&e);
    }
    return a->zip ? TC_OK : refuse_zip(a, code, err);
}

/* Does libzip see the same members? */
static tc_status compare_zip(const tc_archive *a, tc_error *err) {
    if (zip_get_num_entries(a->zip, 0) != (zip_int64_t)a->count)
        return tc_fail(err, TC_EFORMAT, "%s: the zip archive can be read in two ways", a->bytes.name);
    for (size_t i = 0; i < a->count; i++) {
        const tc_member *m = &a->members[i];
        zip_stat_t s;
        const zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_CRC | ZIP_STAT_COMP_METHOD;
        const char *name = zip_get_name(a->zip, m->index, ZIP_FL_ENC_RAW);
        bool same = name && strcmp(name, m->name) == 0 && zip_stat_index(a->zip, m->index, 0, &s) == 0 &&
                    (s.valid & wanted) == wanted;
        if (!same || s.size != m->size || s.comp_size != m->packed || s.crc != m->crc ||
            s.comp_method != m->method)
            return refuse_member(&a->bytes, m->name, "the zip archive can be read in two ways", err);
    }
    return TC_OK;
}

/* ---- open */

tc_status tc_archive_open(tc_archive **out, const tc_bytes *b, tc_error *err) {
    ending e = {0};
    uint8_t *directory = NULL;
    tc_archive *a = tc_new(1, sizeof *a);
    *out = NULL;
    if (!a) return tc_fail_memory(err, sizeof *a);
    a->bytes = *b;
    tc_status status = read_end(b, &e, err);
    if (status == TC_OK) status = tc_bytes_copy(b, (size_t)e.offset, (size_t)e.size, &directory, err);
    if (status == TC_OK) status = parse_directory(a, &e, directory, err);
    free(directory);
    if (status == TC_OK) status = check_members(a, &e, err);
    if (status == TC_OK) status = open_zip(a, err);
    if (status == TC_OK) status = compare_zip(a, err);
    if (status != TC_OK) tc_archive_close(&a);
    *out = a;
    return status;
}

void tc_archive_close(tc_archive **out) {
    tc_archive *a = *out;
    if (!a) return;
    if (a->zip) zip_discard(a->zip);
    free(a->members);
    free(a->names);
    free(a);
    *out = NULL;
}

const tc_member *tc_archive_find(const tc_archive *a, const char *name) {
    size_t low = 0, high = a->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = strcmp(name, a->members[middle].name + a->prefix);
        if (c == 0) return &a->members[middle];
        if (c < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

/* ---- contents */

tc_status tc_member_check_stored(const tc_bytes *b, const tc_member *m, tc_error *err) {
    return m->method == 0 ? TC_OK
                          : refuse_member(b, m->name, "it is compressed, only stored members are read", err);
}

tc_status tc_archive_read(const tc_archive *a, const tc_member *m, size_t limit, char **data, size_t *size,
                          tc_error *err) {
    tc_status status = tc_member_check_stored(&a->bytes, m, err);
    *data = NULL;
    if (status != TC_OK) return status;
    if (m->size > limit)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: member '%.200s' of %zu bytes, at most %zu are read",
                       a->bytes.name, m->name, m->size, limit);
    char *content = tc_new(m->size + 1, 1), end;
    if (!content) return tc_fail_memory(err, m->size);
    zip_file_t *f = zip_fopen_index(a->zip, m->index, 0);
    /* The CRC is compared when the end is read. */
    bool ok = f && zip_fread(f, content, m->size) == (zip_int64_t)m->size && zip_fread(f, &end, 1) == 0;
    const char *why = f ? zip_file_strerror(f) : zip_strerror(a->zip);
    if (!ok) status = tc_fail(err, TC_EFORMAT, "%s: member '%.200s': %s", a->bytes.name, m->name, why);
    if (f) zip_fclose(f);
    if (status == TC_OK) {
        *data = content;
        *size = m->size;
    } else {
        free(content);
    }
    return status;
}

/* most matrices in half precision are 1 to 5 MB: all threads must find work in them */
enum { PIECE = 1 << 18 };

typedef struct crc_work {
    const uint8_t *data;
    size_t size;
    uint32_t *crc; /* of each piece */
} crc_work;

static size_t piece_size(size_t size, size_t i) {
    return size - i * PIECE < PIECE ? size - i * PIECE : PIECE;
}

static void crc_pieces(void *user, int64_t first, int64_t end) {
    const crc_work *w = user;
    for (size_t i = (size_t)first; i < (size_t)end; i++)
        w->crc[i] = (uint32_t)crc32_z(0, w->data + i * PIECE, piece_size(w->size, i));
}

tc_status tc_member_check_crc(const tc_bytes *b, const tc_member *m, tc_error *err) {
    tc_status status = b->map ? tc_map_check(b->map, err) : TC_OK;
    size_t pieces = m->size / PIECE + 1;
    uint32_t *crc = status == TC_OK ? tc_new(pieces, sizeof *crc) : NULL;
    if (status != TC_OK) return status;
    if (!crc) return tc_fail_memory(err, pieces * sizeof *crc);
    crc_work w = {b->data + m->start, m->size, crc};
    tc_parallel((int64_t)pieces, (int64_t)m->size, crc_pieces, &w);
    uLong all = crc[0];
    for (size_t i = 1; i < pieces; i++) all = crc32_combine(all, crc[i], (z_off_t)piece_size(m->size, i));
    free(crc);
    return all == m->crc ? TC_OK : refuse_member(b, m->name, "its CRC is wrong: the file is damaged", err);
}
