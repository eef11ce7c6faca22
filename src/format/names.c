/* names.c - what the parameters are called in other layouts, in both directions. The canonical names are
 * OpenCLIP's.
 *
 * A stored name is [module.]COMPONENT[module.]NAME: PyTorch's wrapper for training on several devices adds
 * "module.", the official TinyCLIP code keeps the towers as components of their own. NAME is OpenCLIP's or
 * Hugging Face's. */
#include "format/names.h"
#include "net/tower.h"

#include <string.h>

/* Of no tower. */
static const tc_hf_name joint[] = {{"logit_scale", "logit_scale", false, 0, 0}, {NULL, NULL, false, 0, 0}};

/* Names that are not within a block: those of family number `index`; behind the last family what belongs to
 * no tower, then NULL. */
static const tc_hf_name *whole_names(int index) {
    static const tc_hf_name none[] = {{NULL, NULL, false, 0, 0}};
    const tc_tower_family *f = tc_tower_family_at(index);
    if (f) return f->hf.whole ? f->hf.whole : none;
    return index == 0 || tc_tower_family_at(index - 1) ? joint : NULL;
}

static const tc_hf_name *find_ours(const tc_hf_name *n, const char *name, int part) {
    for (; n->ours; n++)
        if (n->part == part && strcmp(n->ours, name) == 0) return n;
    return NULL;
}

static const tc_hf_name *find_theirs(const tc_hf_name *n, const char *name) {
    for (; n->ours; n++)
        if (strcmp(n->theirs, name) == 0) return n;
    return NULL;
}

/* Takes PREFIX NUMBER.REST apart; NULL if the name is none. The number of a block is written plainly: "07" is
 * another name than "7". */
static const char *within_block(const char *name, const char *prefix, int *layer) {
    char again[16];
    int end = 0;
    if (!prefix || !tc_starts_with(name, prefix)) return NULL;
    name += strlen(prefix);
    if (sscanf(name, "%6d.%n", layer, &end) != 1 || end == 0 || *layer < 0) return NULL;
    snprintf(again, sizeof again, "%d.", *layer);
    return strncmp(again, name, (size_t)end) == 0 ? name + end : NULL;
}

bool tc_names_hf(const char *canonical, int part, char *out, size_t size, bool *transposed) {
    const tc_hf_name *names, *n = NULL;
    const tc_tower_family *f;
    *transposed = false;
    for (int i = 0; (names = whole_names(i)) && !n; i++) n = find_ours(names, canonical, part);
    if (n) {
        *transposed = n->transposed;
        snprintf(out, size, "%s", n->theirs);
        return true;
    }
    for (int i = 0; (f = tc_tower_family_at(i)); i++) {
        int layer;
        const char *rest = within_block(canonical, f->hf.ours, &layer);
        if (!rest || !(n = find_ours(f->hf.block, rest, part))) continue;
        *transposed = n->transposed;
        snprintf(out, size, "%s%d.%s", f->hf.theirs, layer, n->theirs);
        return true;
    }
    return false;
}

/* ---- from other layouts */

/* The components of the official TinyCLIP model, each with what it may hold. */
typedef struct component {
    const char *prefix;
    enum { HOLDS_IMAGE, HOLDS_TEXT, HOLDS_SCALE } holds;
    unsigned written_by;
} component;
static const component components[] = {
    {"_image_encoder.", HOLDS_IMAGE, TC_NAMED_TINYCLIP},
    {"_text_encoder.", HOLDS_TEXT, TC_NAMED_TINYCLIP},
    {"_logit_scale.", HOLDS_SCALE, TC_NAMED_TINYCLIP},
    {"image_encoder_without_ddp.", HOLDS_IMAGE, TC_NAMED_ALIAS},
    {"text_encoder_without_ddp.", HOLDS_TEXT, TC_NAMED_ALIAS},
    {"logit_scale_without_ddp.", HOLDS_SCALE, TC_NAMED_ALIAS},
};

static const char *skip(const char *s, const char *prefix) {
    return tc_starts_with(s, prefix) ? s + strlen(prefix) : s;
}

static bool belongs(const component *c, const char *name) {
    bool visual = tc_starts_with(name, "visual."), scale = strcmp(name, "logit_scale") == 0;
    if (c->holds == HOLDS_IMAGE) return visual;
    return c->holds == HOLDS_SCALE ? scale : !visual && !scale;
}

static bool from_hf_block(const tc_hf_names *hf, const char *name, tc_canonical *out) {
    int layer;
    const char *rest = within_block(name, hf->theirs, &layer);
    const tc_hf_name *n = rest ? find_theirs(hf->block, rest) : NULL;
    if (!n) return false;
    out->part = n->part;
    out->parts = n->parts ? n->parts : 1;
    out->transposed = n->transposed;
    snprintf(out->name, sizeof out->name, "%s%d.%s", hf->ours, layer, n->ours);
    return true;
}

static bool from_hf(const char *name, tc_canonical *out) {
    const tc_hf_name *names, *n;
    const tc_tower_family *f;
    for (int i = 0; (names = whole_names(i)); i++) {
        if (!(n = find_theirs(names, name))) continue;
        snprintf(out->name, sizeof out->name, "%s", n->ours);
        out->transposed = n->transposed;
        /* Both call it so. */
        return strcmp(n->ours, n->theirs) != 0;
    }
    for (int i = 0; (f = tc_tower_family_at(i)); i++)
        if (from_hf_block(&f->hf, name, out)) return true;
    return false;
}

static bool is_openai_scalar(const char *name) {
    return strcmp(name, "input_resolution") == 0 || strcmp(name, "context_length") == 0 ||
           strcmp(name, "vocab_size") == 0;
}

bool tc_names_canonical(const char *stored, tc_canonical *out) {
    const char *name = skip(stored, "module.");
    *out = (tc_canonical){.parts = 1};
    for (size_t i = 0; i < sizeof components / sizeof *components; i++) {
        const component *c = &components[i];
        if (!tc_starts_with(name, c->prefix)) continue;
        name = skip(name + strlen(c->prefix), "module.");
        if (!belongs(c, name)) return false;
        out->written_by = c->written_by;
        break;
    }
    if (from_hf(name, out)) {
        out->written_by |= TC_NAMED_HF;
        return true;
    }
    if (strlen(name) >= sizeof out->name) return false;
    if (is_openai_scalar(name)) out->written_by |= TC_NAMED_OPENAI;
    else if (!out->written_by) out->written_by = TC_NAMED_OPENCLIP;
    snprintf(out->name, sizeof out->name, "%s", name);
    return true;
}

bool tc_names_ignored(const char *canonical) {
    return tc_ends_with(canonical, ".position_ids") || strcmp(canonical, "attn_mask") == 0;
}
