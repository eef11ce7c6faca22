/* pickle.h - inside store/: a Python pickle of protocol 2 read as data. Nothing is imported, called or built:
 * a global is a name, a call is a node that holds a name and its arguments. What comes out is a graph of
 * small nodes over the bytes of the pickle, which must outlive it.
 *
 * Format: the opcodes as CPython's pickletools documents them. */
#ifndef TC_PICKLE_H
#define TC_PICKLE_H

#include "store/store.h"

enum { TC_PICKLE_BYTES = 1 << 28, TC_PICKLE_NODES = 1 << 24, TC_PICKLE_MARKS = 10000 };

typedef enum tc_pkind {
    TC_P_NONE,
    TC_P_BOOL,
    TC_P_INT,
    TC_P_LONG, /* a LONG1 that does not fit 64 bits: `text` holds its bytes */
    TC_P_FLOAT,
    TC_P_STRING,
    TC_P_TUPLE,
    TC_P_LIST,
    TC_P_SET,
    TC_P_DICT,
    TC_P_GLOBAL, /* `text` is "module\nname" */
    TC_P_OBJECT, /* a call or a new object: never made, only noted */
    TC_P_STORAGE /* a persistent id */
} tc_pkind;

/* Other nodes and items are indices; item 0 is "none". */
typedef struct tc_pnode {
    uint32_t kind;
    union {
        int64_t integer; /* BOOL, INT */
        double real;
        struct {
            uint32_t start, size;
        } text; /* in the bytes of the pickle */
        struct {
            uint32_t first, last, count;
        } items; /* TUPLE, LIST, SET, DICT */
        struct {
            uint32_t callee, args, state; /* state 0: none was set */
        } object;
        uint32_t id; /* STORAGE: usually a tuple */
    };
} tc_pnode;

typedef struct tc_pitem {
    uint32_t key, value, next; /* key only in a DICT */
} tc_pitem;

typedef struct tc_pickle {
    const uint8_t *data;
    const char *where; /* for messages: the file and the member */
    size_t base;       /* added to offsets in messages */
    tc_pnode *nodes;   /* [1..node_count); 0 is not used */
    size_t node_count, node_capacity;
    tc_pitem *items; /* [1..item_count) */
    size_t item_count, item_capacity;
    uint32_t root; /* what STOP returned */
} tc_pickle;

/* Reads one pickle from data[0..size). *used gets its length; NULL: it must fill `size`. *cut (may be NULL)
 * tells whether the bytes ended before the pickle did. Memory: at most 128 bytes for each byte of the pickle.
 * The caller frees p in every case. */
tc_status tc_pickle_read(tc_pickle *p, const void *data, size_t size, const char *where, size_t base,
                         size_t *used, bool *cut, tc_error *err);
void tc_pickle_free(tc_pickle *p);

bool tc_pickle_is(const tc_pickle *p, uint32_t node, tc_pkind kind);
/* Is the node a string, or a global "module\nname", with just this text? */
bool tc_pickle_text_is(const tc_pickle *p, uint32_t node, tc_pkind kind, const char *text);
bool tc_pickle_int(const tc_pickle *p, uint32_t node, int64_t *out);
/* Value at a string key of a DICT (the last one set); 0 if there is none. */
uint32_t tc_pickle_get(const tc_pickle *p, uint32_t dict, const char *key);
/* The values of a TUPLE or LIST of exactly n items, or of n to `most`; *count (may be NULL) gets how many.
 * False if it is nothing of the kind. */
bool tc_pickle_tuple(const tc_pickle *p, uint32_t node, uint32_t *out, uint32_t n, uint32_t most,
                     uint32_t *count);
/* What a node is, for messages: "a string", "the object argparse.Namespace". */
const char *tc_pickle_describe(const tc_pickle *p, uint32_t node, char *buffer, size_t size);

#endif
