/* cmd_inherit.c - manual weight inheritance: a smaller model out of a larger one's leading channels, heads
 * and every k-th layer. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct inherit {
    cli_common common;
    const char *config, *names, *out;
} inherit;

static const inherit defaults = {0};
static const cli_option options[] = {
    {"--config", "STUDENT", CLI_TEXT, offsetof(inherit, config),
     "the student's configuration: a JSON file or a built-in name", 0, 0, NULL},
    {"--names", "NAMES", CLI_CHOICE, offsetof(inherit, names),
     "names of the tensors: hf writes a folder, openclip a .safetensors file with NAME.json beside it; "
     "without it OUT decides: a .safetensors file "
     "of this program, or a folder",
     0, 0, "hf|openclip"},
    {"-o", "OUT", CLI_TEXT, offsetof(inherit, out), "the folder or .safetensors file to write", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static tc_status set_card(tc_model *student, const cli_model *teacher, const char *path, tc_error *err) {
    const tc_model_info *i = tc_model_get_info(student);
    json_t *parent = json_object(), *card = json_object(), *parents = json_array();
    json_object_set_new(parent, "role", json_string("teacher"));
    json_object_set_new(parent, "source", cli_json_text(path));
    json_object_set_new(parent, "params", json_integer((json_int_t)teacher->info->params));
    json_array_append_new(parents, parent);
    json_object_set_new(card, "method", json_string("manual weight inheritance, not trained since"));
    json_object_set_new(card, "parents", parents);
    json_object_set_new(card, "params", json_integer((json_int_t)i->params));
    json_object_set_new(card, "params_without_tokens", json_integer((json_int_t)i->params_without_tokens));
    json_object_set_new(card, "macs_image", json_real(i->macs_image));
    json_object_set_new(card, "macs_text", json_real(i->macs_text));
    char *text = json_dumps(card, JSON_INDENT(2));
    json_decref(card);
    tc_status status = tc_model_set_card(student, cli_or_end(text), err);
    free(text);
    return status;
}

static int report(const inherit *o, const tc_model_info *from, const tc_model_info *to) {
    char a[32], b[32];
    if (!o->common.json) {
        printf("%s: %s parameters without the token table, of the teacher's %s (%.1f %%)\n", o->out,
               cli_grouped(to->params_without_tokens, a, sizeof a),
               cli_grouped(from->params_without_tokens, b, sizeof b),
               100.0 * (double)to->params_without_tokens / (double)from->params_without_tokens);
        return CLI_DONE;
    }
    json_t *all = json_object(), *teacher = json_object();
    json_object_set_new(all, "output", cli_json_text(o->out));
    json_object_set_new(all, "params", json_integer((json_int_t)to->params));
    json_object_set_new(all, "params_without_tokens", json_integer((json_int_t)to->params_without_tokens));
    json_object_set_new(teacher, "params", json_integer((json_int_t)from->params));
    json_object_set_new(teacher, "params_without_tokens",
                        json_integer((json_int_t)from->params_without_tokens));
    json_object_set_new(all, "teacher", teacher);
    return cli_print_json(all);
}

static int inherit_and_save(const inherit *o, const char *path) {
    tc_error err = {0};
    cli_model teacher;
    tc_model *student = NULL;
    tc_format format = TC_FORMAT_AUTO;
    if (o->names) format = strcmp(o->names, "hf") == 0 ? TC_FORMAT_HF : TC_FORMAT_OPENCLIP;
    tc_status status = cli_model_open(&teacher, path, &o->common, 0, &err);
    if (status != TC_OK) return cli_failed(&err);
    status = tc_model_inherit(&student, teacher.model, o->config, &err);
    if (status != TC_OK) cli_suggest(&err, o->config, CLI_KNOWN_FILES | CLI_KNOWN_CONFIGS);
    if (status == TC_OK) status = set_card(student, &teacher, path, &err);
    if (status == TC_OK) status = tc_model_save(student, o->out, format, &err);
    int code = status == TC_OK ? report(o, teacher.info, tc_model_get_info(student)) : cli_failed(&err);
    if (student) tc_model_close(&student);
    cli_model_close(&teacher);
    return code;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    inherit o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    bool file = o.out && cli_ends_with(o.out, ".safetensors");
    bool openclip = o.names && strcmp(o.names, "openclip") == 0;
    if (!o.config) code = cli_usage(verb, "name the student's configuration with --config");
    else if (!o.out) code = cli_usage(verb, "name the folder or file to write with -o");
    else if (openclip && !file)
        code = cli_usage(verb, "--names openclip writes a file: %s must end in .safetensors", o.out);
    else if (o.names && !openclip && file)
        code = cli_usage(verb, "--names hf writes a folder: %s must not end in .safetensors", o.out);
    else code = inherit_and_save(&o, args.items[0]);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_inherit = {
    .name = "inherit",
    .summary = "make a smaller model out of a larger one's weights",
    .usage = "TEACHER [--model-config T.json] --config STUDENT.json [--names hf|openclip] -o OUT",
    .description = "Manual weight inheritance: each tensor of the student is the leading part of its "
                   "teacher's, and layer i is the teacher's layer i "
                   "* floor(T/S) of T layers for S. "
                   "The logit scale starts anew. For a student of another image size give --image-size N: "
                   "the teacher's positions are then resized "
                   "first. The student is meant to be trained with distill.",
    .examples = "tinyclip inherit teacher --config TinyCLIP-ViT-40M-32-Text-19M -o student\n"
                "tinyclip inherit teacher.safetensors --model-config ViT-B-32 --config student.json --names "
                "openclip -o student.safetensors",
    .options = options,
    .common = CLI_WITH_JSON | CLI_WITH_MODEL,
    .defaults = &defaults,
    .least_args = 1,
    .most_args = 1,
    .run = run};
