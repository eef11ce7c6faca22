/* vocab_read.c - reads a vocabulary from a Hugging Face folder: vocab.json (text to id) with merges.txt (one
 * pair a line), or tokenizer.json, which holds both.
 *
 * Strict, since every id ends up as a row of a model's table: ids are 0 .. n-1, each once, every merge's
 * parts and product have an id, and start and end are there. */
#include "text/vocab.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_FILE = 64 << 20, MOST_IDS = 1 << 20 };

typedef struct reader {
    const char *name; /* folder, for messages */
    const char *vocab_file, *merges_file;
    json_t *root, *ids; /* ids: text to id */
    tc_vocab *v;
    size_t merge_capacity;
    tc_buf product;
    tc_error *err;
} reader;

static tc_status fail(reader *r, const char *what) {
    return tc_fail(r->err, TC_EFORMAT, "%s/%s: %s", r->name, r->vocab_file, what);
}

/* ---- ids */

/* tokenizer.json keeps the special tokens in a list of their own, which may repeat the vocabulary or extend
 * it. */
static tc_status add_special_tokens(reader *r) {
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(r->root, "added_tokens"), i, token) {
        const char *text = json_string_value(json_object_get(token, "content"));
        json_t *id = json_object_get(token, "id");
        if (!text || !json_is_integer(id))
            return fail(r, "an entry of 'added_tokens' has no content or no id");
        json_t *known = json_object_get(r->ids, text);
        if (known && !json_equal(known, id))
            return fail(r, "'added_tokens' and 'vocab' give one text two ids");
        if (!known && json_object_set(r->ids, text, id) != 0) return tc_fail_memory(r->err, strlen(text));
    }
    return TC_OK;
}

static tc_status find_ids(reader *r, bool single_file) {
    r->ids = r->root;
    if (single_file) {
        json_t *model = json_object_get(r->root, "model");
        const char *suffix = json_string_value(json_object_get(model, "end_of_word_suffix"));
        r->ids = json_object_get(model, "vocab");
        if (!suffix || strcmp(suffix, "</w>") != 0) {
            return tc_fail(r->err, TC_EUNSUPPORTED,
                           "%s/%s: not a CLIP tokenizer: model.end_of_word_suffix is not '</w>'", r->name,
                           r->vocab_file);
        }
    }
    if (!json_is_object(r->ids)) return fail(r, "no object that maps texts to ids");
    return single_file ? add_special_tokens(r) : TC_OK;
}

/* Copies the texts into one block and notes which belongs to which id. */
static tc_status take_symbols(reader *r) {
    size_t n = json_object_size(r->ids), bytes = 0;
    const char *text;
    json_t *value;
    if (n < 2 || n > MOST_IDS)
        return tc_fail(r->err, TC_EFORMAT, "%s/%s: %zu entries, expected 2 to %d", r->name, r->vocab_file, n,
                       MOST_IDS);
    json_object_foreach(r->ids, text, value) bytes += strlen(text) + 1;
    char *next = r->v->texts = tc_new(bytes, 1);
    char **symbols = r->v->symbols = tc_new(n, sizeof *symbols);
    if (!next || !symbols) return tc_fail_memory(r->err, bytes + n * sizeof *symbols);
    json_object_foreach(r->ids, text, value) {
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || (size_t)id >= n || symbols[id]) {
            return tc_fail(r->err, TC_EFORMAT,
                           "%s/%s: the id of '%.40s' is not a number of 0 to %zu that occurs once", r->name,
                           r->vocab_file, text, n - 1);
        }
        size_t size = strlen(text) + 1;
        memcpy(next, text, size);
        symbols[id] = next;
        next += size;
    }
    r->v->size = (int32_t)n;
    return TC_OK;
}

static int32_t id_of(const reader *r, const char *text, size_t length) {
    json_t *id = json_object_getn(r->ids, text, length);
    return id ? (int32_t)json_integer_value(id) : -1;
}

static tc_status take_specials(reader *r) {
    static const char *const names[2][2] = {{"<|startoftext|>", "<|endoftext|>"},
                                            {"<start_of_text>", "<end_of_text>"}};
    tc_vocab *v = r->v;
    for (int k = 0; k < 2; k++) {
        v->start = id_of(r, names[k][0], strlen(names[k][0]));
        v->end = id_of(r, names[k][1], strlen(names[k][1]));
        v->start_text = names[k][0];
        v->end_text = names[k][1];
        if (v->start >= 0 && v->end >= 0) return TC_OK;
    }
    return fail(r, "no ids for '<|startoftext|>' and '<|endoftext|>'");
}

static tc_status take_bytes(reader *r) {
    for (unsigned b = 0; b < 256; b++) {
        tc_buf symbol = {0};
        tc_byte_symbol((uint8_t)b, &symbol);
        size_t plain = symbol.size;
        tc_buf_puts(&symbol, "</w>");
        if (symbol.failed) {
            tc_buf_free(&symbol);
            return tc_fail_memory(r->err, 16);
        }
        int32_t id = id_of(r, symbol.data, plain), last = id_of(r, symbol.data, symbol.size);
        r->v->byte[b] = id < 0 ? r->v->end : id;
        r->v->last_byte[b] = last < 0 ? r->v->end : last;
        tc_buf_free(&symbol);
    }
    return TC_OK;
}

/* ---- merges */

/* One merge; `where` counts lines or entries, for messages. */
static tc_status add_merge(reader *r, const char *left, size_t left_size, const char *right,
                           size_t right_size, size_t where) {
    tc_vocab *v = r->v;
    tc_merge m = {id_of(r, left, left_size), id_of(r, right, right_size), -1};
    r->product.size = 0;
    tc_buf_add(&r->product, left, left_size);
    tc_buf_add(&r->product, right, right_size);
    if (r->product.failed || !tc_grow(&v->merges, &r->merge_capacity, v->merge_count + 1, sizeof m)) {
        return tc_fail_memory(r->err, left_size + right_size + sizeof m);
    }
    m.product = id_of(r, r->product.data, r->product.size);
    const char *lacking = m.product < 0 ? "the product" : NULL;
    if (m.right < 0) lacking = "the right part";
    if (m.left < 0) lacking = "the left part";
    if (lacking) {
        return tc_fail(r->err, TC_EFORMAT, "%s/%s: merge %zu, '%.*s' with '%.*s': %s has no id", r->name,
                       r->merges_file, where, (int)(left_size < 40 ? left_size : 40), left,
                       (int)(right_size < 40 ? right_size : 40), right, lacking);
    }
    v->merges[v->merge_count++] = m;
    return TC_OK;
}

static tc_status add_merge_line(reader *r, const char *line, size_t size, size_t where) {
    const char *space = memchr(line, ' ', size);
    size_t left = space ? (size_t)(space - line) : 0;
    if (left == 0 || left + 1 == size || memchr(space + 1, ' ', size - left - 1)) {
        return tc_fail(r->err, TC_EFORMAT, "%s/%s: merge %zu is not two texts with one space between them",
                       r->name, r->merges_file, where);
    }
    return add_merge(r, line, left, space + 1, size - left - 1, where);
}

static tc_status take_merge_lines(reader *r, const char *text, size_t size) {
    tc_status status = TC_OK;
    size_t number = 0;
    for (const char *line = text, *end = text + size; line < end && status == TC_OK;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop) stop = end;
        bool version = line == text && stop - line >= 8 && memcmp(line, "#version", 8) == 0;
        if (!version) status = add_merge_line(r, line, (size_t)(stop - line), ++number);
        line = stop + (stop < end);
    }
    return status;
}

/* tokenizer.json's list: ["a", "b"] or, in older files, "a b". */
static tc_status take_merge_list(reader *r) {
    size_t i;
    json_t *entry, *list = json_object_get(json_object_get(r->root, "model"), "merges");
    tc_status status = json_is_array(list) ? TC_OK : fail(r, "no list 'merges'");
    json_array_foreach(list, i, entry) {
        const json_t *left = json_array_get(entry, 0), *right = json_array_get(entry, 1);
        if (status != TC_OK) break;
        if (json_is_string(entry)) {
            status = add_merge_line(r, json_string_value(entry), json_string_length(entry), i + 1);
        } else if (json_array_size(entry) == 2 && json_is_string(left) && json_is_string(right)) {
            const char *left_text = json_string_value(left), *right_text = json_string_value(right);
            status = add_merge(r, left_text, json_string_length(left), right_text, json_string_length(right),
                               i + 1);
        } else {
            status = fail(r, "an entry of 'merges' is not a pair of texts");
        }
    }
    return status;
}

/* ---- whole files */

static tc_status read_all(reader *r, const char *merges, size_t merges_size) {
    tc_status status = find_ids(r, !merges);
    if (status == TC_OK) status = take_symbols(r);
    if (status == TC_OK) status = take_specials(r);
    if (status == TC_OK) status = take_bytes(r);
    if (status == TC_OK) status = merges ? take_merge_lines(r, merges, merges_size) : take_merge_list(r);
    return status == TC_OK ? tc_vocab_index(r->v, r->name, r->err) : status;
}

tc_status tc_vocab_parse(tc_vocab **out, const char *vocab, size_t vocab_size, const char *merges,
                         size_t merges_size, const char *name, tc_error *err) {
    reader r = {.name = name, .vocab_file = "tokenizer.json", .merges_file = "tokenizer.json", .err = err};
    if (merges) {
        r.vocab_file = "vocab.json";
        r.merges_file = "merges.txt";
    }
    json_error_t error;
    tc_status status;
    *out = NULL;
    r.root = json_loadb(vocab, vocab_size, JSON_REJECT_DUPLICATES, &error);
    r.v = tc_new(1, sizeof *r.v);
    if (!r.root) {
        status = tc_fail(err, TC_EFORMAT, "%s/%s: line %d: %s", name, r.vocab_file, error.line, error.text);
    } else if (!r.v) {
        status = tc_fail_memory(err, sizeof *r.v);
    } else {
        status = read_all(&r, merges, merges_size);
    }
    if (status == TC_OK) {
        *out = r.v;
    } else {
        tc_vocab_close(&r.v);
    }
    json_decref(r.root);
    tc_buf_free(&r.product);
    return status;
}

static tc_status read_file(const char *dir, const char *file, char **data, size_t *size, tc_error *err) {
    char *path = tc_path_join(dir, file);
    tc_status status = path ? tc_file_read(path, LARGEST_FILE, data, size, err)
                            : tc_fail_memory(err, strlen(dir) + strlen(file));
    free(path);
    return status;
}

static bool has_file(const char *dir, const char *file) {
    char *path = tc_path_join(dir, file);
    bool exists = path && tc_path_exists(path);
    free(path);
    return exists;
}

tc_status tc_vocab_open(tc_vocab **out, const char *dir, tc_error *err) {
    bool single_file = !has_file(dir, "vocab.json") && has_file(dir, "tokenizer.json");
    char *vocab = NULL, *merges = NULL;
    size_t vocab_size = 0, merges_size = 0;
    *out = NULL;
    tc_status status =
        read_file(dir, single_file ? "tokenizer.json" : "vocab.json", &vocab, &vocab_size, err);
    if (status == TC_OK && !single_file) status = read_file(dir, "merges.txt", &merges, &merges_size, err);
    if (status == TC_OK) status = tc_vocab_parse(out, vocab, vocab_size, merges, merges_size, dir, err);
    free(vocab);
    free(merges);
    return status;
}
