/* model_create.c - models that no file holds: a configuration with random weights, or with none. */
#include "base/threads.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* What is trained from here is saved as a Hugging Face folder, and used as one. */
static tc_status finish(tc_model **m, const char *source, tc_error *err) {
    (*m)->tokenizer_kind = TC_TOKENIZER_HF;
    (*m)->preprocess.order = TC_IMAGE_HF;
    (*m)->source = tc_strdup(source);
    tc_status status = (*m)->source ? tc_model_finish(*m, err) : tc_fail_memory(err, 16);
    if (status != TC_OK) tc_model_close(m);
    return status;
}

typedef struct random_values {
    tc_model *m;
    uint64_t seed;
} random_values;

static void fill(void *user, int64_t i) {
    const random_values *r = user;
    const tc_param *p = &r->m->params.items[i];
    tc_rng rng = tc_rng_make(r->seed, 0x696e6974, (uint64_t)i);
    tc_real *w = r->m->flat + p->offset;
    for (int64_t k = 0; k < p->numel; k++)
        w[k] = (tc_real)(float)(p->init_mean + (p->init_std > 0 ? p->init_std * tc_rng_normal(&rng) : 0));
}

tc_status tc_model_random(tc_model **out, const tc_config *config, uint64_t seed, tc_error *err) {
    tc_status status = tc_model_new_flat(out, config, err);
    if (status != TC_OK) return status;
    tc_parallel_each((int64_t)(*out)->params.count, fill, &(random_values){*out, seed});
    return finish(out, "random weights", err);
}

/* Zeros for weights, which take memory only where they are touched: a question about sizes need not wait for
 * random ones. What is the same in every model, as the logit scale, is set. */
static tc_status create_without_values(tc_model **out, const tc_config *config, tc_error *err) {
    tc_status status = tc_model_new(out, config, err);
    if (status != TC_OK) return status;
    tc_model *m = *out;
    m->flat = tc_new((size_t)m->params.total, sizeof *m->flat);
    if (!m->flat) {
        status = tc_fail_memory(err, (size_t)m->params.total * sizeof *m->flat);
        tc_model_close(out);
        return status;
    }
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        if (p->numel == 1) m->flat[p->offset] = (tc_real)(float)p->init_mean;
    }
    return finish(out, "configuration", err);
}

tc_status tc_model_copy(tc_model **out, const tc_model *m, tc_error *err) {
    tc_status status = tc_model_new_flat(out, &m->config, err);
    if (status != TC_OK) return status;
    for (size_t i = 0; i < m->params.count && status == TC_OK; i++) {
        status = tc_model_read(m, i, (*out)->flat + m->params.items[i].offset, err);
        tc_model_let_go(m, i);
    }
    if (status == TC_OK) status = tc_model_copy_settings(*out, m, err);
    if (status == TC_OK && !((*out)->source = tc_strdup(m->source))) status = tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_model_finish(*out, err);
    if (status != TC_OK) tc_model_close(out);
    return status;
}

/* ---- what the caller wants otherwise */

tc_status tc_activation_parse(tc_activation *out, const char *name, tc_error *err) {
    bool quick = strcmp(name, "quick_gelu") == 0;
    if (!quick && strcmp(name, "gelu") != 0)
        return tc_fail(err, TC_EARG, "activation \"%.40s\" is not gelu or quick_gelu", name);
    *out = quick ? TC_QUICK_GELU : TC_GELU;
    return TC_OK;
}

static tc_status set_image_size(tc_config *c, int size, const char *config, tc_error *err) {
    const tc_tower_family *f = c->vision.family;
    int step = f->step(&c->vision);
    c->image_size = size;
    if (f->whole_steps && size % step)
        return tc_fail(err, TC_EARG, "%s: the image size of a %s is a multiple of %d", config, f->title,
                       step);
    if (size < step)
        return tc_fail(err, TC_EARG, "%s: an image of %d pixels is smaller than a patch of %d", config, size,
                       step);
    return TC_OK;
}

tc_create_options tc_create_options_default(void) { return (tc_create_options){.seed = 1}; }

tc_status tc_model_create_with(tc_model **out, const char *config, const tc_create_options *options,
                               tc_error *err) {
    tc_create_options o = options ? *options : tc_create_options_default();
    tc_config c;
    *out = NULL;
    tc_status status = tc_check_reserved(o.reserved, sizeof o.reserved, "tc_create_options", err);
    if (status == TC_OK) status = tc_config_open(&c, config, err);
    if (status == TC_OK && o.activation) {
        tc_activation a = c.vision.activation;
        status = tc_activation_parse(&a, o.activation, err);
        tc_config_set_activation(&c, a);
    }
    if (status == TC_OK && o.image_size) status = set_image_size(&c, o.image_size, config, err);
    if (status != TC_OK) return status;
    return o.without_values ? create_without_values(out, &c, err) : tc_model_random(out, &c, o.seed, err);
}

tc_status tc_model_create(tc_model **out, const char *config, uint64_t seed, tc_error *err) {
    tc_create_options o = tc_create_options_default();
    o.seed = seed;
    return tc_model_create_with(out, config, &o, err);
}

tc_status tc_model_config_difference(const tc_model *m, const char *config, char *text, size_t size,
                                     tc_error *err) {
    tc_config wanted;
    tc_status status = tc_config_open(&wanted, config, err);
    if (status != TC_OK) return status;
    wanted.eos_id = m->config.eos_id; /* belongs to the weights, and OpenCLIP's form cannot say it */
    if (!tc_config_difference(&m->config, &wanted, text, size) && size) *text = '\0';
    return TC_OK;
}
