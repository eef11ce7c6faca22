/* cmd_info.c - what a model is: sizes, counts, costs, tensors. No weight is read. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct info {
    cli_common common;
} info;

static const info defaults = {0};
static const cli_option options[] = {{NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static const char *activation_name(tc_activation a) {
    return a == TC_QUICK_GELU ? "quick_gelu" : a == TC_RELU ? "relu" : "gelu";
}

/* The activation that layout, configuration or option decide: a ModifiedResNet's own is ReLU in every case,
 * its text tower's is not. */
static tc_activation decided_activation(const tc_model_info *i) {
    return i->patch_size ? i->vision_activation : i->text_activation;
}

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

static void print_block(int heads, int ffn) {
    printf("%15d", heads);
    if (ffn < 0) printf("%6s", "none");
    else printf("%6d", ffn);
}

/* What is in each layer, layers of both towers side by side. */
static void print_layers(const tc_model_info *i) {
    const int *channels = i->vision_channels;
    printf("pruned        layer by layer\n  layer   image: %s    text: heads   FFN\n",
           channels ? "channels" : "heads   FFN");
    if (channels) printf("   stem%8d%6d\n", channels[0], channels[1]);
    for (int l = 0; l < i->vision_layers || l < i->text_layers; l++) {
        printf("  %5d", l);
        if (l >= i->vision_layers) printf("%*s", channels ? 14 : 21, "");
        else if (channels) printf("%8d%6d", channels[2 + 2 * l], channels[3 + 2 * l]);
        else print_block(i->vision_layer_heads[l], i->vision_layer_ffn[l]);
        if (l < i->text_layers) print_block(i->text_layer_heads[l], i->text_layer_ffn[l]);
        printf("\n");
    }
}

static int print_info_json(const cli_model *m) {
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
    if (!i->patch_size) json_object_set_new(all, "vision_stages", stage_list(i));
    json_object_set_new(all, "activation", json_string(activation_name(decided_activation(i))));
    json_object_set_new(all, "vision_activation", json_string(activation_name(i->vision_activation)));
    json_object_set_new(all, "text_activation", json_string(activation_name(i->text_activation)));
    json_object_set_new(all, "activation_source", cli_json_text(i->activation_source));
    json_object_set_new(all, "pruned", json_boolean(i->pruned));
    json_object_set_new(all, "vision_layer_heads", int_list(i->vision_layer_heads, i->vision_layers));
    json_object_set_new(all, "vision_layer_ffn", int_list(i->vision_layer_ffn, i->vision_layers));
    if (i->vision_channels)
        json_object_set_new(all, "vision_channels", int_list(i->vision_channels, 2 + 2 * i->vision_layers));
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
    json_object_set_new(all, "tensors", tensor_list(m->model));
    return cli_print_json(all);
}

static int print_info(const cli_model *m) {
    const tc_model_info *i = m->info;
    char a[32], b[32], c[32], d[32];
    const char *name, *dtype;
    int ndim;
    int64_t shape[4];
    printf("architecture  %s, from: %s\n", i->architecture, i->source ? i->source : "");
    printf("embedding     %d\n", i->embed_dim);
    const char *most = i->pruned ? "at most " : "";
    if (i->patch_size)
        printf("image         %d px in patches of %d; %d layers, width %d, %s%d heads, %s\n", i->image_size,
               i->patch_size, i->vision_layers, i->vision_width, most, i->vision_heads,
               activation_name(i->vision_activation));
    else
        printf("image         %d px; stages of %d, %d, %d and %d blocks, stem width %d, pooling by %d heads, "
               "%s\n",
               i->image_size, i->vision_stages[0], i->vision_stages[1], i->vision_stages[2],
               i->vision_stages[3], i->vision_width, i->vision_heads, activation_name(i->vision_activation));
    printf("text          %d ids of %d; %d layers, width %d, %s%d heads, %s\n", i->context_length,
           i->vocab_size, i->text_layers, i->text_width, most, i->text_heads,
           activation_name(i->text_activation));
    printf("parameters    %s; without the token table %s (image %s, text %s)\n",
           cli_grouped(i->params, a, sizeof a), cli_grouped(i->params_without_tokens, b, sizeof b),
           cli_grouped(i->params_vision, c, sizeof c), cli_grouped(i->params_text, d, sizeof d));
    printf("MACs          image %.3f G, text %.3f G; computed: image %.3f G, text of 10 tokens %.3f G\n",
           i->macs_image / 1e9, i->macs_text / 1e9, i->macs_image_used / 1e9, i->macs_text_used / 1e9);
    printf("logit scale   %.6g\n", (double)i->logit_scale);
    printf("tokenizer     %s\n", tc_model_tokenizer_kind(m->model) == TC_TOKENIZER_HF ? "hf" : "openclip");
    printf("preprocess    %s: resize %d, crop %d\n", m->preprocess.order == TC_IMAGE_HF ? "hf" : "openclip",
           m->preprocess.resize, m->preprocess.crop);
    if (i->patch_size && i->vision_activation != i->text_activation)
        printf("activation    image %s, text %s (%s)\n", activation_name(i->vision_activation),
               activation_name(i->text_activation), i->activation_source);
    else printf("activation    %s (%s)\n", activation_name(decided_activation(i)), i->activation_source);
    if (i->pruned) print_layers(i);
    if (i->card) printf("card          %s\n", i->card);
    printf("tensors\n");
    for (size_t k = 0; tc_model_tensor(m->model, k, &name, &ndim, shape, &dtype); k++) {
        char text[96];
        printf("  %-56s %-4s %s\n", name, dtype, cli_shape(ndim, shape, text, sizeof text));
    }
    return CLI_DONE;
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
    info o = defaults;
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
        code = o.common.json ? print_info_json(&m) : print_info(&m);
        cli_model_close(&m);
    }
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_info = {
    .name = "info",
    .summary = "tell what a model is; without MODEL, list the built-in configurations",
    .usage = "[MODEL] [--json]",
    .description = "Sizes, parameters, multiply-accumulates, preprocessing, card and tensors of a model. "
                   "MODEL may also be "
                   "the name of a built-in configuration or a "
                   "configuration file. MACs are those of every position; \"computed\" is what this program "
                   "really computes, "
                   "since it skips what cannot change the result. The activation is followed by where it was "
                   "taken from; with "
                   "a ResNet as image tower, whose own is "
                   "always ReLU, it is the text tower's. Of a pruned model the heads and FFN "
                   "channels of each layer are listed, of a pruned ResNet those that the first two "
                   "convolutions of its stem "
                   "and of each block give.",
    .examples = "tinyclip info\ntinyclip info TinyCLIP-ViT-40M-32-Text-19M\ntinyclip info model --json",
    .options = options,
    .common = CLI_WITH_JSON | CLI_WITH_MODEL,
    .defaults = &defaults,
    .least_args = 0,
    .most_args = 1,
    .run = run};
