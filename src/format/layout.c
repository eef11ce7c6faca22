/* layout.c - reads the names of a checkpoint into one table by canonical name. A tensor that is stored under
 * two names, as the official TinyCLIP code does with its towers, counts once if both are equal. */
#include "format/layout.h"

#include <stdlib.h>
#include <string.h>

static int by_name_and_part(const void *pa, const void *pb) {
    const tc_named *a = pa, *b = pb;
    int order = strcmp(a->is.name, b->is.name);
    if (!order) order = a->is.parts - b->is.parts;
    if (!order) order = a->is.part - b->is.part;
    return order ? order : strcmp(a->tensor->name, b->tensor->name);
}

/* Equal number by number, read in pieces, unless both are the same bytes. */
static bool same_numbers(const tc_tensor *x, const tc_tensor *y) {
    tc_real a[1024], b[1024];
    int64_t n = tc_tensor_numel(x);
    if (x->data && x->data == y->data) return true;
    for (int64_t at = 0; at < n; at += 1024) {
        int64_t count = n - at < 1024 ? n - at : 1024;
        if (!tc_tensor_read(x, at, count, a) || !tc_tensor_read(y, at, count, b) ||
            memcmp(a, b, (size_t)count * sizeof *a) != 0)
            return false;
    }
    return true;
}

static bool same_value(const tc_named *a, const tc_named *b) {
    const tc_tensor *x = a->tensor, *y = b->tensor;
    bool same = a->is.transposed == b->is.transposed && x->dtype == y->dtype && x->ndim == y->ndim;
    for (int i = 0; i < x->ndim && same; i++) same = x->shape[i] == y->shape[i];
    return same && same_numbers(x, y);
}

/* Removes the second and later names of one parameter. */
static tc_status drop_aliases(tc_layout *l, const tc_store *s, tc_error *err) {
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        const tc_named *last = kept ? &l->items[kept - 1] : NULL, *now = &l->items[i];
        bool alias = last && strcmp(last->is.name, now->is.name) == 0 && last->is.parts == now->is.parts &&
                     last->is.part == now->is.part;
        tc_status status = alias ? tc_store_check(s, err) : TC_OK;
        if (status != TC_OK) return status;
        if (alias && !same_value(last, now))
            return tc_fail(err, TC_EFORMAT, "%s: tensors '%.200s' and '%.200s' are both %s, and differ",
                           l->path, last->tensor->name, now->tensor->name, now->is.name);
        if (!alias) l->items[kept++] = *now;
    }
    l->count = kept;
    return TC_OK;
}

tc_status tc_layout_read(tc_layout *out, const tc_store *s, const char *path, tc_error *err) {
    *out = (tc_layout){.path = path, .items = tc_new(tc_store_count(s), sizeof *out->items)};
    if (!out->items) return tc_fail_memory(err, tc_store_count(s) * sizeof *out->items);
    tc_status status = TC_OK;
    for (size_t i = 0; i < tc_store_count(s) && status == TC_OK; i++) {
        tc_named *n = &out->items[out->count];
        n->tensor = tc_store_at(s, i);
        if (!tc_names_canonical(n->tensor->name, &n->is))
            status = tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' is not part of any model that is known",
                             path, n->tensor->name);
        out->written_by |= n->is.written_by;
        out->count++;
    }
    if (status == TC_OK && out->count) qsort(out->items, out->count, sizeof *out->items, by_name_and_part);
    if (status == TC_OK) status = drop_aliases(out, s, err);
    if (status != TC_OK) tc_layout_free(out);
    return status;
}

void tc_layout_free(tc_layout *l) {
    free(l->items);
    *l = (tc_layout){0};
}

tc_named *tc_layout_find(const tc_layout *l, const char *canonical, int part) {
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(l->items[middle].is.name, canonical);
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    for (; low < l->count && strcmp(l->items[low].is.name, canonical) == 0; low++)
        if (l->items[low].is.part == part) return &l->items[low];
    return NULL;
}

const char *tc_layout_name(const tc_layout *l) {
    if (l->written_by & TC_NAMED_OPENAI) return "openai";
    if (l->written_by & TC_NAMED_ALIAS) return "tinyclip, automatically pruned";
    if (l->written_by & TC_NAMED_TINYCLIP) return "tinyclip";
    return l->written_by & TC_NAMED_HF ? "huggingface" : "openclip";
}

const char *tc_layout_spelling(const tc_layout *l, const char *canonical, int part, char *out, size_t size) {
    bool transposed;
    if (!(l->written_by & TC_NAMED_HF) || !tc_names_hf(canonical, part, out, size, &transposed))
        snprintf(out, size, "%s", canonical);
    return out;
}
