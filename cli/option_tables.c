/* option_tables.c - the options that many verbs share, and which options a verb has. */
#include "cli.h"

const cli_option cli_common_options[] = {
    {"--model-config", "C", CLI_TEXT, offsetof(cli_common, model_config),
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

const cli_option *cli_option_at(const cli_verb *verb, size_t i) {
    for (const cli_option *o = verb->options; o->name; o++)
        if (i-- == 0) return o;
    for (const cli_option *o = verb->more; o && o->name; o++)
        if (i-- == 0) return o;
    return NULL;
}
