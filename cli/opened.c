/* opened.c - a model with all that a verb needs of it: tokenizer, preprocessing, session; and what it makes
 * of images and texts. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 60 }; /* of a text in a message */

tc_tokenizer_kind cli_tokenizer_kind(const cli_common *o, tc_tokenizer_kind fallback) {
    if (!o->tokenizer) return fallback;
    return strcmp(o->tokenizer, "hf") == 0 ? TC_TOKENIZER_HF : TC_TOKENIZER_OPENCLIP;
}

void cli_preprocess_options(const cli_common *o, tc_preprocess *p) {
    if (o->preprocess) p->order = strcmp(o->preprocess, "hf") == 0 ? TC_IMAGE_HF : TC_IMAGE_OPENCLIP;
    if (o->exif) p->exif = true;
}

/* The model's vocabulary, cleaned the way that the options say. */
static tc_status open_tokenizer(cli_model *m, const char *path, const cli_common *o, tc_error *err) {
    tc_tokenizer_kind own = tc_model_tokenizer_kind(m->model), kind = cli_tokenizer_kind(o, own);
    if (kind == own) return tc_model_tokenizer(m->model, &m->tokenizer, err);
    char *vocabulary = cli_path(path, "vocab.json");
    bool there = cli_path_exists(vocabulary);
    free(vocabulary);
    return there ? tc_tokenizer_open(&m->tokenizer, path, kind, err)
                 : tc_tokenizer_create(&m->tokenizer, kind, err);
}

tc_status cli_model_adopt(cli_model *m, tc_model *model, const char *path, const cli_common *o,
                          unsigned flags, tc_error *err) {
    *m = (cli_model){
        .model = model, .info = tc_model_get_info(model), .preprocess = tc_model_preprocess(model)};
    cli_preprocess_options(o, &m->preprocess);
    tc_status status = TC_OK;
    if (flags & CLI_TOKENIZER) status = open_tokenizer(m, path, o, err);
    if (status == TC_OK && flags & CLI_SESSION) status = tc_session_create(&m->session, m->model, err);
    if (status != TC_OK) cli_model_close(m);
    return status;
}

/* The model of the zoo that `name` means, unless a file has that name, and where its weights lie (NULL: they
 * are not there); the caller frees. */
static tc_status zoo_model(const char *name, const tc_zoo_model **model, char **weights, tc_error *err) {
    *model = NULL;
    *weights = NULL;
    tc_status status = cli_path_exists(name) ? TC_OK : tc_zoo_find(model, name, err);
    if (*model) *weights = tc_zoo_path(*model);
    return status;
}

bool cli_names_configuration(const char *path) {
    for (int i = 0; tc_builtin_config(i); i++)
        if (strcmp(tc_builtin_config(i), path) == 0) return !cli_path_exists(path);
    return cli_ends_with(path, ".json");
}

/* ---- opening */

bool cli_is_configuration(const char *path) {
    const tc_zoo_model *model;
    char *weights;
    zoo_model(path, &model, &weights, NULL);
    bool cached = weights != NULL;
    free(weights);
    return !cached && cli_names_configuration(path);
}

tc_open_options cli_open_options(const cli_common *o) {
    tc_open_options open = tc_open_options_default();
    open.config = o->model_config;
    open.activation = o->activation;
    open.image_size = (int)o->image_size;
    return open;
}

tc_status cli_model_load(tc_model **out, const char *path, const tc_open_options *options, tc_error *err) {
    const tc_zoo_model *model;
    char *weights;
    *out = NULL;
    tc_status status = zoo_model(path, &model, &weights, err);
    if (status == TC_OK && model && model->file && !weights)
        status =
            cli_fail(err, TC_EARG, "%s: the weights are not here yet; `tinyclip zoo pull %s` fetches them",
                     path, model->name);
    if (status == TC_OK) {
        status = tc_model_open(out, weights ? weights : path, options, err);
        if (status == TC_EIO) cli_suggest(err, path, CLI_KNOWN_FILES | CLI_KNOWN_CONFIGS | CLI_KNOWN_ZOO);
    }
    if (status == TC_OK && tc_model_get_info(*out)->activation_assumed)
        cli_say("%s: nothing says which activation it was trained with; gelu is taken, and quick_gelu would "
                "give other results: see --activation",
                path);
    free(weights);
    return status;
}

static tc_status create(tc_model **out, const char *config, uint64_t seed, bool without_values,
                        const cli_common *o, tc_error *err) {
    tc_create_options create = tc_create_options_default();
    create.seed = seed;
    create.activation = o->activation;
    create.image_size = (int)o->image_size;
    create.without_values = without_values;
    tc_status status = tc_model_create_with(out, config, &create, err);
    if (status != TC_OK) cli_suggest(err, config, CLI_KNOWN_FILES | CLI_KNOWN_CONFIGS);
    return status;
}

tc_status cli_model_create(tc_model **out, const char *config, uint64_t seed, const cli_common *o,
                           tc_error *err) {
    return create(out, config, seed, false, o, err);
}

tc_status cli_model_open(cli_model *m, const char *path, const cli_common *o, unsigned flags, tc_error *err) {
    tc_model *model = NULL;
    tc_open_options open = cli_open_options(o);
    *m = (cli_model){0};
    bool configuration = flags & (CLI_CONFIGS | CLI_SIZES) && cli_is_configuration(path);
    tc_status status;
    if (!configuration) status = cli_model_load(&model, path, &open, err);
    else status = create(&model, path, 1, flags & CLI_SIZES, o, err);
    if (status == TC_OK && configuration && !(flags & CLI_SIZES))
        cli_say("%s: a configuration; the weights are random", path);
    return status == TC_OK ? cli_model_adopt(m, model, path, o, flags, err) : status;
}

void cli_model_close(cli_model *m) {
    if (m->session) tc_session_close(&m->session);
    if (m->tokenizer) tc_tokenizer_close(&m->tokenizer);
    if (m->model) tc_model_close(&m->model);
    *m = (cli_model){0};
}

/* ---- images and texts */

void cli_watch_progress(void *user, int64_t done, int64_t all) {
    const cli_watch *w = user;
    cli_progress(w->what, (size_t)done, (size_t)all, w->start);
}

tc_image_pass_options cli_pass_options(const cli_model *m, const cli_list *paths) {
    tc_image_pass_options o = tc_image_pass_options_default();
    o.paths = (const char *const *)paths->items;
    o.count = (int64_t)paths->count;
    o.preprocess = &m->preprocess;
    o.on_progress = cli_watch_progress;
    return o;
}

tc_status cli_embed_images(cli_model *m, const cli_list *paths, float *embeds, tc_error *err) {
    cli_watch watch = {"images", cli_now()};
    tc_image_pass_options o = cli_pass_options(m, paths);
    tc_image_pass *pass;
    const int64_t *index;
    const float *rows;
    int n = 1;
    size_t width = (size_t)m->info->embed_dim;
    o.user = &watch;
    tc_status status = tc_image_pass_open(&pass, m->session, &o, err);
    while (status == TC_OK && n > 0) {
        status = tc_image_pass_next(pass, &n, &index, &rows, err);
        if (status != TC_OK || n == 0) break;
        memcpy(embeds + (size_t)index[0] * width, rows, (size_t)n * width * sizeof *rows);
    }
    tc_image_pass_close(&pass);
    return status;
}

/* A text's first line, or as much of it as fits into a message. */
static void say_cut(const char *text, int context, int dropped) {
    size_t shown = 0;
    while (shown < SHOWN_BYTES && text[shown] && text[shown] != '\n') shown++;
    /* not in the middle of a character */
    while (shown && ((unsigned char)text[shown] & 0xc0) == 0x80) shown--;
    cli_say("text cut to %d ids, %d did not fit: \"%.*s%s\"", context, dropped, (int)shown, text,
            text[shown] ? "..." : "");
}

tc_status cli_tokenize(const tc_tokenizer *t, const char *text, int context, int32_t *ids, int *length,
                       tc_error *err) {
    int dropped = 0;
    tc_status status = tc_tokenizer_encode(t, text, context, ids, length, &dropped, err);
    if (status == TC_OK && dropped) say_cut(text, context, dropped);
    return status;
}

typedef struct texts {
    cli_watch watch;
    const cli_list *list;
    int context;
} texts;

static void text_is_cut(void *user, int64_t index, int dropped) {
    const texts *t = user;
    say_cut(t->list->items[index], t->context, dropped);
}

tc_status cli_embed_texts(cli_model *m, const cli_list *list, float *embeds, tc_error *err) {
    texts t = {{"texts", cli_now()}, list, m->info->context_length};
    tc_text_options o = tc_text_options_default();
    o.batch = CLI_BATCH;
    o.on_progress = cli_watch_progress;
    o.on_cut = text_is_cut;
    o.user = &t;
    return tc_embed_texts(m->session, m->tokenizer, (const char *const *)list->items, (int64_t)list->count,
                          &o, embeds, err);
}
