/* save.h - what the writers of models share: the steps of one export, values on their way to a file. */
#ifndef TC_SAVE_H
#define TC_SAVE_H

#include "model/model.h"

/* One export. */
typedef struct tc_saving {
    const tc_model *model;
    tc_dtype dtype;
    tc_log log;
    double started, told; /* tc_now() of the beginning and of the last line of progress */
    size_t done, bytes;   /* of the weights of all files */
} tc_saving;

/* Parameter i -> values [numel]. */
tc_status tc_saving_read(tc_saving *s, size_t i, tc_real *values, tc_error *err);
/* n values of parameter i as s->dtype -> out; an error that names the parameter if one is too large for the
 * type. Counts as progress. */
tc_status tc_saving_narrow(tc_saving *s, size_t i, const tc_real *values, int64_t n, void *out,
                           tc_error *err);

tc_status tc_save_json(const char *dir, const char *name, json_t *json /* taken */, tc_error *err);
/* vocab.json and its companions, unless the model's vocabulary is smaller than its tokenizer's; then that is
 * logged. */
tc_status tc_save_tokenizer(const tc_saving *s, const char *dir, tc_error *err);
/* The folder `dir`: vision_model.onnx, text_model.onnx, model.onnx, preprocessor_config.json and the
 * tokenizer. */
tc_status tc_save_onnx(tc_saving *s, const char *dir, tc_error *err);

#endif
