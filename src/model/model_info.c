/* model_info.c - what a model is: counts and costs from the one definition of its graphs. */
#include "model/model.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { USED_CAPTION = 10 }; /* tokens of a usual caption, for the cost that is really computed */

static tc_status costs(tc_model *m, int tower, double *macs, double *used, tc_error *err) {
    int context = m->config.context_length, usual = context < USED_CAPTION ? context : USED_CAPTION;
    for (int whole = 0; whole < 2; whole++) {
        tc_graph *g = NULL;
        tc_status status = tc_net_graph(&g, tower, &m->config, &m->params, whole ? TC_NET_WHOLE : 0, err);
        if (status != TC_OK) return status;
        *(whole ? macs : used) = tc_graph_macs(g, whole ? context : usual);
        tc_graph_free(&g);
    }
    return TC_OK;
}

tc_status tc_model_finish(tc_model *m, tc_error *err) {
    tc_real scale;
    tc_status status = tc_model_read(m, (size_t)tc_params_with(&m->params, TC_ROLE_LOGIT_SCALE), &scale, err);
    if (status != TC_OK) return status;
    m->logit_scale = (float)scale;
    return tc_model_count(m, err);
}

/* Heads and channels of each layer; the largest number of heads of each tower -> most. */
static void list_layers(tc_model *m, int most[2]) {
    for (int text = 0; text < 2; text++) {
        const tc_tower_config *t = text ? &m->config.text : &m->config.vision;
        most[text] = 0;
        for (int l = 0; l < t->layers; l++) {
            m->layer[2 * text][l] = t->block[l].heads;
            m->layer[2 * text + 1][l] = t->block[l].ffn;
            if (t->block[l].heads > most[text]) most[text] = t->block[l].heads;
        }
    }
}

static void count_params(tc_model_info *i, const tc_params *params) {
    for (size_t k = 0; k < params->count; k++) {
        const tc_param *p = &params->items[k];
        bool tokens = tc_param_is(p, TC_ROLE_TOKENS);
        if (tc_param_is(p, TC_ROLE_STATE)) continue;
        i->params += p->numel;
        if (!tokens) i->params_without_tokens += p->numel;
        if (tc_param_is(p, TC_ROLE_PRUNABLE)) i->params_prunable += p->numel;
        if (p->tower == TC_TOWER_VISION) i->params_vision += p->numel;
        if (p->tower == TC_TOWER_TEXT && !tokens) i->params_text += p->numel;
    }
}

tc_status tc_model_count(tc_model *m, tc_error *err) {
    const tc_config *c = &m->config;
    tc_model_info *i = &m->info;
    const tc_tower_family *family = c->vision.family;
    int most[2];
    list_layers(m, most);
    *i = (tc_model_info){.architecture = family->name,
                         .source = m->source,
                         .embed_dim = c->embed_dim,
                         .image_size = c->image_size,
                         .patch_size = c->vision.patch_size,
                         .vision_layers = c->vision.layers,
                         .vision_width = c->vision.width,
                         .vision_heads = most[0],
                         .context_length = c->context_length,
                         .vocab_size = c->vocab_size,
                         .text_layers = c->text.layers,
                         .text_width = c->text.width,
                         .text_heads = most[1],
                         .pruned = tc_config_is_pruned(c),
                         .vision_layer_heads = m->layer[0],
                         .vision_layer_ffn = m->layer[1],
                         .text_layer_heads = m->layer[2],
                         .text_layer_ffn = m->layer[3],
                         .vision_channels = c->vision.channels[0] ? c->vision.channels : NULL,
                         .vision_activation =
                             family->own_activation ? family->activation : c->vision.activation,
                         .text_activation = c->text.activation,
                         .activation_source = m->activation_source ? m->activation_source : "configuration",
                         .activation_assumed = m->activation_assumed,
                         .logit_scale = m->logit_scale,
                         .card = m->card};
    memcpy(i->vision_stages, c->vision.stages, sizeof i->vision_stages);
    while (i->vision_channel_count < TC_CHANNEL_SITES && c->vision.channels[i->vision_channel_count])
        i->vision_channel_count++;
    count_params(i, &m->params);
    tc_status status = costs(m, TC_TOWER_VISION, &i->macs_image, &i->macs_image_used, err);
    return status == TC_OK ? costs(m, TC_TOWER_TEXT, &i->macs_text, &i->macs_text_used, err) : status;
}

const tc_model_info *tc_model_get_info(const tc_model *m) { return &m->info; }

tc_status tc_model_set_card(tc_model *m, const char *card, tc_error *err) {
    char *copy = card ? tc_strdup(card) : NULL;
    if (card && !copy) return tc_fail_memory(err, strlen(card));
    free(m->card);
    m->card = copy;
    m->info.card = copy;
    return TC_OK;
}

char *tc_model_config_json(const tc_model *m) {
    json_t *json = tc_config_openclip_json(&m->config);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    return text;
}

bool tc_model_tensor(const tc_model *m, size_t i, const char **name, int *ndim, int64_t shape[4],
                     const char **dtype) {
    if (i >= m->params.count) return false;
    const tc_param *p = &m->params.items[i];
    *name = p->name;
    *ndim = p->ndim;
    for (int k = 0; k < p->ndim; k++) shape[k] = p->shape[k];
    *dtype = tc_param_is_counter(p) ? "I64" : "F32";
    if (!m->flat && !m->origin[i].own) *dtype = tc_dtype_name(m->origin[i].part[0]->dtype);
    return true;
}

tc_status tc_model_tensor_read(const tc_model *m, size_t i, float *values, tc_error *err) {
    if (i >= m->params.count)
        return tc_fail(err, TC_EARG, "no parameter %zu: the model has %zu", i, m->params.count);
    if (sizeof(tc_real) == sizeof(float)) return tc_model_read(m, i, (tc_real *)(void *)values, err);
    int64_t n = m->params.items[i].numel;
    tc_real *wide = tc_new((size_t)n, sizeof *wide);
    tc_status status = wide ? tc_model_read(m, i, wide, err) : tc_fail_memory(err, (size_t)n * sizeof *wide);
    for (int64_t k = 0; k < n && status == TC_OK; k++) values[k] = (float)wide[k];
    free(wide);
    return status;
}

tc_preprocess tc_model_preprocess(const tc_model *m) { return m->preprocess; }

tc_tokenizer_kind tc_model_tokenizer_kind(const tc_model *m) { return m->tokenizer_kind; }

tc_status tc_model_tokenizer(const tc_model *m, tc_tokenizer **out, tc_error *err) {
    if (m->tokenizer_dir) return tc_tokenizer_open(out, m->tokenizer_dir, m->tokenizer_kind, err);
    if (m->vocab)
        return tc_tokenizer_parse(out, m->vocab, m->merges, m->tokenizer_kind, m->path ? m->path : m->source,
                                  err);
    return tc_tokenizer_create(out, m->tokenizer_kind, err);
}

void tc_model_set_preprocess(tc_model *m, const tc_preprocess *p) { m->preprocess = *p; }

const char *tc_builtin_config(int index) {
    const char *name = NULL;
    return index >= 0 && tc_config_builtin(NULL, index, &name, NULL) ? name : NULL;
}

/* ---- what a pruned one has left, layer by layer */

static int width_of(const tc_tower_config *t) {
    char row[96];
    return t->layers && t->family->row(t, 0, row, sizeof row) ? (int)strlen(row) : 0;
}

/* Layers of both towers side by side; what is before the first one of the image tower stands alone. */
char *tc_model_layers(const tc_model *m) {
    const tc_tower_config *v = &m->config.vision, *t = &m->config.text;
    char row[96];
    tc_buf b = {0};
    tc_buf_printf(&b, "  layer   image: %s    text: %s\n", v->family->columns, t->family->columns);
    if (v->family->row(v, -1, row, sizeof row)) tc_buf_printf(&b, "   stem%s\n", row);
    for (int l = 0; l < v->layers || l < t->layers; l++) {
        if (l >= v->layers || !v->family->row(v, l, row, sizeof row)) *row = '\0';
        tc_buf_printf(&b, "  %5d%*s", l, width_of(v), row);
        if (l < t->layers && t->family->row(t, l, row, sizeof row)) tc_buf_puts(&b, row);
        tc_buf_puts(&b, "\n");
    }
    return tc_buf_take(&b);
}
