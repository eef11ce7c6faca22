/* pickle.c - the restricted machine that reads a pickle.
 *
 * It knows the opcodes that state dicts and TorchScript archives are made of and refuses all others by name.
 * Each opcode makes at most one node and takes at least one byte, values are shared by index and never
 * copied, so memory is linear in the size of the pickle, whatever it refers to how often. Nothing here
 * recurses: marks are a list, and what a value holds is only looked at by who wants it. */
#include "store/pickle.h"

#include <stdlib.h>
#include <string.h>

typedef struct machine {
    tc_pickle *p;
    size_t at, size, op_at;
    uint8_t op;
    bool *cut;
    uint32_t *stack;
    size_t depth, stack_capacity;
    uint32_t *marks; /* heights of the stack */
    size_t mark_count, mark_capacity;
    uint32_t *memo; /* node, or 0 */
    size_t memo_count, memo_capacity;
    bool stopped;
    tc_error *err;
} machine;

/* Every opcode that pickles have. */
static const char *const op_names[256] = {
    ['('] = "MARK",
    ['.'] = "STOP",
    ['0'] = "POP",
    ['1'] = "POP_MARK",
    ['2'] = "DUP",
    ['F'] = "FLOAT",
    ['I'] = "INT",
    ['J'] = "BININT",
    ['K'] = "BININT1",
    ['L'] = "LONG",
    ['M'] = "BININT2",
    ['N'] = "NONE",
    ['P'] = "PERSID",
    ['Q'] = "BINPERSID",
    ['R'] = "REDUCE",
    ['S'] = "STRING",
    ['T'] = "BINSTRING",
    ['U'] = "SHORT_BINSTRING",
    ['V'] = "UNICODE",
    ['X'] = "BINUNICODE",
    ['a'] = "APPEND",
    ['b'] = "BUILD",
    ['c'] = "GLOBAL",
    ['d'] = "DICT",
    ['}'] = "EMPTY_DICT",
    ['e'] = "APPENDS",
    ['g'] = "GET",
    ['h'] = "BINGET",
    ['i'] = "INST",
    ['j'] = "LONG_BINGET",
    ['l'] = "LIST",
    [']'] = "EMPTY_LIST",
    ['o'] = "OBJ",
    ['p'] = "PUT",
    ['q'] = "BINPUT",
    ['r'] = "LONG_BINPUT",
    ['s'] = "SETITEM",
    ['t'] = "TUPLE",
    [')'] = "EMPTY_TUPLE",
    ['u'] = "SETITEMS",
    ['G'] = "BINFLOAT",
    [0x80] = "PROTO",
    [0x81] = "NEWOBJ",
    [0x82] = "EXT1",
    [0x83] = "EXT2",
    [0x84] = "EXT4",
    [0x85] = "TUPLE1",
    [0x86] = "TUPLE2",
    [0x87] = "TUPLE3",
    [0x88] = "NEWTRUE",
    [0x89] = "NEWFALSE",
    [0x8a] = "LONG1",
    [0x8b] = "LONG4",
    ['B'] = "BINBYTES",
    ['C'] = "SHORT_BINBYTES",
    [0x8c] = "SHORT_BINUNICODE",
    [0x8d] = "BINUNICODE8",
    [0x8e] = "BINBYTES8",
    [0x8f] = "EMPTY_SET",
    [0x90] = "ADDITEMS",
    [0x91] = "FROZENSET",
    [0x92] = "NEWOBJ_EX",
    [0x93] = "STACK_GLOBAL",
    [0x94] = "MEMOIZE",
    [0x95] = "FRAME",
    [0x96] = "BYTEARRAY8",
    [0x97] = "NEXT_BUFFER",
    [0x98] = "READONLY_BUFFER",
};

static tc_status refuse(const machine *m, const char *rule) {
    const char *name = op_names[m->op];
    return tc_fail(m->err, TC_EFORMAT, "%s: offset %zu: %s: %s", m->p->where, m->p->base + m->op_at,
                   name ? name : "pickle", rule);
}

static tc_status out_of_memory(const machine *m) {
    return tc_fail_memory(m->err, m->p->node_count * sizeof *m->p->nodes);
}

static tc_status ended(const machine *m) {
    if (m->cut) *m->cut = true;
    return tc_fail(m->err, TC_EFORMAT, "%s: the pickle ends at offset %zu without STOP: it is cut short",
                   m->p->where, m->p->base + m->size);
}

/* n little-endian bytes of argument, n <= 8. */
static tc_status argument(machine *m, size_t n, uint64_t *out) {
    if (n > m->size - m->at) return ended(m);
    *out = 0;
    for (size_t i = n; i-- > 0;) *out = *out << 8 | m->p->data[m->at + i];
    m->at += n;
    return TC_OK;
}

/* ---- stack and memo */

static tc_status push(machine *m, uint32_t node) {
    if (!tc_grow(&m->stack, &m->stack_capacity, m->depth + 1, sizeof *m->stack)) return out_of_memory(m);
    m->stack[m->depth++] = node;
    return TC_OK;
}

static tc_status push_new(machine *m, tc_pnode node) {
    tc_pickle *p = m->p;
    if (p->node_count >= TC_PICKLE_NODES) return refuse(m, "too many values, at most 16777215 are read");
    if (!tc_grow(&p->nodes, &p->node_capacity, p->node_count + 1, sizeof node)) return out_of_memory(m);
    p->nodes[p->node_count] = node;
    return push(m, (uint32_t)p->node_count++);
}

static tc_status push_kind(machine *m, tc_pkind kind) { return push_new(m, (tc_pnode){.kind = kind}); }

static tc_status push_int(machine *m, tc_pkind kind, int64_t value) {
    return push_new(m, (tc_pnode){.kind = kind, .integer = value});
}

/* Lowest height that may be popped: what lies under the last mark belongs to others. */
static size_t floor_of(const machine *m) { return m->mark_count ? m->marks[m->mark_count - 1] : 0; }

static tc_status need(const machine *m, size_t n) {
    return m->depth - floor_of(m) >= n ? TC_OK : refuse(m, "the stack holds too few values");
}

static tc_pnode *top(const machine *m) { return &m->p->nodes[m->stack[m->depth - 1]]; }

static tc_status pop_mark(machine *m, size_t *height) {
    if (m->mark_count == 0) return refuse(m, "there is no MARK before it");
    *height = m->marks[--m->mark_count];
    return TC_OK;
}

static tc_status put_mark(machine *m) {
    if (m->mark_count >= TC_PICKLE_MARKS) return refuse(m, "more than 10000 are open");
    if (!tc_grow(&m->marks, &m->mark_capacity, m->mark_count + 1, sizeof *m->marks)) return out_of_memory(m);
    m->marks[m->mark_count++] = (uint32_t)m->depth;
    return TC_OK;
}

/* Indices are written in order, so none can be beyond the number of bytes. */
static tc_status put_memo(machine *m, size_t width) {
    uint64_t i;
    tc_status status = argument(m, width, &i);
    if (status == TC_OK) status = need(m, 1);
    if (status != TC_OK) return status;
    if (i >= m->size) return refuse(m, "the memo has no place of this number");
    if (!tc_grow(&m->memo, &m->memo_capacity, (size_t)i + 1, sizeof *m->memo)) return out_of_memory(m);
    while (m->memo_count <= i) m->memo[m->memo_count++] = 0;
    m->memo[i] = m->stack[m->depth - 1];
    return TC_OK;
}

static tc_status get_memo(machine *m, size_t width) {
    uint64_t i;
    tc_status status = argument(m, width, &i);
    if (status != TC_OK) return status;
    if (i >= m->memo_count || m->memo[i] == 0)
        return refuse(m, "nothing was put into this place of the memo");
    return push(m, m->memo[i]);
}

/* ---- scalars */

static tc_status push_small(machine *m, size_t width, bool is_signed) {
    uint64_t v;
    tc_status status = argument(m, width, &v);
    return status == TC_OK ? push_int(m, TC_P_INT, is_signed ? (int32_t)(uint32_t)v : (int64_t)v) : status;
}

static tc_status push_float(machine *m) {
    uint64_t v, swapped = 0;
    double real;
    tc_status status = argument(m, 8, &v);
    if (status != TC_OK) return status;
    for (int i = 0; i < 8; i++) swapped = swapped << 8 | (v >> (8 * i) & 255);
    memcpy(&real, &swapped, 8);
    return push_new(m, (tc_pnode){.kind = TC_P_FLOAT, .real = real});
}

/* A length of `width` bytes, then so many bytes. */
static tc_status push_text(machine *m, size_t width, tc_pkind kind) {
    uint64_t n;
    tc_status status = argument(m, width, &n);
    if (status != TC_OK) return status;
    if (n > m->size - m->at) return ended(m);
    tc_pnode node = {.kind = kind, .text = {(uint32_t)m->at, (uint32_t)n}};
    m->at += n;
    return push_new(m, node);
}

static tc_status push_long(machine *m) {
    uint64_t n, v;
    tc_status status = argument(m, 1, &n);
    if (status != TC_OK) return status;
    m->at--;
    if (n > 8) return push_text(m, 1, TC_P_LONG);
    m->at++;
    status = argument(m, (size_t)n, &v);
    if (status != TC_OK) return status;
    if (n > 0 && n < 8 && v >> (8 * n - 1)) v |= UINT64_MAX << (8 * n);
    return push_int(m, TC_P_INT, (int64_t)v);
}

/* Two lines: module and name. */
static tc_status push_global(machine *m) {
    size_t start = m->at, lines = 0;
    while (m->at < m->size && lines < 2 && m->at - start < 1024) lines += m->p->data[m->at++] == '\n';
    if (lines < 2) return m->at >= m->size ? ended(m) : refuse(m, "its name is longer than 1024 bytes");
    return push_new(
        m, (tc_pnode){.kind = TC_P_GLOBAL, .text = {(uint32_t)start, (uint32_t)(m->at - 1 - start)}});
}

/* ---- containers */

static bool add_item(tc_pickle *p, tc_pnode *to, uint32_t key, uint32_t value) {
    if (!tc_grow(&p->items, &p->item_capacity, p->item_count + 1, sizeof *p->items)) return false;
    uint32_t item = (uint32_t)p->item_count++;
    p->items[item] = (tc_pitem){key, value, 0};
    if (to->items.last) p->items[to->items.last].next = item;
    else to->items.first = item;
    to->items.last = item;
    to->items.count++;
    return true;
}

/* Moves everything above `height` into the node; pairs for a DICT. What an unknown object gets is dropped:
 * nobody will look at it. */
static tc_status fill(machine *m, size_t height, tc_pnode *to) {
    bool pairs = to->kind == TC_P_DICT;
    for (size_t i = height; i < m->depth && to->kind != TC_P_OBJECT; i += pairs ? 2 : 1)
        if (!add_item(m->p, to, pairs ? m->stack[i] : 0, m->stack[i + pairs])) return out_of_memory(m);
    m->depth = height;
    return TC_OK;
}

static tc_status push_filled(machine *m, size_t height, tc_pkind kind) {
    tc_pnode node = {.kind = kind};
    if (kind == TC_P_DICT && (m->depth - height) % 2) return refuse(m, "a key has no value");
    tc_status status = fill(m, height, &node);
    return status == TC_OK ? push_new(m, node) : status;
}

static tc_status push_from_mark(machine *m, tc_pkind kind) {
    size_t height = 0;
    tc_status status = pop_mark(m, &height);
    return status == TC_OK ? push_filled(m, height, kind) : status;
}

static tc_status push_tuple(machine *m, size_t n) {
    tc_status status = need(m, n);
    return status == TC_OK ? push_filled(m, m->depth - n, TC_P_TUPLE) : status;
}

/* APPEND, APPENDS, SETITEM, SETITEMS: everything above `height` goes into what lies under it. */
static tc_status add_to_top(machine *m, size_t height, tc_pkind kind) {
    if (height <= floor_of(m)) return refuse(m, "the stack holds too few values");
    tc_pnode *to = &m->p->nodes[m->stack[height - 1]];
    if (to->kind != kind && to->kind != TC_P_OBJECT)
        return refuse(m, kind == TC_P_DICT ? "its target is not a dict" : "its target is not a list");
    if (kind == TC_P_DICT && (m->depth - height) % 2) return refuse(m, "a key has no value");
    return fill(m, height, to);
}

static tc_status add_one(machine *m, size_t n, tc_pkind kind) {
    tc_status status = need(m, n + 1);
    return status == TC_OK ? add_to_top(m, m->depth - n, kind) : status;
}

static tc_status add_many(machine *m, tc_pkind kind) {
    size_t height = 0;
    tc_status status = pop_mark(m, &height);
    return status == TC_OK ? add_to_top(m, height, kind) : status;
}

/* ---- objects */

/* REDUCE and NEWOBJ: callable and arguments become one node. An OrderedDict without arguments is a dict. */
static tc_status push_object(machine *m) {
    tc_status status = need(m, 2);
    if (status != TC_OK) return status;
    uint32_t args = m->stack[m->depth - 1], callee = m->stack[m->depth - 2];
    if (!tc_pickle_is(m->p, args, TC_P_TUPLE)) return refuse(m, "its arguments are not a tuple");
    if (!tc_pickle_is(m->p, callee, TC_P_GLOBAL) && !tc_pickle_is(m->p, callee, TC_P_OBJECT))
        return refuse(m, "what it calls is not a global");
    m->depth -= 2;
    if (tc_pickle_text_is(m->p, callee, TC_P_GLOBAL, "collections\nOrderedDict") &&
        m->p->nodes[args].items.count == 0)
        return push_kind(m, TC_P_DICT);
    return push_new(m, (tc_pnode){.kind = TC_P_OBJECT, .object = {callee, args, 0}});
}

/* The attributes of an OrderedDict (_metadata) are of no use here. */
static tc_status build(machine *m) {
    tc_status status = need(m, 2);
    if (status != TC_OK) return status;
    uint32_t state = m->stack[--m->depth];
    if (top(m)->kind == TC_P_OBJECT) top(m)->object.state = state;
    else if (top(m)->kind != TC_P_DICT) return refuse(m, "its target is not an object");
    return TC_OK;
}

static tc_status push_storage(machine *m) {
    tc_status status = need(m, 1);
    if (status != TC_OK) return status;
    return push_new(m, (tc_pnode){.kind = TC_P_STORAGE, .id = m->stack[--m->depth]});
}

static tc_status protocol(machine *m) {
    uint64_t v;
    tc_status status = argument(m, 1, &v);
    if (status != TC_OK) return status;
    if (m->op_at != 0) return refuse(m, "only allowed at the start");
    if (v == 2) return TC_OK;
    return tc_fail(m->err, TC_EUNSUPPORTED, "%s: offset %zu: pickle protocol %u, only 2 is read", m->p->where,
                   m->p->base, (unsigned)v);
}

static tc_status stop(machine *m) {
    if (m->mark_count || m->depth != 1) return refuse(m, "the stack does not hold exactly one value");
    m->p->root = m->stack[0];
    m->stopped = true;
    return TC_OK;
}

/* ---- the loop */

static tc_status step_value(machine *m) {
    switch (m->op) {
    case 'N':
        return push_kind(m, TC_P_NONE);
    case 0x88:
        return push_int(m, TC_P_BOOL, 1);
    case 0x89:
        return push_int(m, TC_P_BOOL, 0);
    case 'K':
        return push_small(m, 1, false);
    case 'M':
        return push_small(m, 2, false);
    case 'J':
        return push_small(m, 4, true);
    case 0x8a:
        return push_long(m);
    case 'G':
        return push_float(m);
    case 'X':
        return push_text(m, 4, TC_P_STRING);
    case 'U':
        return push_text(m, 1, TC_P_STRING);
    case 'c':
        return push_global(m);
    case ')':
        return push_kind(m, TC_P_TUPLE);
    case ']':
        return push_kind(m, TC_P_LIST);
    case '}':
        return push_kind(m, TC_P_DICT);
    case 0x8f:
        return push_kind(m, TC_P_SET);
    default:
        return refuse(m, op_names[m->op] ? "not an opcode of a state dict" : "not an opcode of any pickle");
    }
}

static tc_status step(machine *m) {
    switch (m->op) {
    case 0x80:
        return protocol(m);
    case '.':
        return stop(m);
    case '(':
        return put_mark(m);
    case 'q':
        return put_memo(m, 1);
    case 'r':
        return put_memo(m, 4);
    case 'h':
        return get_memo(m, 1);
    case 'j':
        return get_memo(m, 4);
    case 't':
        return push_from_mark(m, TC_P_TUPLE);
    case 'l':
        return push_from_mark(m, TC_P_LIST);
    case 'd':
        return push_from_mark(m, TC_P_DICT);
    case 0x85:
        return push_tuple(m, 1);
    case 0x86:
        return push_tuple(m, 2);
    case 0x87:
        return push_tuple(m, 3);
    case 'a':
        return add_one(m, 1, TC_P_LIST);
    case 'e':
        return add_many(m, TC_P_LIST);
    case 's':
        return add_one(m, 2, TC_P_DICT);
    case 'u':
        return add_many(m, TC_P_DICT);
    case 'R':
        return push_object(m);
    case 0x81:
        return push_object(m);
    case 'b':
        return build(m);
    case 'Q':
        return push_storage(m);
    default:
        return step_value(m);
    }
}

static tc_status run(machine *m) {
    if (m->size > 0 && m->p->data[0] != 0x80)
        return tc_fail(m->err, TC_EFORMAT, "%s: offset %zu: byte 0x%02x, expected the start of a pickle",
                       m->p->where, m->p->base, m->p->data[0]);
    while (!m->stopped) {
        if (m->at >= m->size) return ended(m);
        m->op_at = m->at;
        m->op = m->p->data[m->at++];
        tc_status status = step(m);
        if (status != TC_OK) return status;
    }
    return TC_OK;
}

tc_status tc_pickle_read(tc_pickle *p, const void *data, size_t size, const char *where, size_t base,
                         size_t *used, bool *cut, tc_error *err) {
    *p = (tc_pickle){.data = data, .where = where, .base = base, .node_count = 1, .item_count = 1};
    if (cut) *cut = false;
    if (size > TC_PICKLE_BYTES)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: a pickle of %zu bytes, at most %d are read", where, size,
                       TC_PICKLE_BYTES);
    machine m = {.p = p, .size = size, .cut = cut, .err = err};
    tc_status status = run(&m);
    if (status == TC_OK && used) *used = m.at;
    else if (status == TC_OK && m.at != size)
        status = tc_fail(err, TC_EFORMAT, "%s: offset %zu: %zu bytes behind STOP", where, base + m.at,
                         size - m.at);
    free(m.stack);
    free(m.marks);
    free(m.memo);
    return status;
}

void tc_pickle_free(tc_pickle *p) {
    free(p->nodes);
    free(p->items);
    *p = (tc_pickle){0};
}

/* ---- looking at values */

bool tc_pickle_is(const tc_pickle *p, uint32_t node, tc_pkind kind) {
    return node && p->nodes[node].kind == (uint32_t)kind;
}

static bool same_text(const tc_pickle *p, uint32_t node, const char *text, size_t size) {
    const tc_pnode *n = &p->nodes[node];
    return n->text.size == size && memcmp(p->data + n->text.start, text, size) == 0;
}

bool tc_pickle_text_is(const tc_pickle *p, uint32_t node, tc_pkind kind, const char *text) {
    return tc_pickle_is(p, node, kind) && same_text(p, node, text, strlen(text));
}

bool tc_pickle_int(const tc_pickle *p, uint32_t node, int64_t *out) {
    if (!tc_pickle_is(p, node, TC_P_INT)) return false;
    *out = p->nodes[node].integer;
    return true;
}

uint32_t tc_pickle_get(const tc_pickle *p, uint32_t dict, const char *key) {
    uint32_t found = 0;
    if (!tc_pickle_is(p, dict, TC_P_DICT)) return 0;
    for (uint32_t i = p->nodes[dict].items.first; i; i = p->items[i].next)
        if (tc_pickle_text_is(p, p->items[i].key, TC_P_STRING, key)) found = p->items[i].value;
    return found;
}

bool tc_pickle_tuple(const tc_pickle *p, uint32_t node, uint32_t *out, uint32_t n, uint32_t most,
                     uint32_t *count) {
    if (!tc_pickle_is(p, node, TC_P_TUPLE) && !tc_pickle_is(p, node, TC_P_LIST)) return false;
    uint32_t have = p->nodes[node].items.count;
    if (have < n || have > most) return false;
    for (uint32_t i = p->nodes[node].items.first; i; i = p->items[i].next) *out++ = p->items[i].value;
    if (count) *count = have;
    return true;
}

/* "module.name" of a global or of what an object comes from, cut to a sensible length, without bytes that
 * would spoil a message. */
static void global_name(const tc_pickle *p, uint32_t node, char *out, size_t size) {
    /* made before it, so this ends */
    while (p->nodes[node].kind == TC_P_OBJECT) node = p->nodes[node].object.callee;
    size_t n = p->nodes[node].text.size;
    if (n > size - 1) n = size - 1;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = p->data[p->nodes[node].text.start + i];
        out[i] = c >= 0x20 && c < 0x7f ? (char)c : '?';
        if (c == '\n') out[i] = '.';
    }
    out[n] = 0;
}

const char *tc_pickle_describe(const tc_pickle *p, uint32_t node, char *buffer, size_t size) {
    static const char *const kinds[] = {
        "None",   "a truth value", "a whole number", "a whole number", "a number",  "a string", "a tuple",
        "a list", "a set",         "a dict",         "a global",       "an object", "a storage"};
    char name[100];
    const tc_pnode *n = &p->nodes[node];
    if (node == 0) return "nothing";
    if (n->kind == TC_P_OBJECT || n->kind == TC_P_GLOBAL) {
        global_name(p, node, name, sizeof name);
        snprintf(buffer, size, "the %s %s", n->kind == TC_P_OBJECT ? "object" : "global", name);
        return buffer;
    }
    return kinds[n->kind];
}
