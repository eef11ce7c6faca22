/* option_tables.c - the options that many verbs share, and which options a verb has. */
#include "cli.h"

const cli_option cli_common_options[] = {
    {"--model-config", "C", CLI_FILE, offsetof(cli_common, model_config),
     "the configuration of a MODEL that has none beside it: a JSON file of OpenCLIP's or Hugging Face's "
     "form, or a built-in name",
     0, 0, NULL},
    {"--activation", "A", CLI_CHOICE, offsetof(cli_common, activation),
     "the activation of a MODEL whose file does not say it, or says it wrongly; without it the layout's or "
     "the configuration's, else gelu",
     0, 0, "gelu|quick_gelu"},
    {"--image-size", "N", CLI_INT, offsetof(cli_common, image_size),
     "images of N pixels a side: the positions are resized bicubically, as open_clip does; 0: the model's "
     "own",
     0, 8192, NULL},
    {"--tokenizer", "KIND", CLI_CHOICE, offsetof(cli_common, tokenizer),
     "how texts are cleaned before they are split: as open_clip or as transformers does; without it the "
     "model's own",
     0, 0, "openclip|hf"},
    {"--preprocess", "ORDER", CLI_CHOICE, offsetof(cli_common, preprocess),
     "the order of steps from an image to pixel values: transformers' or open_clip's; without it the model's "
     "own",
     0, 0, "hf|openclip"},
    {"--exif", NULL, CLI_FLAG, offsetof(cli_common, exif),
     "turn images as their EXIF orientation says; the reference does not", 0, 0, NULL},
    {"--threads", "N", CLI_INT, offsetof(cli_common, threads), "threads to use; 0: one a processor", 0, 4096,
     NULL},
    {"--json", NULL, CLI_FLAG, offsetof(cli_common, json), "print the result as JSON", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static const unsigned common_bits[] = {CLI_WITH_MODEL,  CLI_WITH_MODEL,  CLI_WITH_MODEL,   CLI_WITH_TEXT,
                                       CLI_WITH_IMAGES, CLI_WITH_IMAGES, CLI_WITH_THREADS, CLI_WITH_JSON};

bool cli_takes_common(const cli_verb *verb, size_t i) { return (verb->common & common_bits[i]) != 0; }

static bool in_table(const cli_option *table, size_t *i, cli_option *out) {
    for (const cli_option *o = table; o && o->name; o++)
        if ((*i)-- == 0) {
            *out = *o;
            return true;
        }
    return false;
}

static bool in_settings(const cli_settings *group, size_t *i, cli_option *out) {
    const tc_setting *s;
    for (size_t k = 0; (s = group->list(k)); k++) {
        if (!s->option || (s->flags & group->without) || (*i)-- > 0) continue;
        *out = (cli_option){.name = s->option,
                            .value = s->value,
                            .kind = s->kind == TC_SETTING_FLAG ? CLI_FLAG : CLI_SETTING,
                            .at = group->at,
                            .help = s->help,
                            .detail = s};
        if (out->kind == CLI_FLAG) out->at += s->at;
        return true;
    }
    return false;
}

bool cli_option_at(const cli_verb *verb, size_t i, cli_option *out) {
    if (in_table(verb->options, &i, out)) return true;
    for (const cli_settings *group = verb->settings; group && group->list; group++)
        if (in_settings(group, &i, out)) return true;
    return in_table(verb->more, &i, out);
}

const void *cli_defaults(const cli_verb *verb) {
    if (verb->prepare) verb->prepare();
    return verb->defaults;
}
