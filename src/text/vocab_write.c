/* vocab_write.c - writes a tokenizer as the files that transformers' CLIPTokenizer reads. */
#include "text/tokenizer.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

/* s as a JSON string. Everything but quotes, backslashes and control characters may stand as it is. */
static void add_json_string(tc_buf *b, const char *s) {
    tc_buf_puts(b, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') {
            tc_buf_printf(b, "\\%c", *s);
        } else if ((unsigned char)*s < 0x20) {
            tc_buf_printf(b, "\\u%04x", (unsigned)*s);
        } else {
            tc_buf_add(b, s, 1);
        }
    }
    tc_buf_puts(b, "\"");
}

static void add_vocab(tc_buf *b, const tc_vocab *v, char *const *texts) {
    for (int32_t id = 0; id < v->size; id++) {
        tc_buf_puts(b, id == 0 ? "{" : ", ");
        add_json_string(b, texts[id]);
        tc_buf_printf(b, ": %d", (int)id);
    }
    tc_buf_puts(b, "}\n");
}

static void add_merges(tc_buf *b, const tc_vocab *v, char *const *texts) {
    tc_buf_puts(b, "#version: 0.2\n");
    for (size_t r = 0; r < v->merge_count; r++)
        tc_buf_printf(b, "%s %s\n", texts[v->merges[r].left], texts[v->merges[r].right]);
}

static void add_specials(tc_buf *b, const tc_vocab *v, const char *more) {
    tc_buf_printf(b, "{\n  \"bos_token\": \"%s\",\n  \"eos_token\": \"%s\",\n", v->start_text, v->end_text);
    tc_buf_printf(b, "  \"pad_token\": \"%s\",\n  \"unk_token\": \"%s\"%s\n}\n", v->end_text, v->end_text,
                  more);
}

static tc_status write_file(const char *dir, const char *name, const tc_buf *b, tc_error *err) {
    char *path = b->failed ? NULL : tc_path_join(dir, name);
    tc_status status = path ? tc_file_write(path, b->data, b->size, err) : tc_fail_memory(err, b->size);
    free(path);
    return status;
}

tc_status tc_tokenizer_texts(const tc_tokenizer *t, tc_buf *vocab, tc_buf *merges, tc_error *err) {
    char **texts = NULL;
    char *block = tc_vocab_texts(t->vocab, &texts);
    if (block) {
        add_vocab(vocab, t->vocab, texts);
        add_merges(merges, t->vocab, texts);
    }
    bool ok = block && !vocab->failed && !merges->failed;
    free(texts);
    free(block);
    return ok ? TC_OK : tc_fail_memory(err, (size_t)t->vocab->size);
}

tc_status tc_tokenizer_hash(const tc_tokenizer *t, uint64_t *hash, tc_error *err) {
    tc_buf vocab = {0}, merges = {0};
    tc_status status = tc_tokenizer_texts(t, &vocab, &merges, err);
    if (status == TC_OK) {
        uint64_t sum = tc_hash((uint64_t)t->kind, (uint64_t)t->vocab->start, (uint64_t)t->vocab->end);
        sum = tc_checksum(tc_hash(sum, vocab.size, 0), vocab.data, vocab.size);
        *hash = tc_checksum(tc_hash(sum, merges.size, 0), merges.data, merges.size);
    }
    tc_buf_free(&vocab);
    tc_buf_free(&merges);
    return status;
}

tc_status tc_tokenizer_write_hf(const tc_tokenizer *t, const char *dir, int context, tc_error *err) {
    static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer_config.json",
                                        "special_tokens_map.json"};
    char settings[160];
    tc_buf files[4] = {{0}};
    snprintf(settings, sizeof settings,
             ",\n  \"do_lower_case\": true,\n  \"errors\": \"replace\",\n  \"model_max_length\": %d,\n"
             "  \"tokenizer_class\": \"CLIPTokenizer\"",
             context);
    tc_status status = tc_tokenizer_texts(t, &files[0], &files[1], err);
    add_specials(&files[2], t->vocab, settings);
    add_specials(&files[3], t->vocab, "");
    for (size_t k = 0; k < 4; k++) {
        if (status == TC_OK) status = write_file(dir, names[k], &files[k], err);
        tc_buf_free(&files[k]);
    }
    return status;
}
