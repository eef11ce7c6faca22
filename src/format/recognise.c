/* recognise.c - the configuration of a checkpoint from its tensors: which families its towers are of, and
 * what these find. */
#include "format/layout.h"
#include "net/seen.h"

#include <string.h>

static tc_seen_tensor find(const void *user, const char *canonical, int part) {
    const tc_named *n = tc_layout_find(user, canonical, part);
    return n ? (tc_seen_tensor){n->tensor, n->is.parts, n->is.transposed} : (tc_seen_tensor){0};
}

static const char *spelling(const void *user, const char *canonical, char *out, size_t size) {
    return tc_layout_spelling(user, canonical, 0, out, size);
}

/* The family whose tower the tensors are, NULL: no family claims them. */
static const tc_tower_family *claimed_by(const tc_seen *s, int side) {
    const tc_tower_family *f;
    for (int i = 0; (f = tc_tower_family_at(i)); i++)
        if (f->side == side && f->is_in && f->is_in(s)) return f;
    return NULL;
}

static const tc_tower_family *first_of(int side) {
    int i = 0;
    while (tc_tower_family_at(i)->side != side) i++;
    return tc_tower_family_at(i);
}

/* A tower without a configuration. */
static void recognise(tc_seen *s, tc_config *c, tc_tower_config *t, int side) {
    const tc_tower_family *f = claimed_by(s, side);
    t->family = f ? f : first_of(side);
    t->family->recognise(s, c);
}

/* A tower with one. What no family claims can be of the first one only; binding its tensors tells if it is
 * not. */
static void adjust(tc_seen *s, tc_config *c, const tc_tower_config *t, int side) {
    const tc_tower_family *f = claimed_by(s, side);
    if (f && f != t->family)
        tc_seen_wrong(s, TC_EFORMAT, "the %s tower is a %s in its tensors, a %s in the configuration",
                      side == TC_TOWER_TEXT ? "text" : "image", f->name, t->family->name);
    else if (f || !t->family->is_in) t->family->adjust(s, c);
}

/* A number that OpenAI's archives carry beside the weights. */
static void check_scalar(tc_seen *s, const tc_layout *l, const char *name, int of_tensors) {
    int value = tc_seen_scalar(s, name, of_tensors);
    tc_named *n = tc_layout_find(l, name, 0);
    if (n) n->used = true;
    if (value != of_tensors)
        tc_seen_wrong(s, TC_EFORMAT, "%s is %d, but the tensors are those of %d", name, value, of_tensors);
}

tc_status tc_layout_config(tc_config *out, const tc_layout *l, const tc_config *given, tc_error *err) {
    tc_seen s = {.path = l->path,
                 .user = l,
                 .find = find,
                 .spelling = spelling,
                 .says_pruned = l->written_by & TC_NAMED_ALIAS,
                 .err = err};
    tc_config c;
    memset(&c, 0, sizeof c);
    if (given) {
        c = *given;
        adjust(&s, &c, &c.vision, TC_TOWER_VISION);
        adjust(&s, &c, &c.text, TC_TOWER_TEXT);
    } else {
        c.eos_id = -1;
        recognise(&s, &c, &c.vision, TC_TOWER_VISION);
        recognise(&s, &c, &c.text, TC_TOWER_TEXT);
    }
    check_scalar(&s, l, "input_resolution", c.image_size);
    check_scalar(&s, l, "context_length", c.context_length);
    check_scalar(&s, l, "vocab_size", c.vocab_size);
    if (s.status == TC_OK) *out = c;
    return s.status;
}
