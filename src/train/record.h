/* record.h - what a compression noted about itself: its compress.json and the logs of its stages, read back.
 *
 * The file is written by this library (compress_record.c), but may be anybody's: each value that is there
 * must have its type and range, or the record is refused with the path of the value. What may be missing is
 * "not known": NULL, -1 or NAN. Keys that are not known are left alone. Strings point into the JSON that the
 * record keeps. */
#ifndef TC_RECORD_H
#define TC_RECORD_H

#include "store/store.h"
#include "train/run_log.h"

enum {
    TC_RECORD_STAGES = 32,
    TC_RECORD_LAYERS = 1024,
    TC_RECORD_CLASSES = 100,
    TC_RECORD_CONFUSIONS = 3,
    TC_RECORD_PARTS = 2
};

/* What is in a tower, row by row: a layer with its heads and FFN channels; or, of convolutions, the stem and
 * the blocks behind it with the channels of two convolutions each; or nothing, if it was noted otherwise. */
typedef struct tc_tower_record {
    bool given;
    const char *kind; /* as the family of such towers is called */
    int width, layers;
    int rows; /* layers, and one more if there is a stem before them */
    bool stem;
    int stages[4];                     /* of a stem's tower: blocks of each stage; all 0: not known */
    int *count[TC_RECORD_PARTS];       /* [rows]; -1: the row has none */
    const char *part[TC_RECORD_PARTS]; /* what is counted: "heads" */
} tc_tower_record;

typedef struct tc_class_record {
    const char *name;
    int64_t images, right;
    /* the classes that it was taken for most often; class -1: no more */
    struct {
        int class;
        int64_t images;
    } taken[TC_RECORD_CONFUSIONS];
} tc_class_record;

/* One model. */
typedef struct tc_model_record {
    bool given; /* it has been measured */
    const char *path, *hash;
    int64_t params, params_without_tokens;
    double macs_image, macs_text;
    tc_tower_record vision, text;
    double top1, top5;
    int64_t images;
    int class_count; /* 0: nothing is known of the classes */
    tc_class_record *classes;
    int64_t pairs; /* -1: no retrieval */
    tc_retrieval_direction image_to_text, text_to_image;
    double images_per_second, texts_per_second;
} tc_model_record;

typedef struct tc_stage_record {
    const char *name, *inheritance, *teacher_loss, *folder;
    char *dir;
    int64_t steps, before; /* steps of this stage, and of all stages before it */
    double seconds;
    bool done;
    tc_model_record model;
    tc_run_log log;
} tc_stage_record;

typedef struct tc_data_record {
    bool given;
    const char *spec, *split, *hash, *template;
    int64_t samples, templates;
} tc_data_record;

typedef struct tc_compress_record {
    json_t *json;
    char *dir, *name; /* name: the folder's */
    const char *version, *recipe_name, *cpu;
    const json_t *command, *recipe; /* array of strings; object; or NULL */
    int64_t seed, threads;
    tc_data_record data, eval;
    tc_model_record teacher;
    tc_stage_record stages[TC_RECORD_STAGES];
    int stage_count;
    bool finished;
    bool speeds_in_turn; /* teacher and stages were measured in one go, taking turns */
} tc_compress_record;

/* compress.json given as text; `file` is for messages. The logs are not read. Whatever is returned,
 * tc_compress_record_free frees. */
tc_status tc_compress_record_parse(tc_compress_record *r, const char *dir, const char *file, const char *text,
                                   size_t size, tc_error *err);
/* DIR/compress.json and the logs that are there. */
tc_status tc_compress_record_read(tc_compress_record *r, const char *dir, tc_error *err);
void tc_compress_record_free(tc_compress_record *r);

#endif
