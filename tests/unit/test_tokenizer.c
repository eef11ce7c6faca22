/* test_tokenizer.c - the tokenizer beyond its golden texts: cutting, invalid bytes, hostile lengths,
 * vocabularies from folders.
 *
 * The expected ids and cleaned texts are those of open_clip 3.3 and transformers 5; tests/golden has 410
 * more. */
#include "base/threads.h"
#include "text/repair.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

enum { CONTEXT = 77, MEGABYTE = 1 << 20 };

typedef struct fixture {
    tc_tokenizer *openclip, *hf;
    char *dir; /* an empty temporary folder */
} fixture;

static int setup(void **state) {
    fixture *f = tc_new(1, sizeof *f);
    f->dir = scratch_dir();
    *state = f;
    return tc_tokenizer_create(&f->openclip, TC_TOKENIZER_OPENCLIP, NULL) ||
           tc_tokenizer_create(&f->hf, TC_TOKENIZER_HF, NULL);
}

static void remove_file(const char *dir, const char *name) {
    char *path = tc_path_join(dir, name);
    unlink(path);
    free(path);
}

static int teardown(void **state) {
    static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer_config.json",
                                        "special_tokens_map.json", "tokenizer.json"};
    fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) remove_file(f->dir, names[i]);
    int failed = rmdir(f->dir);
    free(f->dir);
    tc_tokenizer_close(&f->openclip);
    tc_tokenizer_close(&f->hf);
    free(f);
    return failed;
}

/* The ids of text up to its length, and padding behind. */
static void assert_ids(const tc_tokenizer *t, const char *text, int n, const int32_t *expected, int pad) {
    int32_t ids[CONTEXT];
    int length, truncated;
    assert_int_equal(tc_tokenizer_encode(t, text, CONTEXT, ids, &length, &truncated, NULL), TC_OK);
    assert_int_equal(length, n);
    assert_int_equal(truncated, 0);
    for (int i = 0; i < CONTEXT; i++) assert_int_equal(ids[i], i < n ? expected[i] : pad);
}

static void assert_clean(const tc_tokenizer *t, const char *text, const char *expected) {
    char *cleaned;
    assert_int_equal(tc_tokenizer_clean(t, text, &cleaned, NULL), TC_OK);
    assert_string_equal(cleaned, expected);
    free(cleaned);
}

/* ---- ids */

static void ids_of_both_kinds(void **state) {
    fixture *f = *state;
    static const int32_t cat[] = {49406, 320, 1125, 539, 320, 2368, 49407};
    static const int32_t end[] = {49406, 27, 347, 40786, 4160, 91, 285, 49407};
    static const int32_t end_hf[] = {49406, 49407, 49407};
    assert_ids(f->openclip, "A  photo of a\tcat ", 7, cat, 0);
    assert_ids(f->hf, "A  photo of a\tcat ", 7, cat, 49407);
    assert_ids(f->openclip, "<|endoftext|>", 8, end, 0);
    assert_ids(f->hf, "<|endoftext|>", 3, end_hf, 49407);
    assert_ids(f->openclip, "<END_of_text>", 3, end_hf, 0);
    assert_ids(f->openclip, "", 2, (const int32_t[]){49406, 49407}, 0);
    assert_ids(f->hf, " \n ", 2, (const int32_t[]){49406, 49407}, 49407);
    assert_int_equal(tc_tokenizer_size(f->hf), 49408);
}

static void cut_to_context(void **state) {
    fixture *f = *state;
    static const char *text = "one two three four five six seven eight nine ten";
    static const int32_t all[] = {49406, 637, 1237, 2097, 2721, 3127, 4093, 5757, 7910, 7330, 2581, 49407};
    assert_ids(f->openclip, text, 12, all, 0);
    for (int context = 1; context <= 13; context++) {
        int32_t ids[13];
        int length, truncated;
        assert_int_equal(tc_tokenizer_encode(f->openclip, text, context, ids, &length, &truncated, NULL),
                         TC_OK);
        assert_int_equal(length, context < 12 ? context : 12);
        assert_int_equal(truncated, context < 12 ? 12 - context : 0);
        for (int i = 0; i < length - 1; i++) assert_int_equal(ids[i], all[i]);
        assert_int_equal(ids[length - 1], 49407);
    }
    tc_error err;
    int32_t none;
    assert_int_equal(tc_tokenizer_encode(f->openclip, text, 0, &none, NULL, NULL, &err), TC_EARG);
}

static void invalid_bytes_become_replacement_characters(void **state) {
    fixture *f = *state;
    static const char *const same[][2] = {
        {"a\xFFz", "a\uFFFDz"},
        {"a\xE2\x82z", "a\uFFFDz"},                           /* cut short: one character */
        {"a\xED\xA0\x80z", "a\uFFFD\uFFFD\uFFFDz"},           /* surrogate */
        {"a\xC0\x80z", "a\uFFFD\uFFFDz"},                     /* overlong */
        {"a\xF4\x90\x80\x80z", "a\uFFFD\uFFFD\uFFFD\uFFFDz"}, /* past U+10FFFF */
        {"a\xF0\x9F\x98", "a\uFFFD"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        char *expected;
        assert_int_equal(tc_tokenizer_clean(f->hf, same[i][1], &expected, NULL), TC_OK);
        assert_string_equal(expected, same[i][1]);
        assert_clean(f->hf, same[i][0], expected);
        free(expected);
    }
}

static void texts_may_hold_nul(void **state) {
    fixture *f = *state;
    int32_t ids[CONTEXT], expected[CONTEXT];
    assert_int_equal(tc_tokenizer_encode(f->openclip, "nullbyte", CONTEXT, expected, NULL, NULL, NULL),
                     TC_OK);
    assert_int_equal(tc_tokenizer_encode_n(f->openclip, "null\0byte", 9, CONTEXT, ids, NULL, NULL, NULL),
                     TC_OK);
    assert_memory_equal(ids, expected, sizeof ids);
    assert_int_equal(tc_tokenizer_encode_n(f->hf, "null\0byte", 9, CONTEXT, ids, NULL, NULL, NULL), TC_OK);
    assert_int_equal(ids[2], 444); /* the byte itself, end of its piece */
}

/* ---- cleaning */

static void repairs(void **state) {
    fixture *f = *state;
    static const char *const cases[][2] = {
        {"cafÃ© crÃ¨me", "café crème"},
        {"cafÃƒÂ©", "café"},
        {"voilÃ la mode", "voilà la mode"},
        {"â€œhelloâ€\xC2\x9D", "\"hello\""},
        {"â€œhelloâ€�", "\"hello�"},
        {"ÐŸÑ€Ð¸Ð²ÐµÑ‚", "привет"},
        {"РџСЂРёРІРµС‚", "привет"},
        {"Ã¤ und ä", "ä und ä"},
        {"í\u00a0½í¸\xC2\x8D", "😍"},
        {"10 â‚¬ für Öl", "10 € für öl"},
        {"Ångström naïve señor", "ångström naïve señor"},
        {"a \x1b[1;31mred\x1b[0m\x07 word\xEF\xBB\xBF", "a red word"},
        {"ﬁsh ĳs ŉ ǆ", "fish ijs 'n dž"},
        {"ＡＢＣ　１２３ ｶﾞ", "abc 123 ガ"},
        {"‘a’ “b”", "'a' \"b\""},
        {"a\r\nb\rc\u2028d", "a b c d"},
        {"\xC2\x85 cafe\u0301", "… café"},
        {"&amp;lt;b&amp;gt; &EACUTE; &notit; &#x41;&#0;&#128;&#x110000; &bogus;", "<b> é ¬it; a�€� &bogus;"},
        {"<b> &amp;amp;amp; &EACUTE;", "<b> &amp; &eacute;"},
        {"&#59; &#x1; x", "; x"},
        {"ΟΔΟΣ ΣΑΣ. Σ", "οδος σας. σ"},
        {"İstanbul", "i̇stanbul"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_clean(f->openclip, cases[i][0], cases[i][1]);
}

static void hf_cleans_little(void **state) {
    fixture *f = *state;
    assert_clean(f->hf, "CafÃ©  &amp; “X”", "cafã© &amp; “x”");
    assert_clean(f->hf, "e\u0301 ΟΔΟΣ İ", "é οδοσ i̇");
    assert_clean(f->hf, "A<|endoftext|>\u1C89 <|ENDOFTEXT|>", "a<|endoftext|>\u1C8A <|endoftext|>");
}

static void composition_orders_long_runs(void **state) {
    (void)state;
    tc_points in = {0}, out = {0};
    tc_points_add(&in, 'a');
    /* class 230, class 220, ... */
    for (int i = 0; i < MEGABYTE; i++) tc_points_add(&in, i % 2 ? 0x323 : 0x301);
    tc_points_nfc(in.at, in.n, TC_TOKENIZER_OPENCLIP, &out);
    assert_false(out.failed);
    assert_int_equal(out.n, MEGABYTE);
    assert_int_equal(out.at[0], 0x1EA1); /* a with dot below */
    for (size_t i = 1; i < out.n; i++) assert_int_equal(out.at[i], i < MEGABYTE / 2 ? 0x323 : 0x301);
    tc_points_free(&in);
    tc_points_free(&out);
}

/* ---- hostile lengths: a quadratic algorithm would not come to an end here */

static char *repeat(const char *unit, size_t size) {
    tc_buf b = {0};
    while (b.size + strlen(unit) <= size) tc_buf_puts(&b, unit);
    return tc_buf_take(&b);
}

static void long_words_are_encoded_whole(void **state) {
    static const char *const units[] = {"a", "ab", "abcdefghijklmnopqrstuvwxyz", "é", "日本", "!"};
    fixture *f = *state;
    tc_vocab *v;
    char **texts;
    assert_int_equal(tc_vocab_create(&v, NULL), TC_OK);
    char *block = tc_vocab_texts(v, &texts);
    assert_non_null(block);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        char *word = repeat(units[u], MEGABYTE);
        int32_t *ids;
        size_t n, symbols = 0;
        assert_int_equal(tc_tokenizer_ids(f->hf, word, strlen(word), &ids, &n, NULL), TC_OK);
        /* Each byte is one symbol: the ids' texts without </w> hold as many as the word has bytes. */
        for (size_t i = 1; i + 1 < n; i++) {
            for (const char *s = texts[ids[i]]; *s && strcmp(s, "</w>") != 0; s++)
                symbols += (*s & 0xC0) != 0x80;
        }
        assert_int_equal(symbols, strlen(word));
        free(ids);
        free(word);
    }
    free(texts);
    free(block);
    tc_vocab_close(&v);
}

static void endless_repairs_are_cut_off(void **state) {
    fixture *f = *state;
    static const char *const units[] = {"amp;", "Ã\xC2\x83Â", "&#38;#38;", "\xC2\x90â€"};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        char *tail = repeat(units[u], MEGABYTE), *text, *cleaned;
        tc_buf b = {0};
        tc_buf_puts(&b, "&");
        tc_buf_puts(&b, tail);
        text = tc_buf_take(&b);
        assert_int_equal(tc_tokenizer_clean(f->openclip, text, &cleaned, NULL), TC_OK);
        assert_true(strlen(cleaned) > 0);
        free(cleaned);
        free(text);
        free(tail);
    }
}

/* ---- vocabularies */

#define GOOD_VOCAB                                                                  \
    "{\"a\":0,\"b\":1,\"c\":2,\"a</w>\":3,\"b</w>\":4,\"c</w>\":5,\"ab\":6,\"abc</" \
    "w>\":7,\"<|startoftext|>\":8,\"<|endoftext|>\":9}"
#define GOOD_MERGES "#version: 0.2\na b\nab c</w>\n"

static void small_vocabulary(void **state) {
    fixture *f = *state;
    tc_tokenizer *t;
    scratch_text(f->dir, "vocab.json", GOOD_VOCAB);
    scratch_text(f->dir, "merges.txt", GOOD_MERGES);
    assert_int_equal(tc_tokenizer_open(&t, f->dir, TC_TOKENIZER_HF, NULL), TC_OK);
    assert_int_equal(tc_tokenizer_size(t), 10);
    assert_ids(t, "ABC", 3, (const int32_t[]){8, 7, 9}, 9);
    assert_ids(t, "abca", 5, (const int32_t[]){8, 6, 2, 3, 9}, 9);
    assert_ids(t, "ab", 4, (const int32_t[]){8, 0, 4, 9}, 9); /* "a" and "b</w>" do not merge */
    assert_ids(t, "az", 4, (const int32_t[]){8, 0, 9, 9},
               9); /* unknown: the end id, as transformers has it */
    tc_tokenizer_close(&t);
    assert_int_equal(tc_tokenizer_open(&t, f->dir, TC_TOKENIZER_OPENCLIP, NULL), TC_OK);
    assert_ids(t, "<start_of_text>abc", 4, (const int32_t[]){8, 8, 7, 9}, 0);
    tc_tokenizer_close(&t);
    assert_null(t);
}

static void single_file_vocabulary(void **state) {
    fixture *f = *state;
    tc_tokenizer *t;
    remove_file(f->dir, "vocab.json");
    scratch_text(f->dir, "tokenizer.json",
                 "{\"added_tokens\":[{\"id\":4,\"content\":\"<|startoftext|>\"},{\"id\":5,\"content\":\"<|"
                 "endoftext|>\"}],"
                 "\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0,\"b\":1,\"b</w>\":2,\"ab</"
                 "w>\":3},\"merges\":[[\"a\",\"b</w>\"]]}}");
    assert_int_equal(tc_tokenizer_open(&t, f->dir, TC_TOKENIZER_HF, NULL), TC_OK);
    assert_ids(t, "ab", 3, (const int32_t[]){4, 3, 5}, 5);
    tc_tokenizer_close(&t);
    remove_file(f->dir, "tokenizer.json");
}

static void bad_vocabularies_are_refused(void **state) {
    fixture *f = *state;
    static const char *const cases[][3] = {
        {"", GOOD_MERGES, "vocab.json"},
        {"[1]", GOOD_MERGES, "vocab.json"},
        {"{\"a\":0", GOOD_MERGES, "vocab.json"},
        {"{}", GOOD_MERGES, "0 entries"},
        {"{\"a\":0,\"a\":1,\"<|startoftext|>\":2,\"<|endoftext|>\":3}", "", "duplicate"},
        {"{\"a\":0,\"<|startoftext|>\":1,\"<|endoftext|>\":1}", "", "occurs once"},
        {"{\"a\":0,\"<|startoftext|>\":1,\"<|endoftext|>\":3}", "", "occurs once"},
        {"{\"a\":-1,\"<|startoftext|>\":1,\"<|endoftext|>\":2}", "", "occurs once"},
        {"{\"a\":0.0,\"<|startoftext|>\":1,\"<|endoftext|>\":2}", "", "occurs once"},
        {"{\"a\":\"0\",\"<|startoftext|>\":1,\"<|endoftext|>\":2}", "", "occurs once"},
        {"{\"a\":99999999999999999999,\"<|startoftext|>\":1,\"<|endoftext|>\":2}", "", "vocab.json"},
        {"{\"a\":0,\"<|startoftext|>\":1,\"b\":2}", "", "<|endoftext|>"},
        {"{\"a\\u0000\":0,\"<|startoftext|>\":1,\"<|endoftext|>\":2}", "", "vocab.json"},
        {"{\"\xFF\":0,\"<|startoftext|>\":1,\"<|endoftext|>\":2}", "", "vocab.json"},
        {GOOD_VOCAB, "a z\n", "merge 1"},
        {GOOD_VOCAB, "z a\n", "left part"},
        {GOOD_VOCAB, "#version: 0.2\na b\nb c\n", "merge 2"},
        {GOOD_VOCAB, "a b c\n", "one space"},
        {GOOD_VOCAB, "a b\n\nab c</w>\n", "merge 2"},
        {GOOD_VOCAB, "a b\na\n", "merge 2"},
        {GOOD_VOCAB, " b\n", "merge 1"},
        {GOOD_VOCAB, "a \n", "merge 1"},
        {GOOD_VOCAB, "a b\r\n", "merge 1"},
        {GOOD_VOCAB, "a b\na b\n", "repeats merge 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_tokenizer *t;
        tc_error err;
        scratch_text(f->dir, "vocab.json", cases[i][0]);
        scratch_text(f->dir, "merges.txt", cases[i][1]);
        assert_int_equal(tc_tokenizer_open(&t, f->dir, TC_TOKENIZER_HF, &err), TC_EFORMAT);
        assert_null(t);
        assert_non_null(strstr(err.message, cases[i][2]));
        assert_non_null(strstr(err.message, f->dir));
    }
}

#define MODEL_START "{\"model\":{\"end_of_word_suffix\":\"</w>\""
#define SPECIALS ",\"vocab\":{\"<|startoftext|>\":0,\"<|endoftext|>\":1}"

static void bad_single_files_are_refused(void **state) {
    fixture *f = *state;
    static const char *const cases[] = {
        "{}",
        MODEL_START "}}",
        MODEL_START SPECIALS "}}",
        MODEL_START SPECIALS ",\"merges\":[3]}}",
        MODEL_START SPECIALS ",\"merges\":[[\"a\"]]}}",
        MODEL_START SPECIALS ",\"merges\":[]},\"added_tokens\":[{\"id\":1}]}",
        MODEL_START SPECIALS ",\"merges\":[]},\"added_tokens\":[{\"id\":1,\"content\":\"<|startoftext|>\"}]}",
    };
    remove_file(f->dir, "vocab.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_tokenizer *t;
        tc_error err;
        scratch_text(f->dir, "tokenizer.json", cases[i]);
        tc_status status = tc_tokenizer_open(&t, f->dir, TC_TOKENIZER_HF, &err);
        assert_int_equal(status, i == 0 ? TC_EUNSUPPORTED : TC_EFORMAT);
        assert_non_null(strstr(err.message, "tokenizer.json"));
    }
    remove_file(f->dir, "tokenizer.json");
    tc_tokenizer *t;
    assert_int_equal(tc_tokenizer_open(&t, f->dir, TC_TOKENIZER_HF, NULL), TC_EIO);
}

static void written_folder_opens_again(void **state) {
    fixture *f = *state;
    static const char *const texts[] = {"a photo of a cat", "Ünïcödé 日本語 😀 it's 12", "x\"\\y",
                                        "aaaa bbbb zzzz"};
    tc_tokenizer *t;
    assert_int_equal(tc_tokenizer_write_hf(f->openclip, f->dir, 77, NULL), TC_OK);
    assert_int_equal(tc_tokenizer_open(&t, f->dir, TC_TOKENIZER_HF, NULL), TC_OK);
    assert_int_equal(tc_tokenizer_size(t), 49408);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int32_t expected[CONTEXT], ids[CONTEXT];
        assert_int_equal(tc_tokenizer_encode(f->hf, texts[i], CONTEXT, expected, NULL, NULL, NULL), TC_OK);
        assert_int_equal(tc_tokenizer_encode(t, texts[i], CONTEXT, ids, NULL, NULL, NULL), TC_OK);
        assert_memory_equal(ids, expected, sizeof ids);
    }
    /* And what is read can be written: the same vocabulary again. */
    char *path = tc_path_join(f->dir, "vocab.json"), *before, *after;
    size_t before_size, after_size;
    assert_int_equal(tc_file_read(path, MEGABYTE * 2, &before, &before_size, NULL), TC_OK);
    assert_int_equal(tc_tokenizer_write_hf(t, f->dir, 77, NULL), TC_OK);
    assert_int_equal(tc_file_read(path, MEGABYTE * 2, &after, &after_size, NULL), TC_OK);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, before_size);
    free(before);
    free(after);
    free(path);
    tc_tokenizer_close(&t);
}

typedef struct shared {
    const tc_tokenizer *tokenizer;
    const char *const *texts;     /* [4] */
    int32_t (*expected)[CONTEXT]; /* [4] */
    atomic_int wrong;
} shared;

static void encode_again(void *user, int64_t i) {
    shared *s = user;
    int32_t ids[CONTEXT];
    tc_status status = tc_tokenizer_encode(s->tokenizer, s->texts[i % 4], CONTEXT, ids, NULL, NULL, NULL);
    if (status != TC_OK || memcmp(ids, s->expected[i % 4], sizeof ids) != 0) atomic_fetch_add(&s->wrong, 1);
}

static void threads_share_a_tokenizer(void **state) {
    fixture *f = *state;
    static const char *const texts[] = {"a photo of a cat", "cafÃ© &amp; crÃ¨me", "日本語 and ελληνικά",
                                        "it's 12 o'clock"};
    int32_t expected[4][CONTEXT];
    for (int i = 0; i < 4; i++)
        assert_int_equal(tc_tokenizer_encode(f->openclip, texts[i], CONTEXT, expected[i], NULL, NULL, NULL),
                         TC_OK);
    shared all = {f->openclip, texts, expected, 0};
    int before = tc_threads_enter(4);
    tc_parallel_each(400, encode_again, &all);
    tc_threads_leave(before);
    assert_int_equal(atomic_load(&all.wrong), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_both_kinds),
        cmocka_unit_test(cut_to_context),
        cmocka_unit_test(invalid_bytes_become_replacement_characters),
        cmocka_unit_test(texts_may_hold_nul),
        cmocka_unit_test(repairs),
        cmocka_unit_test(hf_cleans_little),
        cmocka_unit_test(composition_orders_long_runs),
        cmocka_unit_test(long_words_are_encoded_whole),
        cmocka_unit_test(endless_repairs_are_cut_off),
        cmocka_unit_test(small_vocabulary),
        cmocka_unit_test(single_file_vocabulary),
        cmocka_unit_test(bad_vocabularies_are_refused),
        cmocka_unit_test(bad_single_files_are_refused),
        cmocka_unit_test(written_folder_opens_again),
        cmocka_unit_test(threads_share_a_tokenizer),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
