/* cmd_convert.c - a model in another form: a Hugging Face folder, an OpenCLIP folder, the program's own file,
 * ONNX; its weights in 32 or 16 bits. */
#include "cli.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

typedef struct convert {
    cli_common common;
    const char *to, *dtype;
    bool force;
} convert;

static const convert defaults = {.dtype = "f32"};
static const cli_option options[] = {
    {"--to", "FORM", CLI_CHOICE, offsetof(convert, to),
     "the form of OUT; without it, OUT decides: safetensors if it ends in .safetensors, otherwise hf", 0, 0,
     "hf|openclip|safetensors|onnx"},
    {"--dtype", "TYPE", CLI_CHOICE, offsetof(convert, dtype), "how all weights are stored", 0, 0,
     "f32|f16|bf16"},
    {"--force", NULL, CLI_FLAG, offsetof(convert, force),
     "write into a folder that is not empty, or over a file; what is not written stays", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static bool folder_is_empty(const char *path) {
    DIR *d = opendir(path);
    bool empty = d != NULL;
    for (const struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) empty = false;
    if (d) closedir(d);
    return empty;
}

static tc_save_options save_options(const convert *o, const char *out) {
    static const char *const forms[] = {[TC_FORMAT_HF] = "hf",
                                        [TC_FORMAT_FILE] = "safetensors",
                                        [TC_FORMAT_OPENCLIP] = "openclip",
                                        [TC_FORMAT_ONNX] = "onnx"};
    tc_save_options s = tc_save_options_default();
    const char *to = cli_ends_with(out, ".safetensors") ? "safetensors" : "hf";
    if (o->to) to = o->to;
    for (int f = TC_FORMAT_HF; f <= TC_FORMAT_ONNX; f++)
        if (strcmp(forms[f], to) == 0) s.format = (tc_format)f;
    if (strcmp(o->dtype, "f16") == 0) s.precision = TC_PRECISION_F16;
    if (strcmp(o->dtype, "bf16") == 0) s.precision = TC_PRECISION_BF16;
    s.log = cli_log;
    return s;
}

static int report(const convert *o, const cli_model *m, const char *out, tc_format format) {
    static const char *const what[] = {[TC_FORMAT_HF] = "a Hugging Face folder",
                                       [TC_FORMAT_FILE] = "a single file",
                                       [TC_FORMAT_OPENCLIP] = "OpenCLIP weights and configuration",
                                       [TC_FORMAT_ONNX] = "vision_model.onnx, text_model.onnx, model.onnx"};
    char params[32];
    if (!o->common.json) {
        printf("%s: %s, %s parameters in %s\n", out, what[format],
               cli_grouped(m->info->params, params, sizeof params), o->dtype);
        return CLI_DONE;
    }
    static const char *const names[] = {[TC_FORMAT_HF] = "hf",
                                        [TC_FORMAT_FILE] = "safetensors",
                                        [TC_FORMAT_OPENCLIP] = "openclip",
                                        [TC_FORMAT_ONNX] = "onnx"};
    json_t *all = json_object();
    json_object_set_new(all, "output", cli_json_text(out));
    json_object_set_new(all, "format", json_string(names[format]));
    json_object_set_new(all, "dtype", json_string(o->dtype));
    json_object_set_new(all, "params", json_integer((json_int_t)m->info->params));
    return cli_print_json(all);
}

static int convert_model(const convert *o, const char *in, const char *out) {
    tc_error err = {0};
    cli_model m;
    tc_save_options save = save_options(o, out);
    if (cli_path_exists(out) && !o->force && !(cli_path_is_dir(out) && folder_is_empty(out))) {
        cli_fail(&err, TC_EARG, "%s: it is there already; --force writes over it", out);
        return cli_failed(&err);
    }
    if (cli_model_open(&m, in, &o->common, 0, &err) != TC_OK) return cli_failed(&err);
    tc_status status = tc_model_save_as(m.model, out, &save, &err);
    cli_log_end();
    int code = status == TC_OK ? report(o, &m, out, save.format) : cli_failed(&err);
    cli_model_close(&m);
    return code;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    convert o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    const char *out = args.items[1];
    bool file = cli_ends_with(out, ".safetensors");
    if (o.to && strcmp(o.to, "safetensors") == 0 && !file)
        code = cli_usage(verb, "--to safetensors writes a file: %s must end in .safetensors", out);
    else if (o.to && (strcmp(o.to, "hf") == 0 || strcmp(o.to, "onnx") == 0) && file)
        code = cli_usage(verb, "--to %s writes a folder: %s must not end in .safetensors", o.to, out);
    else if (cli_ends_with(out, ".onnx"))
        code = cli_usage(verb, "--to onnx writes a folder of three files: %s must not end in .onnx", out);
    else code = convert_model(&o, args.items[0], out);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_convert = {
    .name = "convert",
    .summary = "write a model in another form: Hugging Face, OpenCLIP, ONNX",
    .usage = "MODEL OUT [--to hf|openclip|safetensors|onnx] [--dtype f32|f16|bf16] [--force]",
    .description =
        "hf: a folder that CLIPModel.from_pretrained and CLIPProcessor.from_pretrained open, the tokenizer's "
        "files included.\n"
        "openclip: a folder that open_clip.create_model_and_transforms(\"local-dir:OUT\") opens; if OUT ends "
        "in .safetensors, that file with its "
        "configuration beside it as NAME.json.\n"
        "safetensors: the single file of this program, which holds every model and all that belongs to it.\n"
        "onnx: a folder of vision_model.onnx (pixel_values [batch,3,S,S] to image_embeds), text_model.onnx "
        "(input_ids int64 [batch,length] to "
        "text_embeds) and model.onnx (both to logits_per_image, logits_per_text, text_embeds, image_embeds), "
        "with the tokenizer's files and "
        "preprocessor_config.json. The embeddings of the towers alone are not normalised, those of "
        "model.onnx are: as in transformers. Batch sizes "
        "are "
        "free, and the length of the texts up to the model's context; the end of each text is found in the "
        "graph, padding behind it is ignored. "
        "Operator set 17, IR version 8, at most 2 GiB a file.\n"
        "f16 and bf16 round every tensor to nearest even; a number too large for f16 is an error. In ONNX "
        "files such weights are widened as they are "
        "used and computed with in f32.\n"
        "A ResNet goes into every form but hf, since CLIPModel has none. Pruned models, whose blocks differ, "
        "go into safetensors and onnx alone: the "
        "other forms have no words for them.",
    .examples = "tinyclip convert model model.safetensors --dtype f16\n"
                "tinyclip convert student.safetensors --to openclip student-openclip\n"
                "tinyclip convert model model-onnx --to onnx",
    .options = options,
    .common = CLI_WITH_JSON | CLI_WITH_MODEL,
    .defaults = &defaults,
    .least_args = 2,
    .most_args = 2,
    .run = run};
