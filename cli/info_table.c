/* info_table.c - what a model is, as a table for people: both towers side by side, then what holds for the
 * whole model, then its card, of which lists of numbers are left out. */
#include "info.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_BYTES = 256 };

const char *info_activation(tc_activation a) {
    static const char *const names[] = {
        [TC_GELU] = "gelu", [TC_QUICK_GELU] = "quick_gelu", [TC_RELU] = "relu"};
    return names[a];
}

tc_activation info_decided_activation(const tc_model_info *i) {
    return i->vision_activation == TC_RELU ? i->text_activation : i->vision_activation;
}

/* ---- the towers */

static void row(const char *name, const char *image, const char *text) {
    printf("%-13s %-27s %s\n", name, image, text);
}

static void numbers(const char *name, int image, int text) {
    char a[32], b[32];
    snprintf(a, sizeof a, "%d", image);
    snprintf(b, sizeof b, "%d", text);
    row(name, a, b);
}

/* Words beside a number, where there is something to say. */
static void print_input(const tc_model_info *i, char *out, size_t size) {
    int n = snprintf(out, size, "%d px", i->image_size);
    if (i->patch_size) snprintf(out + n, size - (size_t)n, ", patches of %d", i->patch_size);
}

static void print_image_layers(const tc_model_info *i, char *out, size_t size) {
    const int *s = i->vision_stages;
    int n = snprintf(out, size, "%d", i->vision_layers);
    if (s[0]) snprintf(out + n, size - (size_t)n, ": %d, %d, %d, %d in stages", s[0], s[1], s[2], s[3]);
}

static void print_towers(const tc_model_info *i) {
    char a[VALUE_BYTES], b[VALUE_BYTES], n[32], m[32];
    row("", "image tower", "text tower");
    print_input(i, a, sizeof a);
    snprintf(b, sizeof b, "%d ids of %s", i->context_length, cli_grouped(i->vocab_size, n, sizeof n));
    row("input", a, b);
    print_image_layers(i, a, sizeof a);
    snprintf(b, sizeof b, "%d", i->text_layers);
    row("layers", a, b);
    numbers(i->vision_stages[0] ? "width (stem)" : "width", i->vision_width, i->text_width);
    numbers(i->pruned ? "heads at most" : "heads", i->vision_heads, i->text_heads);
    row("activation", info_activation(i->vision_activation), info_activation(i->text_activation));
    row("parameters", cli_grouped(i->params_vision, n, sizeof n), cli_grouped(i->params_text, m, sizeof m));
    row("MACs", cli_amount(i->macs_image, n, sizeof n), cli_amount(i->macs_text, m, sizeof m));
    snprintf(b, sizeof b, "%s (text of 10 tokens)", cli_amount(i->macs_text_used, m, sizeof m));
    row("  computed", cli_amount(i->macs_image_used, n, sizeof n), b);
}

static void print_layers(const tc_model *m) {
    char *layers = tc_model_layers(m);
    printf("\npruned, layer by layer\n%s", layers ? layers : "");
    free(layers);
}

/* ---- the card */

/* "key value" of each scalar in an object, and the objects of a list one after the other. */
static void add_scalars(const json_t *value, char *out, size_t size) {
    const char *key;
    json_t *one;
    size_t i;
    json_array_foreach(value, i, one) add_scalars(one, out, size);
    json_object_foreach((json_t *)(uintptr_t)value, key, one) {
        size_t used = strlen(out);
        const char *comma = used ? ", " : "";
        if (json_is_string(one))
            snprintf(out + used, size - used, "%s%s %s", comma, key, json_string_value(one));
        if (json_is_number(one))
            snprintf(out + used, size - used, "%s%s %.12g", comma, key, json_number_value(one));
        if (json_is_boolean(one))
            snprintf(out + used, size - used, "%s%s %s", comma, key, json_is_true(one) ? "yes" : "no");
    }
}

/* What the table says already. */
static bool is_told(const char *key) {
    static const char *const told[] = {"params", "params_without_tokens", "macs_image", "macs_text"};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (strcmp(key, told[i]) == 0) return true;
    return false;
}

static void print_card(const char *text) {
    json_t *card = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *one;
    const char *key;
    printf("\ncard\n");
    if (!json_is_object(card)) printf("  %s\n", text);
    json_object_foreach(card, key, one) {
        char value[1024] = "";
        if (json_is_string(one)) snprintf(value, sizeof value, "%s", json_string_value(one));
        else if (json_is_number(one)) snprintf(value, sizeof value, "%.12g", json_number_value(one));
        else add_scalars(one, value, sizeof value);
        if (*value && !is_told(key)) printf("  %-14s %s\n", key, value);
    }
    json_decref(card);
}

/* ---- all of it */

void info_print(const cli_model *m) {
    const tc_model_info *i = m->info;
    const tc_preprocess *p = &m->preprocess;
    char n[32], k[32];
    printf("architecture  %s\nfrom          %s\nembedding     %d\n\n", i->architecture,
           i->source ? i->source : "", i->embed_dim);
    print_towers(i);
    if (i->pruned) print_layers(m->model);
    printf("\nparameters    %s; without the token table %s\n", cli_grouped(i->params, n, sizeof n),
           cli_grouped(i->params_without_tokens, k, sizeof k));
    printf("activation    %s (%s)\n", info_activation(info_decided_activation(i)), i->activation_source);
    printf("preprocess    %s: resize %d, crop %d, mean %.4g %.4g %.4g, std %.4g %.4g %.4g\n",
           p->order == TC_IMAGE_HF ? "hf" : "openclip", p->resize, p->crop, (double)p->mean[0],
           (double)p->mean[1], (double)p->mean[2], (double)p->std[0], (double)p->std[1], (double)p->std[2]);
    printf("tokenizer     %s\n", tc_model_tokenizer_kind(m->model) == TC_TOKENIZER_HF ? "hf" : "openclip");
    printf("logit scale   %.6g, a factor of %.4g\n", (double)i->logit_scale, exp((double)i->logit_scale));
    if (i->card) print_card(i->card);
}
