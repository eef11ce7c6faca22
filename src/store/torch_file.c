/* torch_file.c - the containers of PyTorch: the zip archive with one pickle and one member a storage, and
 * before version 1.6 five pickles with the storages behind them.
 *
 * Storages stay where they are mapped. What a tensor needs on top (the CRC of its storage compared, a strided
 * view put into order) is done when its bytes are first asked for, so that opening reads the pickle alone and
 * optimizer state is never touched.
 *
 * Format: torch/serialization.py and caffe2/serialize of PyTorch. */
#include "store/torch_priv.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_VERSION = 10, FIRST_PIECE = 1 << 20 };

/* ---- zip archives */

/* `where` of a member, for messages; the caller frees it. */
static char *place_of(const tc_torch *t, const char *name) {
    tc_buf b = {0};
    tc_buf_printf(&b, "%s: %s", t->bytes.name, name);
    return tc_buf_take(&b);
}

static tc_status check_byteorder(const tc_torch *t, tc_error *err) {
    const tc_member *m = tc_archive_find(t->archive, "byteorder");
    char *text;
    size_t size;
    if (!m) return TC_OK; /* written since 2.0; before, little-endian was all there was */
    tc_status status = tc_archive_read(t->archive, m, 64, &text, &size, err);
    if (status == TC_OK && strcmp(text, "little") != 0)
        status = tc_fail(err, TC_EUNSUPPORTED, "%s: member '%s' says '%.20s', only little is read",
                         t->bytes.name, m->name, strcmp(text, "big") == 0 ? text : "something else");
    free(text);
    return status;
}

static tc_status check_version(const tc_torch *t, tc_error *err) {
    const tc_member *m = tc_archive_find(t->archive, ".data/version");
    char *text, *end;
    size_t size;
    if (!m) m = tc_archive_find(t->archive, "version");
    if (!m)
        return tc_fail(err, TC_EFORMAT, "%s: a zip archive without the member version: not one of PyTorch",
                       t->bytes.name);
    tc_status status = tc_archive_read(t->archive, m, 64, &text, &size, err);
    if (status != TC_OK) return status;
    long version = strtol(text, &end, 10);
    if (end == text || (*end && strcmp(end, "\n") != 0) || version < 1 || version > MOST_VERSION)
        status = tc_fail(err, TC_EUNSUPPORTED, "%s: member '%s' does not say a version from 1 to %d",
                         t->bytes.name, m->name, MOST_VERSION);
    free(text);
    return status;
}

static tc_status read_archive(tc_torch *t, tc_tensor_list *list, tc_error *err) {
    tc_pickle p = {0};
    char *data = NULL, *where = NULL;
    size_t size;
    tc_status status = tc_archive_open(&t->archive, &t->bytes, err);
    if (status == TC_OK) status = check_version(t, err);
    if (status == TC_OK) status = check_byteorder(t, err);
    if (status != TC_OK) return status;
    const tc_member *m = tc_archive_find(t->archive, "data.pkl");
    if (!m)
        return tc_fail(err, TC_EFORMAT, "%s: a zip archive without the member data.pkl: not one of PyTorch",
                       t->bytes.name);
    status = tc_archive_read(t->archive, m, TC_PICKLE_BYTES, &data, &size, err);
    if (status == TC_OK && !(where = place_of(t, "data.pkl"))) status = tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_pickle_read(&p, data, size, where, 0, NULL, NULL, err);
    if (status == TC_OK) status = tc_torch_collect_storages(t, &p, err);
    if (status == TC_OK)
        status = tc_state_dict_read(t, &p, tc_archive_find(t->archive, "constants.pkl") != NULL, list, err);
    tc_pickle_free(&p);
    free(where);
    free(data);
    return status;
}

/* ---- files from before 1.6 */

static const uint8_t legacy_magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
enum { MAGIC, PROTOCOL, SYSTEM, OBJECT, KEYS, LEGACY_PICKLES };

static tc_status check_legacy(const tc_pickle *p, int which, tc_error *err) {
    const tc_pnode *n = &p->nodes[p->root];
    int64_t v;
    switch (which) {
    case MAGIC:
        if (n->kind == TC_P_LONG && n->text.size == sizeof legacy_magic &&
            memcmp(p->data + n->text.start, legacy_magic, sizeof legacy_magic) == 0)
            return TC_OK;
        return tc_fail(err, TC_EFORMAT, "%s: a pickle that does not begin with the magic number of PyTorch",
                       p->where);
    case PROTOCOL:
        if (tc_pickle_int(p, p->root, &v) && v == 1001) return TC_OK;
        return tc_fail(err, TC_EUNSUPPORTED, "%s: offset %zu: the protocol is not 1001", p->where, p->base);
    case SYSTEM: {
        uint32_t little = tc_pickle_get(p, p->root, "little_endian");
        if (tc_pickle_is(p, little, TC_P_BOOL) && p->nodes[little].integer) return TC_OK;
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: offset %zu: little_endian is not true, only little-endian files are read",
                       p->where, p->base);
    }
    case KEYS:
        if (n->kind == TC_P_LIST) return TC_OK;
        return tc_fail(err, TC_EFORMAT, "%s: offset %zu: expected the list of storage keys", p->where,
                       p->base);
    default:
        return TC_OK;
    }
}

/* Reads the five pickles at the start of data. *used gets their length together. p[LEGACY_PICKLES] are the
 * caller's to free. */
static tc_status read_pickles(const tc_torch *t, tc_pickle *p, const uint8_t *data, size_t size, size_t *used,
                              bool *cut, tc_error *err) {
    *used = 0;
    for (int i = 0; i < LEGACY_PICKLES; i++) {
        size_t n = 0;
        tc_status status =
            tc_pickle_read(&p[i], data + *used, size - *used, t->bytes.name, *used, &n, cut, err);
        if (status == TC_OK) status = check_legacy(&p[i], i, err);
        if (status != TC_OK) return status;
        *used += n;
    }
    return TC_OK;
}

static void free_pickles(tc_pickle *p) {
    for (int i = 0; i < LEGACY_PICKLES; i++) tc_pickle_free(&p[i]);
}

/* Their length is written nowhere: a piece of the file is read, and a larger one if it ends too early. */
static tc_status read_growing(const tc_torch *t, tc_pickle *p, uint8_t **data, size_t *used, tc_error *err) {
    size_t most = t->bytes.size < TC_PICKLE_BYTES ? t->bytes.size : TC_PICKLE_BYTES;
    for (size_t want = FIRST_PIECE;; want *= 8) {
        size_t n = want < most ? want : most;
        bool cut = false;
        tc_status status = tc_bytes_copy(&t->bytes, 0, n, data, err);
        if (status == TC_OK) status = read_pickles(t, p, *data, n, used, &cut, err);
        if (status == TC_OK || !cut || n == most) return status;
        free_pickles(p);
        free(*data);
        *data = NULL;
    }
}

/* The storages in the order of their keys: the number of elements in 8 bytes, then the elements, up to the
 * end of the file. */
static tc_status locate_legacy(tc_torch *t, const tc_pickle *keys, size_t at, tc_error *err) {
    const tc_bytes *b = &t->bytes;
    for (uint32_t i = keys->nodes[keys->root].items.first; i; i = keys->items[i].next) {
        tc_storage named = {0}, *s;
        uint8_t raw[8];
        uint64_t numel = 0;
        s = tc_storage_take_key(&named, keys, keys->items[i].value) ? tc_torch_find_storage(t, named.key)
                                                                    : NULL;
        if (!s || s->located)
            return tc_fail(err, TC_EFORMAT,
                           "%s: the list of keys names a storage that no tensor has, or one twice", b->name);
        if (b->size - at < 8)
            return tc_fail(err, TC_EFORMAT, "%s: the file ends before storage %s at offset %zu", b->name,
                           s->key, at);
        tc_status status = tc_bytes_read(b, at, raw, 8, err);
        if (status != TC_OK) return status;
        for (int k = 7; k >= 0; k--) numel = numel << 8 | raw[k];
        if (numel != s->numel)
            return tc_fail(err, TC_EFORMAT,
                           "%s: storage %s at offset %zu has %llu elements, its tensors say %zu", b->name,
                           s->key, at, (unsigned long long)numel, s->numel);
        at += 8;
        if (b->size - at < s->bytes)
            return tc_fail(err, TC_EFORMAT, "%s: storage %s at offset %zu runs past the end of the file",
                           b->name, s->key, at);
        s->start = at;
        s->located = s->checked = true;
        at += s->bytes;
    }
    return at == b->size
               ? TC_OK
               : tc_fail(err, TC_EFORMAT, "%s: %zu bytes behind the last storage", b->name, b->size - at);
}

static tc_status read_legacy(tc_torch *t, tc_tensor_list *list, tc_error *err) {
    tc_pickle p[LEGACY_PICKLES] = {{0}};
    uint8_t *data = NULL;
    size_t used;
    tc_status status = read_growing(t, p, &data, &used, err);
    if (status == TC_OK) status = tc_torch_collect_storages(t, &p[OBJECT], err);
    if (status == TC_OK) status = locate_legacy(t, &p[KEYS], used, err);
    if (status == TC_OK) status = tc_state_dict_read(t, &p[OBJECT], false, list, err);
    free_pickles(p);
    free(data);
    return status;
}

/* ---- recognising */

/* A tar file: the mark of its header, or the names that PyTorch's first versions gave to members. */
static bool is_tar(const uint8_t *start, size_t n) {
    return n >= 262 && memcmp(start + 257, "ustar", 5) == 0;
}

/* What the first 8 bytes would mean in a .safetensors file: the length of a header that begins with a brace
 * or a space. */
static bool may_be_safetensors(const uint8_t *start, size_t n, size_t size) {
    uint64_t header = 0;
    if (n < 9) return true;
    for (int i = 7; i >= 0; i--) header = header << 8 | start[i];
    return header <= TC_ST_HEADER_LIMIT && header <= size - 8 && memchr("{ \t\r\n", start[8], 5);
}

static bool is_zip(const uint8_t *start, size_t n) { return n >= 4 && memcmp(start, "PK\3\4", 4) == 0; }
static bool is_pickle(const uint8_t *start, size_t n) {
    return n >= 2 && start[0] == 0x80 && start[1] >= 2 && start[1] <= 5;
}

/* The members that torch.save wrote, any of which may be the first; its name stands first. */
static bool tar_of_torch(const uint8_t *start) {
    static const char *const members[] = {"sys_info", "pickle", "tensors", "storages"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (memcmp(start, members[i], strlen(members[i]) + 1) == 0) return true;
    return false;
}

tc_status tc_torch_recognise(const tc_bytes *b, bool *yes, tc_error *err) {
    uint8_t start[262], end[22] = {0};
    size_t n = b->size < sizeof start ? b->size : sizeof start;
    tc_status status = tc_bytes_read(b, 0, start, n, err);
    if (status == TC_OK && b->size >= sizeof end)
        status = tc_bytes_read(b, b->size - sizeof end, end, sizeof end, err);
    *yes = status == TC_OK && !may_be_safetensors(start, n, b->size) &&
           (is_zip(start, n) || is_pickle(start, n) || is_tar(start, n) || memcmp(end, "PK\5\6", 4) == 0);
    /* So short that only the mark tells. */
    if (status == TC_OK && n < 9) *yes = is_zip(start, n) || is_pickle(start, n);
    return status;
}

/* ---- life */

static tc_status read_any(tc_torch *t, tc_tensor_list *list, tc_error *err) {
    uint8_t start[262];
    size_t n = t->bytes.size < sizeof start ? t->bytes.size : sizeof start;
    tc_status status = tc_bytes_read(&t->bytes, 0, start, n, err);
    if (status != TC_OK) return status;
    if (is_tar(start, n) && !tar_of_torch(start))
        return tc_fail(err, TC_EFORMAT, "%s: a tar archive, not a model; unpack it first", t->bytes.name);
    if (is_tar(start, n))
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: a tar file, as PyTorch wrote before 0.1.10; load it there and save it again",
                       t->bytes.name);
    return is_pickle(start, n) ? read_legacy(t, list, err) : read_archive(t, list, err);
}

tc_status tc_torch_open(tc_torch **out, const tc_bytes *b, tc_tensor_list *list, tc_error *err) {
    tc_torch *t = tc_new(1, sizeof *t);
    *out = t;
    if (!t) return tc_fail_memory(err, sizeof *t);
    t->bytes = *b;
    pthread_mutex_init(&t->lock, NULL);
    return read_any(t, list, err);
}

void tc_torch_close(tc_torch **out) {
    tc_torch *t = *out;
    if (!t) return;
    for (tc_lazy *l = t->tensors, *next; l; l = next) {
        next = l->next;
        free(l->copy);
        free(l);
    }
    tc_archive_close(&t->archive);
    free(t->storages);
    pthread_mutex_destroy(&t->lock);
    free(t);
    *out = NULL;
}
