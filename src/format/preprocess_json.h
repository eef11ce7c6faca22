/* preprocess_json.h - preprocessing settings in the JSON of Hugging Face and of OpenCLIP. */
#ifndef TC_PREPROCESS_JSON_H
#define TC_PREPROCESS_JSON_H

#include "store/store.h"

/* Preprocessing settings from a preprocessor_config.json or processor_config.json text. */
tc_status tc_preprocess_parse(tc_preprocess *out, const json_t *json, const char *name, int image_size,
                              tc_error *err);
json_t *tc_preprocess_json(const tc_preprocess *p);

/* The shortest decimal number that is x in float, as people write it (0.1, not 0.10000000149011612); 1/255
 * exactly. */
double tc_decimal(float x);
/* preprocess_cfg of an open_clip_config.json; an error if OpenCLIP cannot do that. */
tc_status tc_preprocess_openclip_json(json_t **out, const tc_preprocess *p, const char *path, tc_error *err);
/* And back: mean and std of a configuration's "preprocess_cfg", if it has one, into *p. */
tc_status tc_preprocess_openclip_parse(tc_preprocess *p, const json_t *config, const char *name,
                                       tc_error *err);

#endif
