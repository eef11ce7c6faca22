/* positions.c - a model for images of another size: its position embeddings form a grid, which is resized as
 * an image is. The class token keeps its own.
 *
 * Bicubic as PyTorch's F.interpolate(mode="bicubic", antialias=True, align_corners=False), which is what
 * OpenCLIP's resize_pos_embed calls: Keys' kernel with a = -1/2, stretched by the scale when the grid
 * shrinks, its weights divided by their sum. Columns are resized first, then rows. */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double keys(double x) {
    x = fabs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* weight [to, from]: row i makes entry i of the new axis. */
static double *weights(int from, int to) {
    double *w = tc_new((size_t)to * (size_t)from, sizeof *w);
    double scale = (double)from / to;
    double stretch = scale > 1 ? scale : 1;
    for (int i = 0; w && i < to; i++) {
        double centre = scale * (i + 0.5), sum = 0;
        int first = (int)fmax(centre - 2 * stretch + 0.5, 0);
        int end = (int)fmin(centre + 2 * stretch + 0.5, from);
        for (int j = first; j < end; j++)
            sum += w[(int64_t)i * from + j] = keys((j + 0.5 - centre) / stretch);
        for (int j = first; j < end; j++) w[(int64_t)i * from + j] /= sum;
    }
    return w;
}

/* out [to, to, width] from grid [from, from, width]; row [from, to, width] is room for the first pass. */
static void resize(const double *w, int from, int to, int64_t width, const tc_real *grid, double *row,
                   tc_real *out) {
    for (int64_t y = 0; y < from; y++)
        for (int64_t x = 0; x < to; x++)
            for (int64_t j = 0; j < from; j++)
                for (int64_t k = 0; k < width; k++)
                    row[(y * to + x) * width + k] +=
                        w[x * from + j] * (double)grid[(y * from + j) * width + k];
    for (int64_t y = 0; y < to; y++)
        for (int64_t at = 0; at < to * width; at++) {
            double sum = 0;
            for (int64_t j = 0; j < from; j++) sum += w[y * from + j] * row[j * to * width + at];
            out[y * to * width + at] = (tc_real)sum;
        }
}

tc_status tc_positions_resize(const tc_real *positions, int from, int to, int64_t width, tc_real *out,
                              tc_error *err) {
    double *w = weights(from, to), *row = tc_new((size_t)from * (size_t)to * (size_t)width, sizeof *row);
    bool ok = w && row;
    if (ok) {
        memcpy(out, positions, (size_t)width * sizeof *out);
        resize(w, from, to, width, positions + width, row, out + width);
    }
    free(w);
    free(row);
    return ok ? TC_OK : tc_fail_memory(err, (size_t)from * (size_t)to * (size_t)width * sizeof *row);
}

/* The parameter table for the new size; the parameters and their order stay. */
static tc_status retable(tc_model *m, tc_error *err) {
    tc_params params;
    tc_status status = tc_net_params(&params, &m->config, err);
    if (status != TC_OK) return status;
    tc_params_free(&m->params);
    m->params = params;
    return TC_OK;
}

tc_status tc_model_set_image_size(tc_model *m, int image_size, tc_error *err) {
    tc_config *c = &m->config;
    const tc_tower_family *f = c->vision.family;
    if (f->fixed_size)
        return tc_fail(err, TC_EUNSUPPORTED, "the image size of a %s cannot be changed: %s", f->name,
                       f->fixed_size);
    int step = f->step(&c->vision);
    int from = c->image_size / step;
    int to = image_size / step;
    int i = f->positions ? tc_params_find(&m->params, f->positions) : -1;
    if (image_size < step || image_size > 8192)
        return tc_fail(err, TC_EARG,
                       "image_size %d: the model needs at least one patch of %d pixels, and at most 8192",
                       image_size, step);
    if (f->whole_steps && image_size % step)
        return tc_fail(err, TC_EARG, "image_size %d: that of a %s is a multiple of %d", image_size, f->name,
                       step);
    if (from != to && i >= 0) {
        size_t width = (size_t)m->params.items[i].shape[1], count = ((size_t)to * (size_t)to + 1) * width;
        tc_real *old = tc_new((size_t)m->params.items[i].numel, sizeof *old);
        tc_real *resized = tc_new_aligned(count, sizeof *resized);
        tc_status status = old && resized ? tc_model_read(m, (size_t)i, old, err)
                                          : tc_fail_memory(err, count * sizeof *resized);
        if (status == TC_OK) status = tc_positions_resize(old, from, to, (int64_t)width, resized, err);
        free(old);
        if (status != TC_OK) {
            free(resized);
            return status;
        }
        free(m->origin[i].own);
        m->origin[i].own = resized;
    }
    if (m->preprocess.resize == m->preprocess.crop) m->preprocess.resize = image_size;
    else if (m->preprocess.resize)
        m->preprocess.resize = (int)lround((double)m->preprocess.resize * image_size / m->preprocess.crop);
    c->image_size = m->preprocess.crop = image_size;
    return retable(m, err);
}
