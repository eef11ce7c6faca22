/* dnnl_api.h - convolutions in the words of both oneDNN 2.x (descriptors are structs) and 3.x (descriptors
 * are objects). Included by dnnl_conv.c only.
 *
 * Functions return false if oneDNN refused. What they make is released by the function of the same name or by
 * oneDNN's own. */
#ifndef TC_DNNL_API_H
#define TC_DNNL_API_H

#include <stdbool.h>

#include <oneapi/dnnl/dnnl.h>

typedef struct dnnl_geometry {
    dnnl_dims_t src, weights, dst, bias, strides, pad;
} dnnl_geometry;

typedef enum dnnl_direction { DNNL_FORWARD, DNNL_DATA, DNNL_WEIGHTS } dnnl_direction;

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t dnnl_layout;

static inline bool dnnl_layout_make(dnnl_memory_desc_t *md, int rank, dnnl_dims_t dims,
                                    dnnl_format_tag_t tag) {
    return dnnl_memory_desc_create_with_tag(md, rank, dims, dnnl_f32, tag) == dnnl_success;
}
static inline void dnnl_layout_free(dnnl_memory_desc_t *md) {
    if (*md) dnnl_memory_desc_destroy(*md);
}
static inline bool dnnl_layout_copy(dnnl_memory_desc_t *md, dnnl_layout from) {
    return dnnl_memory_desc_clone(md, from) == dnnl_success;
}
static inline dnnl_layout dnnl_layout_of(const dnnl_memory_desc_t *md) { return *md; }

static inline bool dnnl_describe(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_direction d,
                                 const dnnl_memory_desc_t md[4], const dnnl_geometry *g,
                                 const_dnnl_primitive_attr_t attr, bool inference,
                                 const_dnnl_primitive_desc_t forward) {
    static const dnnl_dims_t none = {0, 0};
    if (d == DNNL_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
                   pd, engine, inference ? dnnl_forward_inference : dnnl_forward_training,
                   dnnl_convolution_direct, md[0], md[1], inference ? md[3] : NULL, md[2], g->strides, none,
                   g->pad, g->pad, attr) == dnnl_success;
    if (d == DNNL_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
                   pd, engine, dnnl_convolution_direct, md[0], md[1], md[2], g->strides, none, g->pad, g->pad,
                   forward, attr) == dnnl_success;
    return dnnl_convolution_backward_weights_primitive_desc_create(
               pd, engine, dnnl_convolution_direct, md[0], md[1], NULL, md[2], g->strides, none, g->pad,
               g->pad, forward, attr) == dnnl_success;
}

static inline void dnnl_add_sum(dnnl_post_ops_t ops) {
    dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}
static inline void dnnl_add_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha) {
    dnnl_post_ops_append_eltwise(ops, kind, alpha, 0);
}

#else

typedef const dnnl_memory_desc_t *dnnl_layout;

static inline bool dnnl_layout_make(dnnl_memory_desc_t *md, int rank, dnnl_dims_t dims,
                                    dnnl_format_tag_t tag) {
    return dnnl_memory_desc_init_by_tag(md, rank, dims, dnnl_f32, tag) == dnnl_success;
}
static inline void dnnl_layout_free(dnnl_memory_desc_t *md) { (void)md; }
static inline bool dnnl_layout_copy(dnnl_memory_desc_t *md, dnnl_layout from) {
    *md = *from;
    return true;
}
static inline dnnl_layout dnnl_layout_of(const dnnl_memory_desc_t *md) { return md; }

static inline bool dnnl_describe(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_direction d,
                                 const dnnl_memory_desc_t md[4], const dnnl_geometry *g,
                                 const_dnnl_primitive_attr_t attr, bool inference,
                                 const_dnnl_primitive_desc_t forward) {
    dnnl_convolution_desc_t desc;
    dnnl_status_t status;
    if (d == DNNL_FORWARD)
        status = dnnl_convolution_forward_desc_init(
            &desc, inference ? dnnl_forward_inference : dnnl_forward_training, dnnl_convolution_direct,
            &md[0], &md[1], inference ? &md[3] : NULL, &md[2], g->strides, g->pad, g->pad);
    else if (d == DNNL_DATA)
        status = dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &md[0], &md[1],
                                                          &md[2], g->strides, g->pad, g->pad);
    else
        status = dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &md[0], &md[1],
                                                             NULL, &md[2], g->strides, g->pad, g->pad);
    return status == dnnl_success &&
           dnnl_primitive_desc_create(pd, &desc, attr, engine, forward) == dnnl_success;
}

static inline void dnnl_add_sum(dnnl_post_ops_t ops) { dnnl_post_ops_append_sum(ops, 1); }
static inline void dnnl_add_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha) {
    dnnl_post_ops_append_eltwise(ops, 1, kind, alpha, 0);
}

#endif

#endif
