/* cmd_info.c - what a model is: sizes, counts, costs, tensors, as JSON or as a table. No weight is read. */
#include "info.h"

#include <stdlib.h>
#include <string.h>

typedef struct info_args {
    cli_common common;
    bool tensors;
} info_args;

static const info_args defaults = {0};
static const cli_option options[] = {
    {"--tensors", NULL, CLI_FLAG, offsetof(info_args, tensors),
     "list the tensors too, with their types and shapes; they stand before the rest", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static void set_int(json_t *to, const char *key, int64_t value) {
    json_object_set_new(to, key, json_integer((json_int_t)value));
}

static json_t *stage_list(const tc_model_info *i) {
    json_t *list = json_array();
    for (int k = 0; k < 4; k++) json_array_append_new(list, json_integer(i->vision_stages[k]));
    return list;
}

static json_t *tensor_list(const tc_model *m) {
    json_t *tensors = json_array();
    const char *name, *dtype;
    int ndim;
    int64_t shape[4];
    for (size_t i = 0; tc_model_tensor(m, i, &name, &ndim, shape, &dtype); i++) {
        json_t *one = json_object(), *axes = json_array();
        for (int k = 0; k < ndim; k++) json_array_append_new(axes, json_integer((json_int_t)shape[k]));
        json_object_set_new(one, "name", cli_json_text(name));
        json_object_set_new(one, "shape", axes);
        json_object_set_new(one, "dtype", cli_json_text(dtype));
        json_array_append_new(tensors, one);
    }
    return tensors;
}

static json_t *preprocess_object(const tc_preprocess *p) {
    json_t *o = json_object();
    set_int(o, "resize", p->resize);
    set_int(o, "crop", p->crop);
    json_object_set_new(o, "mean", cli_json_floats(p->mean, 3));
    json_object_set_new(o, "std", cli_json_floats(p->std, 3));
    json_object_set_new(o, "order", json_string(p->order == TC_IMAGE_HF ? "hf" : "openclip"));
    return o;
}

/* JSON text that the model carries, as a value; text that is none, as a string. */
static json_t *embedded(const char *text) {
    if (!text) return json_null();
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    return value ? value : cli_json_text(text);
}

static json_t *int_list(const int *x, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, x[i] < 0 ? json_null() : json_integer(x[i]));
    return list;
}

static int print_info_json(const cli_model *m, bool tensors) {
    const tc_model_info *i = m->info;
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"embed_dim", i->embed_dim},
                   {"image_size", i->image_size},
                   {"patch_size", i->patch_size},
                   {"vision_layers", i->vision_layers},
                   {"vision_width", i->vision_width},
                   {"vision_heads", i->vision_heads},
                   {"context_length", i->context_length},
                   {"vocab_size", i->vocab_size},
                   {"text_layers", i->text_layers},
                   {"text_width", i->text_width},
                   {"text_heads", i->text_heads},
                   {"params", i->params},
                   {"params_without_tokens", i->params_without_tokens},
                   {"params_prunable", i->params_prunable},
                   {"params_vision", i->params_vision},
                   {"params_text", i->params_text},
                   {"macs_image", (int64_t)i->macs_image},
                   {"macs_text", (int64_t)i->macs_text},
                   {"macs_image_used", (int64_t)i->macs_image_used},
                   {"macs_text_used", (int64_t)i->macs_text_used}};
    json_t *all = json_object();
    json_object_set_new(all, "architecture", cli_json_text(i->architecture));
    json_object_set_new(all, "source", cli_json_text(i->source ? i->source : ""));
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        set_int(all, numbers[k].key, numbers[k].value);
    if (i->vision_stages[0]) json_object_set_new(all, "vision_stages", stage_list(i));
    json_object_set_new(all, "activation", json_string(info_activation(info_decided_activation(i))));
    json_object_set_new(all, "vision_activation", json_string(info_activation(i->vision_activation)));
    json_object_set_new(all, "text_activation", json_string(info_activation(i->text_activation)));
    json_object_set_new(all, "activation_source", cli_json_text(i->activation_source));
    json_object_set_new(all, "pruned", json_boolean(i->pruned));
    json_object_set_new(all, "vision_layer_heads", int_list(i->vision_layer_heads, i->vision_layers));
    json_object_set_new(all, "vision_layer_ffn", int_list(i->vision_layer_ffn, i->vision_layers));
    if (i->vision_channels)
        json_object_set_new(all, "vision_channels", int_list(i->vision_channels, i->vision_channel_count));
    json_object_set_new(all, "text_layer_heads", int_list(i->text_layer_heads, i->text_layers));
    json_object_set_new(all, "text_layer_ffn", int_list(i->text_layer_ffn, i->text_layers));
    json_object_set_new(all, "logit_scale", cli_json_real((double)i->logit_scale));
    json_object_set_new(
        all, "tokenizer",
        json_string(tc_model_tokenizer_kind(m->model) == TC_TOKENIZER_HF ? "hf" : "openclip"));
    json_object_set_new(all, "preprocess", preprocess_object(&m->preprocess));
    char *config = tc_model_config_json(m->model);
    json_object_set_new(all, "config", embedded(config));
    free(config);
    json_object_set_new(all, "card", embedded(i->card));
    if (tensors) json_object_set_new(all, "tensors", tensor_list(m->model));
    return cli_print_json(all);
}

static void print_tensors(const tc_model *m) {
    const char *name, *dtype;
    int ndim;
    int64_t shape[4];
    char text[96];
    printf("%-58s %-4s %s\n", "tensor", "type", "shape");
    for (size_t k = 0; tc_model_tensor(m, k, &name, &ndim, shape, &dtype); k++)
        printf("%-58s %-4s %s\n", name, dtype, cli_shape(ndim, shape, text, sizeof text));
    printf("\n");
}

static int list_builtin(bool json) {
    json_t *names = json ? json_array() : NULL;
    for (int i = 0; tc_builtin_config(i); i++) {
        if (json) json_array_append_new(names, json_string(tc_builtin_config(i)));
        else printf("%s\n", tc_builtin_config(i));
    }
    if (!json) return CLI_DONE;
    json_t *all = json_object();
    json_object_set_new(all, "configurations", names);
    return cli_print_json(all);
}

static int run(const cli_verb *verb, int argc, char **argv) {
    info_args o = defaults;
    cli_list args = {0};
    tc_error err = {0};
    cli_model m;
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    if (args.count == 0) {
        code = list_builtin(o.common.json);
    } else if (cli_model_open(&m, args.items[0], &o.common, CLI_SIZES, &err) != TC_OK) {
        code = cli_failed(&err);
    } else {
        code = o.common.json ? print_info_json(&m, o.tensors) : CLI_DONE;
        if (!o.common.json && o.tensors) print_tensors(m.model);
        if (!o.common.json) info_print(&m);
        cli_model_close(&m);
    }
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_info = {
    .name = "info",
    .summary = "tell what a model is; or list the built-in configurations",
    .usage = "[MODEL] [--tensors] [--json]",
    .description =
        "The sizes of both towers, parameters, multiply-accumulates, activation, preprocessing, tokenizer "
        "and card of a model. MODEL may also be the name of a built-in configuration or a "
        "configuration file.\n"
        "MACs are those of every position; those \"computed\" are what this program really computes, "
        "since it skips what cannot change the result. The activation is followed by where it was "
        "taken from; with a ResNet as image tower, whose own is always ReLU, it is the text tower's. Of "
        "a pruned model the heads and FFN channels of each layer are listed, of a pruned ResNet those "
        "that the first two convolutions of its stem and of each block give.",
    .examples = "tinyclip info\ntinyclip info TinyCLIP-ViT-40M-32-Text-19M\ntinyclip info model --tensors\n"
                "tinyclip info model --json",
    .options = options,
    .common = CLI_WITH_JSON | CLI_WITH_MODEL,
    .defaults = &defaults,
    .least_args = 0,
    .most_args = 1,
    .run = run};
