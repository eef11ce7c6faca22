/* test_pickle.c - every rule of the pickle machine, and of what a tensor in it may be, each with a pickle
 * that breaks it and nothing else.
 *
 * `test_pickle --write-cases DIR` also writes the pickles, as seeds for fuzzing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "torch_cases.h"

/* ---- pickles written out; PROTO 2 stands before each of them */

#define CASE(name, bytes, message) \
    { name, bytes, sizeof(bytes) - 1, message }

static const struct {
    const char *name, *bytes;
    size_t size;
    const char *message;
} cases[] = {
    /* too little on the stack, for each opcode that takes from it; a mark hides what lies under it */
    CASE("under-stop", ".", "offset 2: STOP: the stack does not hold exactly one value"),
    CASE("under-tuple", "}t.", "offset 3: TUPLE: there is no MARK"),
    CASE("under-list", "}l.", "offset 3: LIST: there is no MARK"),
    CASE("under-dict", "}d.", "offset 3: DICT: there is no MARK"),
    CASE("under-appends", "]e.", "offset 3: APPENDS: there is no MARK"),
    CASE("under-setitems", "}u.", "offset 3: SETITEMS: there is no MARK"),
    CASE("under-appends-target", "(e.", "offset 3: APPENDS: the stack holds too few"),
    CASE("under-setitems-target", "(u.", "offset 3: SETITEMS: the stack holds too few"),
    CASE("under-appends-mark", "](}(e.", "APPENDS: its target is not a list"),
    CASE("under-setitems-mark", "}((u.", "SETITEMS: the stack holds too few"),
    CASE("under-tuple1", "\x85.", "offset 2: TUPLE1: the stack holds too few"),
    CASE("under-tuple2", "N\x86.", "offset 3: TUPLE2: the stack holds too few"),
    CASE("under-tuple3", "NN\x87.", "offset 4: TUPLE3: the stack holds too few"),
    CASE("under-tuple1-mark", "N(\x85.", "TUPLE1: the stack holds too few"),
    CASE("under-append", "]a.", "offset 3: APPEND: the stack holds too few"),
    CASE("under-append-mark", "](Na.", "APPEND: the stack holds too few"),
    CASE("under-setitem", "}Ns.", "offset 4: SETITEM: the stack holds too few"),
    CASE("under-setitem-mark", "}(NNs.", "SETITEM: the stack holds too few"),
    CASE("under-reduce", ")R.", "offset 3: REDUCE: the stack holds too few"),
    CASE("under-newobj", ")\x81.", "offset 3: NEWOBJ: the stack holds too few"),
    CASE("under-build", "}b.", "offset 3: BUILD: the stack holds too few"),
    CASE("under-binpersid", "Q.", "offset 2: BINPERSID: the stack holds too few"),
    CASE("under-binput", "q\0.", "offset 2: BINPUT: the stack holds too few"),
    CASE("under-long-binput", "r\0\0\0\0.", "offset 2: LONG_BINPUT: the stack holds too few"),
    CASE("under-binput-mark", "}(q\0.", "BINPUT: the stack holds too few"),
    CASE("stop-two", "}}.", "STOP: the stack does not hold exactly one value"),
    CASE("stop-mark", "}(.", "STOP: the stack does not hold exactly one value"),
    /* the memo */
    CASE("memo-dangling", "h\5.", "offset 2: BINGET: nothing was put into this place"),
    CASE("memo-forward", "}h\1q\1.", "offset 3: BINGET: nothing was put into this place"),
    CASE("memo-hole", "}q\2h\1.", "BINGET: nothing was put into this place"),
    CASE("memo-get-last", "j\xff\xff\xff\xff.", "LONG_BINGET: nothing was put into this place"),
    CASE("memo-put-last", "}r\xff\xff\xff\xff.", "LONG_BINPUT: the memo has no place of this number"),
    CASE("memo-put-far", "}r\0\0\1\0.", "LONG_BINPUT: the memo has no place of this number"),
    /* targets and arguments of the wrong kind */
    CASE("append-to-dict", "}Na.", "APPEND: its target is not a list"),
    CASE("append-to-tuple", ")Na.", "APPEND: its target is not a list"),
    CASE("setitem-on-list", "]NNs.", "SETITEM: its target is not a dict"),
    CASE("setitem-on-number", "K\1NNs.", "SETITEM: its target is not a dict"),
    CASE("setitems-odd", "}(NNNu.", "SETITEMS: a key has no value"),
    CASE("dict-odd", "(Nd.", "DICT: a key has no value"),
    CASE("build-on-list", "]}b.", "BUILD: its target is not an object"),
    CASE("reduce-number", "K\1)R.", "REDUCE: what it calls is not a global"),
    CASE("reduce-arguments", "cos\nsystem\n]R.", "REDUCE: its arguments are not a tuple"),
    CASE("newobj-string", "U\1a)\x81.", "NEWOBJ: what it calls is not a global"),
    /* lengths */
    CASE("unicode-4g",
         "X\xff\xff\xff\xff"
         "abc.",
         "cut short"),
    CASE("unicode-one-more", "X\2\0\0\0.", "cut short"),
    CASE("binstring-long", "U\xff.", "cut short"),
    CASE("long1-long", "\x8a\xff.", "cut short"),
    CASE("float-short", "G\0\0.", "cut short"),
    CASE("global-one-line", "ctorch\n", "cut short"),
    CASE("no-stop", "}", "cut short"),
    CASE("behind-stop", "}.N", "offset 4: 1 bytes behind STOP"),
    CASE("second-pickle", "}.\x80\2}.", "offset 4: 4 bytes behind STOP"),
    CASE("proto-again", "\x80\2}.", "offset 2: PROTO: only allowed at the start"),
    /* what a state dict must be */
    CASE("root-none", "N.", "data.pkl: holds None, expected a dict of tensors"),
    CASE("root-list", "].", "holds a list, expected a dict"),
    CASE("root-number", "K\1.", "holds a whole number, expected a dict"),
    CASE("root-global", "cos\nsystem\n.", "holds the global os.system, expected a dict"),
    CASE("root-call", "cos\nsystem\nU\1a\x85R.", "holds the object os.system, expected a dict"),
    CASE("root-call-of-call", "cos\nsystem\nU\1a\x85R)R.", "holds the object os.system, expected a dict"),
    CASE("root-storage", ")Q.", "holds a storage, expected a dict"),
    CASE("value-number", "}U\1aK\1s.", "'a' is a whole number, expected a tensor"),
    CASE("value-none", "}U\1aNs.", "'a' is None, expected a tensor"),
    CASE("value-list", "}U\1a]s.", "'a' is a list, expected a tensor"),
    CASE("value-set", "}U\1a\x8fs.", "'a' is a set, expected a tensor"),
    CASE("value-object", "}U\1acbuiltins\neval\nU\0011\x85Rs.",
         "'a' is the object builtins.eval, expected a tensor"),
    CASE("value-in-state-dict", "}U\nstate_dict}U\1aK\1ss.", "'a' is a whole number, expected a tensor"),
    CASE("state-dict-object", "}U\nstate_dictcm\nNet\n)\x81s.", "holds the object m.Net, expected a dict"),
    CASE("control-in-global", "}U\1acm\na\tb\x1b\n)\x81s.", "'a' is the object m.a?b?, expected a tensor"),
    CASE("key-number", "}K\1Ns.", "a key is a whole number, expected a string"),
    CASE("key-nested-number", "}U\1a}K\1Nss.", "below 'a': a key is a whole number"),
    CASE("key-not-utf8", "}U\1\xffNs.", "a name is not UTF-8"),
    CASE("key-nul", "}U\3a\0bNs.", "a name is not UTF-8, or holds a NUL"),
    CASE("self-holding-dict", "}q\0U\1ah\0s.", "nested more than 64 deep, or holding itself"),
    CASE("rebuild-nothing", "}U\1actorch._utils\n_rebuild_tensor_v2\n)Rs.",
         "'a': it is not made from a storage"),
    CASE("rebuild-one", "}U\1actorch._utils\n_rebuild_tensor_v2\n(K\1K\1))tRs.",
         "'a': it is not made from a storage"),
    CASE("parameter-of-nothing", "}U\1actorch._utils\n_rebuild_parameter\n)Rs.",
         "'a' is the object torch._utils._rebuild_parameter"),
    CASE("storage-number", "}U\1actorch._utils\n_rebuild_tensor_v2\n(K\1QK\0))tRs.",
         "a persistent id is not that of a storage"),
    CASE("storage-other", "}U\1actorch._utils\n_rebuild_tensor_v2\n((U\6moduleNNNNtQK\0))tRs.",
         "a persistent id is not that of a storage"),
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_buf b = {0};
        pk_start(&b);
        tc_buf_add(&b, cases[i].bytes, cases[i].size);
        expect_pickle(cases[i].name, &b, cases[i].message);
    }
}

/* Every opcode that state dicts do not have, by its name; the first byte must be PROTO, and say 2. */
static void test_opcodes(void **state) {
    (void)state;
    static const char known[] = "\x80.(NKMJ\x8aGXUc)]}\x8fqrhjtld\x85\x86\x87"
                                "aesuR\x81"
                                "bQ\x88\x89";
    static const struct {
        char op;
        const char *name;
    } named[] = {{'0', "POP"},        {'2', "DUP"},        {'i', "INST"},         {'o', "OBJ"},
                 {'I', "INT"},        {'S', "STRING"},     {'B', "BINBYTES"},     {'\x93', "STACK_GLOBAL"},
                 {'\x94', "MEMOIZE"}, {'\x95', "FRAME"},   {'\x92', "NEWOBJ_EX"}, {'\x8b', "LONG4"},
                 {'\x82', "EXT1"},    {'\x90', "ADDITEMS"}};
    for (int op = 0; op < 256; op++) {
        if (memchr(known, op, sizeof known - 1)) continue;
        char name[40], message[80] = "of any pickle";
        snprintf(name, sizeof name, "opcode-%02x", op);
        for (size_t k = 0; k < sizeof named / sizeof *named; k++)
            if ((uint8_t)named[k].op == op)
                snprintf(message, sizeof message, "offset 3: %s: not an opcode of a state dict",
                         named[k].name);
        tc_buf b = {0};
        zip_make z;
        pk_start(&b);
        tc_buf_add(&b, (const char[]){'}', (char)op, '.'}, 3);
        const char *dir = cases_dir;
        cases_dir = NULL; /* too many seeds that are alike */
        finish_pickle(&z, &b, 1);
        expect_refused(name, &z.b, strstr(message, "offset") ? message : "not an opcode of a");
        cases_dir = dir;
        tc_buf_free(&z.b);
    }
    for (int version = 0; version < 7; version++) {
        char message[60];
        if (version == 2) continue;
        snprintf(message, sizeof message, "offset 0: pickle protocol %d, only 2 is read", version);
        tc_buf b = {0};
        tc_buf_add(&b, (const char[]){'\x80', (char)version, '}', '.'}, 4);
        expect_pickle("protocol", &b, message);
    }
    tc_buf b = {0};
    pk_op(&b, "}.");
    expect_pickle("no-proto", &b, "offset 0: byte 0x7d, expected the start of a pickle");
    b = (tc_buf){0};
    expect_pickle("no-bytes", &b, "cut short");
}

/* ---- tensors */

static void start_tensor(tc_buf *b) {
    *b = (tc_buf){0};
    pk_start(b);
    pk_op(b, "}(");
    pk_str(b, "a");
}

static const struct {
    const char *name;
    pk_tensor_args args;
    const char *message; /* NULL: accepted */
} tensors[] = {
#define SIZE(...) \
    (const int64_t[]) { __VA_ARGS__ }
    {"size-fits", {"FloatStorage", "0", 4, 0, 2, 2, SIZE(2, 2), SIZE(2, 1)}, NULL},
    {"size-negative",
     {"FloatStorage", "0", 4, 0, 1, 1, SIZE(-1), SIZE(1)},
     "tensor 'a': its size is not a tuple of whole numbers >= 0"},
    {"stride-negative",
     {"FloatStorage", "0", 4, 3, 1, 1, SIZE(4), SIZE(-1)},
     "tensor 'a': its stride is not a tuple"},
    {"stride-zero", {"FloatStorage", "0", 4, 3, 2, 2, SIZE(4, 3), SIZE(0, 0)}, NULL},
    {"stride-overlap", {"FloatStorage", "0", 4, 0, 2, 2, SIZE(3, 2), SIZE(1, 1)}, NULL},
    {"axes-8",
     {"FloatStorage", "0", 4, 0, 8, 8, SIZE(1, 1, 1, 1, 1, 1, 1, 4), SIZE(1, 1, 1, 1, 1, 1, 1, 1)},
     NULL},
    {"axes-9",
     {"FloatStorage", "0", 4, 0, 9, 9, SIZE(1, 1, 1, 1, 1, 1, 1, 1, 1), SIZE(1, 1, 1, 1, 1, 1, 1, 1, 1)},
     "tensor 'a' has 9 axes"},
    {"lengths-differ",
     {"FloatStorage", "0", 4, 0, 2, 1, SIZE(2, 2), SIZE(1)},
     "tensor 'a': its size and stride differ in length"},
    {"offset-negative",
     {"FloatStorage", "0", 4, -1, 1, 1, SIZE(2), SIZE(1)},
     "tensor 'a': its offset is not"},
    {"offset-past",
     {"FloatStorage", "0", 4, 4, 1, 1, SIZE(1), SIZE(1)},
     "it reaches beyond storage 0 of 4 elements"},
    {"offset-far",
     {"FloatStorage", "0", 4, INT64_MAX, 1, 1, SIZE(2), SIZE(1)},
     "it reaches beyond storage 0"},
    {"offset-scalar", {"FloatStorage", "0", 4, 4, 0, 0, NULL, NULL}, "it reaches beyond storage 0"},
    {"offset-empty", {"FloatStorage", "0", 4, 5, 1, 1, SIZE(0), SIZE(1)}, "it reaches beyond storage 0"},
    {"empty-at-end", {"FloatStorage", "0", 4, 4, 2, 2, SIZE(INT64_MAX, 0), SIZE(1, 1)}, NULL},
    {"extent-one", {"FloatStorage", "0", 4, 0, 1, 1, SIZE(5), SIZE(1)}, "it reaches beyond storage 0"},
    {"extent-stride",
     {"FloatStorage", "0", 4, 0, 2, 2, SIZE(2, 2), SIZE(3, 1)},
     "it reaches beyond storage 0"},
    {"extent-overflow",
     {"FloatStorage", "0", 4, 0, 2, 2, SIZE(3, 1), SIZE(INT64_MAX, 1)},
     "it reaches beyond storage 0"},
    {"extent-wraps",
     {"FloatStorage", "0", 4, 0, 2, 2, SIZE(3, 3), SIZE(INT64_MAX, INT64_MAX)},
     "it reaches beyond storage 0"},
    {"numel-wraps",
     {"FloatStorage", "0", 4, 0, 1, 1, SIZE(0x4000000000000001), SIZE(0)},
     "its size is too large for any file"},
    {"product-wraps",
     {"FloatStorage", "0", 4, 0, 2, 2, SIZE(INT64_MAX, 4), SIZE(0, 0)},
     "its size is too large for any file"},
    {"expanded-far",
     {"FloatStorage", "0", 4, 0, 2, 2, SIZE(1 << 20, 1 << 20), SIZE(0, 0)},
     "takes far more memory than the file has bytes"},
    {"storage-wraps",
     {"FloatStorage", "0", 0x4000000000000001, 0, 1, 1, SIZE(1), SIZE(1)},
     "the size of storage 0 makes no sense"},
    {"storage-negative",
     {"FloatStorage", "0", -4, 0, 1, 1, SIZE(1), SIZE(1)},
     "the size of storage 0 makes no sense"},
    {"storage-size",
     {"FloatStorage", "0", 5, 0, 1, 1, SIZE(1), SIZE(1)},
     "'m/data/0' has 16 bytes, its 5 elements of F32 take 20"},
    {"storage-type",
     {"FloatStorage2", "0", 4, 0, 1, 1, SIZE(1), SIZE(1)},
     "storage 0 is of the unknown type the global torch.FloatStorage2"},
    {"storage-missing",
     {"FloatStorage", "1", 4, 0, 1, 1, SIZE(1), SIZE(1)},
     "storage 1 is missing (there is no data/1)"},
    {"key-dots",
     {"FloatStorage", "../x", 4, 0, 1, 1, SIZE(1), SIZE(1)},
     "the key of a storage is a string that is no decimal number"},
    {"key-slash", {"FloatStorage", "/etc/passwd", 4, 0, 1, 1, SIZE(1), SIZE(1)}, "no decimal number"},
    {"key-empty", {"FloatStorage", "", 4, 0, 1, 1, SIZE(1), SIZE(1)}, "no decimal number"},
    {"key-long",
     {"FloatStorage", "000000000000000000000000", 4, 0, 1, 1, SIZE(1), SIZE(1)},
     "no decimal number"},
    {"key-sign", {"FloatStorage", "-0", 4, 0, 1, 1, SIZE(1), SIZE(1)}, "no decimal number"},
#undef SIZE
};

static void test_tensors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        tc_buf b;
        zip_make z;
        start_tensor(&b);
        pk_tensor_of(&b, &tensors[i].args);
        pk_op(&b, "u.");
        if (tensors[i].message) {
            expect_pickle(tensors[i].name, &b, tensors[i].message);
            continue;
        }
        tc_store *s = accept_pickle(tensors[i].name, &z, &b);
        tc_store_close(&s);
        tc_buf_free(&z.b);
    }
}

/* Many copies of a tensor that is strided, and so small a file: refused before any is made. */
static void test_many_copies(void **state) {
    (void)state;
    static const int64_t size[] = {1 << 20, 4}, stride[] = {0, 1};
    tc_buf b = {0};
    pk_start(&b);
    pk_op(&b, "}(");
    for (int i = 0; i < 5; i++) {
        char name[12];
        snprintf(name, sizeof name, "%d", i);
        pk_str(&b, name);
        pk_tensor_of(&b, &(pk_tensor_args){"FloatStorage", "0", 4, 0, 2, 2, size, stride});
    }
    pk_op(&b, "u.");
    expect_pickle("many-copies", &b, "tensor '4': putting it and the other strided tensors into order");
}

static void two_tensors(tc_buf *b, const char *name, const char *type, int64_t numel) {
    const int64_t one = 1;
    start_tensor(b);
    pk_vector(b, "0", 4);
    pk_str(b, name);
    pk_tensor_of(b, &(pk_tensor_args){type, "0", numel, 0, 1, 1, &one, &one});
    pk_op(b, "u.");
}

static void test_shared(void **state) {
    (void)state;
    tc_buf b;
    two_tensors(&b, "b", "IntStorage", 4);
    expect_pickle("two-dtypes", &b, "storage 0 is named with two types or sizes");
    two_tensors(&b, "b", "FloatStorage", 3);
    expect_pickle("two-sizes", &b, "storage 0 is named with two types or sizes");
    two_tensors(&b, "a", "FloatStorage", 4);
    expect_pickle("same-name", &b, "tensor 'a' is there twice");
}

/* The sixth part of a persistent id: a view of another storage. */
static void test_storage_view(void **state) {
    (void)state;
    tc_buf b;
    for (int view = 0; view < 2; view++) {
        start_tensor(&b);
        pk_global(&b, "torch._utils", "_rebuild_tensor_v2");
        pk_op(&b, "((");
        pk_str(&b, "storage");
        pk_global(&b, "torch", "FloatStorage");
        pk_str(&b, "0");
        pk_str(&b, "cpu");
        pk_int(&b, 4);
        pk_op(&b, view ? "(NNNttQ" : "NtQ");
        pk_int(&b, 0);
        pk_ints(&b, 0, NULL);
        pk_ints(&b, 0, NULL);
        tc_buf_add(&b, "\x89}tRu.", 6);
        if (view) {
            expect_pickle("storage-view", &b, "storage 0 is a view of another");
        } else {
            zip_make z;
            tc_store *s = accept_pickle("storage-no-view", &z, &b);
            tc_store_close(&s);
            tc_buf_free(&z.b);
        }
    }
}

/* ---- growth */

static void test_marks(void **state) {
    (void)state;
    tc_buf b = {0};
    pk_start(&b);
    for (int i = 0; i < 1000000; i++) pk_op(&b, "(");
    zip_make z;
    finish_pickle(&z, &b, 0);
    const char *dir = cases_dir;
    cases_dir = NULL; /* too long a seed */
    expect_refused("marks", &z.b, "MARK: more than 10000 are open");
    cases_dir = dir;
    tc_buf_free(&z.b);
}

/* d1 = {a: d0, b: d0}, d2 = {a: d1, b: d1} ...: small where nobody looks, and refused as a state dict. */
static void doubling(tc_buf *b, int levels) {
    for (int i = 0; i < levels; i++) {
        pk_op(b, "}");
        tc_buf_add(b, (const char[]){'q', (char)(i + 1), '('}, 3);
        for (int k = 0; k < 2 && i > 0; k++) {
            pk_str(b, k ? "b" : "a");
            tc_buf_add(b, (const char[]){'h', (char)i}, 2);
        }
        pk_op(b, "u");
    }
    for (int i = 0; i + 1 < levels; i++) pk_op(b, "\x86"); /* one value: the dicts in nested tuples */
}

static void test_doubling(void **state) {
    (void)state;
    tc_buf b = {0};
    zip_make z;
    pk_start(&b);
    pk_op(&b, "}(");
    pk_str(&b, "optimizer");
    doubling(&b, 60);
    pk_str(&b, "state_dict");
    pk_op(&b, "}");
    pk_str(&b, "a");
    pk_vector(&b, "0", 4);
    pk_op(&b, "su.");
    tc_store *s = accept_pickle("doubling-beside", &z, &b);
    assert_int_equal(tc_store_count(s), 1);
    tc_store_close(&s);
    tc_buf_free(&z.b);
    pk_start(&b);
    pk_op(&b, "}(");
    pk_str(&b, "args");
    doubling(&b, 60);
    pk_str(&b, "state_dict");
    tc_buf_add(&b, "h\x3cu.", 4);
    expect_pickle("doubling", &b, "more than 131072 entries in the state dict");
}

/* A list that holds itself is nobody's business beside the weights. */
static void test_self_holding_list(void **state) {
    (void)state;
    tc_buf b = {0};
    zip_make z;
    pk_start(&b);
    pk_op(&b, "}(");
    pk_str(&b, "list");
    tc_buf_add(&b, "]q\0h\0a", 6);
    pk_str(&b, "state_dict");
    pk_op(&b, "}");
    pk_str(&b, "a");
    pk_vector(&b, "0", 4);
    pk_op(&b, "su.");
    tc_store *s = accept_pickle("self-holding-beside", &z, &b);
    tc_store_close(&s);
    tc_buf_free(&z.b);
    pk_start(&b);
    pk_op(&b, "}");
    pk_str(&b, "a");
    tc_buf_add(&b, "]q\0h\0as.", 8);
    expect_pickle("self-holding-list", &b, "'a' is a list, expected a tensor");
}

static void test_names(void **state) {
    (void)state;
    tc_buf b = {0};
    char key[700];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    pk_start(&b);
    for (int i = 0; i < 2; i++) {
        pk_op(&b, "}");
        pk_str(&b, key);
    }
    pk_op(&b, "Nss.");
    expect_pickle("name-long", &b, "a name is longer than 1023 bytes");
    pk_start(&b);
    for (int i = 0; i < 70; i++) {
        pk_op(&b, "}");
        pk_str(&b, "a");
    }
    pk_op(&b, "}");
    for (int i = 0; i < 70; i++) pk_op(&b, "s");
    pk_op(&b, ".");
    expect_pickle("deep", &b, "nested more than 64 deep");
    pk_start(&b);
    tc_buf_puts(&b, "c");
    for (int i = 0; i < 2000; i++) pk_op(&b, "m");
    pk_op(&b, "\nn\n.");
    expect_pickle("global-long", &b, "GLOBAL: its name is longer than 1024 bytes");
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--write-cases") == 0) cases_dir = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_opcodes),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_many_copies),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_storage_view),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_doubling),
        cmocka_unit_test(test_self_holding_list),
        cmocka_unit_test(test_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
