/* train_rig.h - a training run so small that a test can make hundreds: a dozen pictures with captions, a
 * tokenizer of single letters, towers of one block. For test_train.c and test_checkpoint.c. */
#ifndef TC_TRAIN_RIG_H
#define TC_TRAIN_RIG_H

#include "scratch.h"
#include "train/checkpoint.h"

enum { RIG_PAIRS = 12, RIG_SIDE = 8, RIG_CONTEXT = 10, RIG_IDS = 54 };

typedef struct rig {
    char *dir; /* everything lies in it */
    tc_data *data;
    tc_tokenizer *tokenizer;
    tc_model *start, *teacher;
} rig;

/* What the library told: its warnings, and all lines. */
typedef struct rig_log {
    int warnings;
    tc_buf text;
} rig_log;

static inline void rig_listen(void *user, int level, const char *line) {
    rig_log *l = user;
    l->warnings += level == 2;
    tc_buf_printf(&l->text, "%s\n", line);
}

static inline void rig_or_die(tc_status status, const tc_error *err, const char *what) {
    if (status == TC_OK) return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
}

/* Ids: a..z, then each at the end of a word, start, end. */
static inline void rig_vocabulary(const char *dir) {
    tc_buf b = {0};
    for (int i = 0; i < 52; i++)
        tc_buf_printf(&b, "%s\"%c%s\":%d", i ? "," : "{", 'a' + i % 26, i < 26 ? "" : "</w>", i);
    tc_buf_puts(&b, ",\"<|startoftext|>\":52,\"<|endoftext|>\":53}");
    scratch_text(dir, "vocab.json", b.data);
    scratch_text(dir, "merges.txt", "#version: 0.2\n");
    tc_buf_free(&b);
}

static inline tc_config rig_config(int layers, int width, int side) {
    tc_config c = {.embed_dim = 8,
                   .image_size = side,
                   .context_length = RIG_CONTEXT,
                   .vocab_size = RIG_IDS,
                   .eos_id = -1};
    c.vision = c.text = (tc_tower_config){
        .family = &tc_vit, .patch_size = 4, .width = width, .layers = layers, .head_dim = 8};
    c.text.family = &tc_text_transformer;
    for (int i = 0; i < layers; i++) {
        c.vision.block[i].heads = c.text.block[i].heads = width / 8;
        c.vision.block[i].ffn = c.text.block[i].ffn = 2 * width;
    }
    return c;
}

static inline tc_model *rig_model(int layers, int width, int side, uint64_t seed) {
    tc_model *m;
    tc_error err;
    tc_config c = rig_config(layers, width, side);
    rig_or_die(tc_model_random(&m, &c, seed, &err), &err, "model");
    return m;
}

/* Pair i: a picture of one gray, and as the caption letter i thrice. */
static inline void rig_pair(const char *dir, int i) {
    char name[32], caption[32];
    snprintf(name, sizeof name, "%02d.bmp", i);
    scratch_bmp(dir, name, RIG_SIDE, (uint8_t)(20 * i + 5));
    snprintf(name, sizeof name, "%02d.txt", i);
    snprintf(caption, sizeof caption, "%c%c %c", 'a' + i, 'a' + i, 'a' + i);
    scratch_text(dir, name, caption);
}

static inline char *rig_path(const rig *r, const char *name) { return tc_path_join(r->dir, name); }

static inline void rig_open_data(rig *r, const char *name) {
    tc_error err;
    char *pairs = rig_path(r, name);
    tc_data_close(&r->data);
    rig_or_die(tc_data_open(&r->data, pairs, NULL, &err), &err, "data");
    free(pairs);
}

static inline void rig_open(rig *r) {
    tc_error err;
    *r = (rig){.dir = scratch_dir()};
    char *pairs = rig_path(r, "pairs");
    rig_or_die(tc_make_dirs(pairs, &err), &err, "folder");
    for (int i = 0; i < RIG_PAIRS; i++) rig_pair(pairs, i);
    free(pairs);
    rig_vocabulary(r->dir);
    rig_open_data(r, "pairs");
    rig_or_die(tc_tokenizer_open(&r->tokenizer, r->dir, TC_TOKENIZER_OPENCLIP, &err), &err, "tokenizer");
    r->start = rig_model(1, 16, RIG_SIDE, 1);
    r->teacher = rig_model(2, 24, RIG_SIDE, 2);
}

static inline void rig_close(rig *r) {
    tc_data_close(&r->data);
    tc_tokenizer_close(&r->tokenizer);
    tc_model_close(&r->start);
    tc_model_close(&r->teacher);
    scratch_remove(r->dir);
}

/* Batches of 5 of 12: the last one of an epoch goes on into the next. */
static inline tc_train_options rig_options(const rig *r, const char *out) {
    tc_train_options o = tc_train_options_default();
    o.out = out;
    o.init = r->start;
    o.data = r->data;
    o.tokenizer = r->tokenizer;
    o.preprocess = tc_preprocess_default(RIG_SIDE);
    o.steps = 9;
    o.batch = 5;
    o.lr = 1e-2;
    o.logit_scale = 0;
    o.crop_scale_min = 0.5;
    o.flip = true;
    o.workers = 2;
    o.seed = 3;
    return o;
}

/* The bytes of OUT/NAME. */
static inline tc_buf rig_bytes(const char *out, const char *name) {
    tc_buf b = {0};
    tc_error err;
    char *path = tc_path_join(out, name);
    rig_or_die(tc_file_read(path, SIZE_MAX >> 1, &b.data, &b.size, &err), &err, "result");
    free(path);
    return b;
}

static inline bool rig_same(const tc_buf *a, const char *out, const char *name) {
    tc_buf b = rig_bytes(out, name);
    bool same = a->size == b.size && memcmp(a->data, b.data, b.size) == 0;
    tc_buf_free(&b);
    return same;
}

static inline void rig_remove(const char *out) { scratch_remove(tc_strdup(out)); }

#endif
