/* op_embed.c - where tokens come from.
 *   patchify: pixels [3,S,S] -> one row a patch, [3*P*P]; the convolution of stride P is then a linear node.
 *   tokens:   patch rows -> [class token; patches] + positions; without a class token their mean stands in
 * its place (attention pooling). embed:    token ids -> rows of the token table + positions. */
#include "graph/op.h"

#include <string.h>

/* ---- patchify */

static void patchify_shape(tc_graph *g, tc_node *n, tc_value *out) {
    int grid = n->patch_size > 0 ? n->image_size / n->patch_size : 0;
    out->space = tc_graph_space(g, grid * grid);
    out->width = 3 * n->patch_size * n->patch_size;
    if (grid < 1 || g->values[n->in[0]].width != 3 * n->image_size * n->image_size)
        tc_graph_fail(g, "patchify: image of %d in patches of %d", n->image_size, n->patch_size);
}

static void patchify_forward(const tc_runner *r, const tc_node *n) {
    int size = n->image_size, patch = n->patch_size, grid = size / patch;
    int64_t patches = (int64_t)r->batch * grid * grid, width = 3 * patch * patch;
    const tc_real *x = r->value[n->in[0]];
    tc_real *y = r->value[n->out];
#pragma omp parallel for schedule(static) if (patches * width > 100000)
    for (int64_t i = 0; i < patches; i++) {
        if (patch == 1) { /* a row a pixel, for convolutions: too short to be copied by a call */
            const tc_real *pixel = x + i / (grid * grid) * 3 * size * size + i % (grid * grid);
            for (int c = 0; c < 3; c++) y[3 * i + c] = pixel[(int64_t)c * size * size];
            continue;
        }
        int64_t image = i / (grid * grid), row = i / grid % grid, column = i % grid;
        const tc_real *from = x + image * 3 * size * size + row * patch * size + column * patch;
        tc_real *to = y + i * width;
        for (int c = 0; c < 3; c++)
            for (int h = 0; h < patch; h++, to += patch)
                memcpy(to, from + ((int64_t)c * size + h) * size, (size_t)patch * sizeof *to);
    }
}

const tc_op tc_op_patchify = {.name = "patchify", .shape = patchify_shape, .forward = patchify_forward};

/* ---- tokens; parameters: class_embedding [W] or -1, positional_embedding [1+patches, W] */

static void tokens_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *in = &g->values[n->in[0]];
    const tc_param *positions = &g->params->items[n->param[1]];
    out->space = tc_graph_space(g, g->spaces[in->space].per_seq + 1);
    out->width = in->width;
    if (positions->shape[0] != g->spaces[in->space].per_seq + 1 || positions->shape[1] != in->width)
        tc_graph_fail(g, "%s does not fit the patches", positions->name);
}

/* y = mean of the patches + the first position */
static void mean_token(int64_t patches, int64_t width, const tc_real *x, const tc_real *position,
                       tc_real *y) {
    for (int64_t i = 0; i < width; i++) y[i] = 0;
    for (int64_t p = 0; p < patches; p++)
        for (int64_t i = 0; i < width; i++) y[i] += x[p * width + i];
    for (int64_t i = 0; i < width; i++) y[i] = y[i] / (tc_real)patches + position[i];
}

static void tokens_forward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out),
            per_seq = r->graph->spaces[r->graph->values[n->out].space].per_seq;
    const tc_real *x = r->value[n->in[0]], *first = n->param[0] >= 0 ? r->param[n->param[0]] : NULL,
                  *positions = r->param[n->param[1]];
    tc_real *y = r->value[n->out];
#pragma omp parallel for schedule(static) if (r->batch * per_seq * width > 100000)
    for (int64_t row = 0; row < r->batch * per_seq; row++) {
        int64_t s = row / per_seq, t = row % per_seq;
        const tc_real *from = t ? x + (s * (per_seq - 1) + t - 1) * width : first;
        if (from)
            for (int64_t i = 0; i < width; i++) y[row * width + i] = from[i] + positions[t * width + i];
        else mean_token(per_seq - 1, width, x + s * (per_seq - 1) * width, positions, y + row * width);
    }
}

static void tokens_backward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out),
            per_seq = r->graph->spaces[r->graph->values[n->out].space].per_seq;
    const tc_real *dy = r->grad[n->out];
    tc_real *dx = r->grad[n->in[0]], *dfirst = n->param[0] >= 0 ? r->param_grad[n->param[0]] : NULL,
            *dpositions = r->param_grad[n->param[1]];
    tc_real share = dfirst ? 0 : 1 / (tc_real)(per_seq - 1); /* of each patch in the mean */
    memset(dpositions, 0, (size_t)(per_seq * width) * sizeof *dpositions);
#pragma omp parallel for schedule(static) if (r->batch * per_seq * width > 100000)
    for (int64_t t = 0; t < per_seq; t++)
        for (int64_t s = 0; s < r->batch; s++) {
            const tc_real *from = dy + (s * per_seq + t) * width;
            for (int64_t i = 0; i < width; i++) dpositions[t * width + i] += from[i];
            const tc_real *mean = dy + s * per_seq * width;
            for (int64_t i = 0; t && i < width; i++)
                dx[(s * (per_seq - 1) + t - 1) * width + i] = from[i] + share * mean[i];
        }
    if (dfirst) memcpy(dfirst, dpositions, (size_t)width * sizeof *dfirst);
}

const tc_op tc_op_tokens = {.name = "tokens",
                            .shape = tokens_shape,
                            .forward = tokens_forward,
                            .backward = tokens_backward,
                            .takes_constant = true,
                            .begins_stream = true};

/* ---- embed; parameters: token_embedding [V, W], positional_embedding [context, W]. The space of ids is
 * ragged. */

static void embed_shape(tc_graph *g, tc_node *n, tc_value *out) {
    out->space = tc_graph_space(g, 0);
    out->width = (int)g->params->items[n->param[0]].shape[1];
    if (g->params->items[n->param[1]].shape[1] != out->width)
        tc_graph_fail(g, "%s does not fit the token table", g->params->items[n->param[1]].name);
}

static void embed_forward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out);
    const tc_real *table = r->param[n->param[0]], *positions = r->param[n->param[1]];
    const int32_t *seq = r->seq[r->graph->values[n->out].space];
    for (int s = 0; s < r->batch; s++)
        for (int64_t row = seq[s]; row < seq[s + 1]; row++) {
            const tc_real *token = table + r->ids[row] * width,
                          *position = positions + (row - seq[s]) * width;
            tc_real *y = r->value[n->out] + row * width;
            for (int64_t i = 0; i < width; i++) y[i] = token[i] + position[i];
        }
}

/* The gradient of the token table is zero but for the rows of this pass's ids: only the rows of the last pass
 * are cleared. */
static void embed_before_backward(tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out);
    tc_real *dtable = r->param_grad[n->param[0]];
    if (r->touched_count < 0)
        memset(dtable, 0, (size_t)r->graph->params->items[n->param[0]].numel * sizeof *dtable);
    for (int64_t i = 0; i < r->touched_count; i++)
        memset(dtable + r->touched[i] * width, 0, (size_t)width * sizeof *dtable);
    r->touched_count = tc_rows_of(r, n->out);
    memcpy(r->touched, r->ids, (size_t)r->touched_count * sizeof *r->touched);
}

static void embed_backward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out);
    tc_real *dtable = r->param_grad[n->param[0]], *dpositions = r->param_grad[n->param[1]];
    const int32_t *seq = r->seq[r->graph->values[n->out].space];
    memset(dpositions, 0, (size_t)r->graph->params->items[n->param[1]].numel * sizeof *dpositions);
    for (int s = 0; s < r->batch; s++)
        for (int64_t row = seq[s]; row < seq[s + 1]; row++) {
            const tc_real *dy = r->grad[n->out] + row * width;
            tc_real *token = dtable + r->ids[row] * width, *position = dpositions + (row - seq[s]) * width;
            for (int64_t i = 0; i < width; i++) {
                token[i] += dy[i];
                position[i] += dy[i];
            }
        }
}

const tc_op tc_op_embed = {.name = "embed",
                           .shape = embed_shape,
                           .forward = embed_forward,
                           .backward = embed_backward,
                           .before_backward = embed_before_backward,
                           .takes_constant = true,
                           .begins_stream = true};
