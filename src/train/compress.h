/* compress.h - inside train/: a compression in stages: what they are (compression.c), told (compress_plan.c),
 * running (compress.c) and noted down (compress_record.c). */
#ifndef TC_COMPRESS_H
#define TC_COMPRESS_H

#include "data/data.h"
#include "train/recipe.h"
#include "train/run_plan.h"

typedef struct tc_leg {
    tc_config start, result; /* of an automatic stage the result is an estimate: see tc_planned_stage */
    tc_model_info start_info, result_info; /* the counts alone */
    int64_t steps;
    double cost; /* of a step, on average: multiply-accumulates of a batch in teacher and student */
} tc_leg;

typedef struct tc_compression {
    const tc_compress_options *o;
    tc_log log;
    tc_recipe *recipe;
    char *cache;           /* folder of the teacher's features; NULL: none are kept */
    tc_model_info teacher; /* the counts alone */
    tc_leg legs[TC_MAX_STAGES];
    /* of a run */
    int lock;
    char *record_path;
    json_t *record;                           /* compress.json */
    int current;                              /* stage; -1: none */
    int64_t steps;                            /* made in this call */
    double begun, stage_begun, stage_seconds; /* stage_seconds: of calls before this one */
    double step_seconds, stage_left, written;
} tc_compression;

/* Reads and checks everything but the folder; nothing is computed or written. Also after a failure
 * tc_compression_release is to be called. */
tc_status tc_compression_prepare(tc_compression *c, const tc_compress_options *o, tc_error *err);
void tc_compression_release(tc_compression *c);
/* Multiply-accumulates of an image and a text as they are really computed. */
double tc_macs_used(const tc_model_info *i);
/* The options of stage k, but for init, out and resume, of a start that is `start`; `masks` is what they
 * point to. */
tc_train_options tc_compression_train(const tc_compression *c, int k, const tc_model_info *start,
                                      tc_mask_options *masks);

/* ---- compress.json */

/* An error if there is a record and resume is not asked for, or the other way round. */
tc_status tc_record_find(tc_compression *c, tc_error *err);
/* Notes what the compression is; or, with resume, reads what is there and compares it. */
tc_status tc_record_open(tc_compression *c, tc_error *err);
/* Writes it, atomically. */
tc_status tc_record_write(tc_compression *c, tc_error *err);
/* Entry k of "stages". */
json_t *tc_record_stage(const tc_compression *c, int k);
/* Measures a model and adds what it is to an object of the record. */
tc_status tc_record_model(tc_compression *c, const tc_model *m, const char *path, json_t *into,
                          tc_error *err);
/* Adds how fast a model is; NULL: not measured. */
void tc_record_speed(json_t *into, const tc_speed *speed);
/* "%016x" of a hash. */
json_t *tc_record_hash(uint64_t hash);

#endif
