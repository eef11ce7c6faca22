/* cmd_tokenize.c - token ids of texts. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct tokenize {
    cli_common common;
    cli_list texts;
    const char *texts_file;
} tokenize;

enum { CLIP_CONTEXT = 77 };

static const tokenize defaults = {0};
static const cli_option options[] = {
    {"--text", "T", CLI_LIST, offsetof(tokenize, texts), "a text", 0, 0, NULL},
    {"--texts-file", "F", CLI_TEXT, offsetof(tokenize, texts_file), "texts, one a line; - is standard input",
     0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* A row of the JSON array, or the ids before the padding on one line. */
static void put_ids(json_t *rows, const int32_t *ids, int context, int length) {
    if (rows) {
        json_t *row = json_array();
        for (int i = 0; i < context; i++) json_array_append_new(row, json_integer(ids[i]));
        json_array_append_new(rows, row);
        return;
    }
    for (int i = 0; i < length; i++) printf("%s%d", i ? " " : "", ids[i]);
    printf("\n");
}

static int tokenize_all(const tc_tokenizer *t, int context, const cli_list *texts, bool json) {
    int32_t *ids = cli_new((size_t)context, sizeof *ids);
    json_t *rows = json ? json_array() : NULL;
    tc_error err = {0};
    tc_status status = TC_OK;
    for (size_t i = 0; i < texts->count && status == TC_OK; i++) {
        int length;
        status = cli_tokenize(t, texts->items[i], context, ids, &length, &err);
        if (status == TC_OK) put_ids(rows, ids, context, length);
    }
    free(ids);
    if (status != TC_OK || !json) {
        json_decref(rows);
        return status == TC_OK ? CLI_DONE : cli_failed(&err);
    }
    json_t *all = json_object();
    json_object_set_new(all, "input_ids", rows);
    return cli_print_json(all);
}

static int run(const cli_verb *verb, int argc, char **argv) {
    tokenize o = defaults;
    cli_list args = {0};
    tc_error err = {0};
    cli_model m = {0};
    int code, context = CLIP_CONTEXT;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    if ((o.texts.count == 0) == (o.texts_file == NULL)) {
        code = cli_usage(verb, "give the texts with --text or with --texts-file");
        cli_release(verb, &o, &args);
        return code;
    }
    tc_status status = o.texts_file ? cli_lines(o.texts_file, true, &o.texts, &err) : TC_OK;
    if (status == TC_OK && args.count == 0) {
        status =
            tc_tokenizer_create(&m.tokenizer, cli_tokenizer_kind(&o.common, TC_TOKENIZER_OPENCLIP), &err);
    } else if (status == TC_OK) {
        status = cli_model_open(&m, args.items[0], &o.common, CLI_TOKENIZER, &err);
        if (status == TC_OK) context = m.info->context_length;
    }
    code = status == TC_OK ? tokenize_all(m.tokenizer, context, &o.texts, o.common.json) : cli_failed(&err);
    cli_model_close(&m);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_tokenize = {
    .name = "tokenize",
    .summary = "print the token ids of texts",
    .usage = "[MODEL] --text T [--text T]... [options]\n[MODEL] --texts-file F [options]",
    .description = "Without MODEL the vocabulary is CLIP's, which is built in, and the context 77. A text "
                   "that is too long is cut, the last id being "
                   "the end of text; a line on "
                   "standard error says so.\nPrints one line a text, the ids without padding; with --json "
                   "{\"input_ids\": [[...]]}, padded.",
    .examples = "tinyclip tokenize --text \"a photo of a cat\"\n"
                "tinyclip tokenize model --texts-file captions.txt --json",
    .options = options,
    .common = CLI_WITH_JSON | CLI_WITH_MODEL | CLI_WITH_TEXT,
    .defaults = &defaults,
    .least_args = 0,
    .most_args = 1,
    .run = run};
