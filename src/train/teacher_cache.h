/* teacher_cache.h - the teacher's features in a file, computed once for each sample and augmentation. */
#ifndef TC_TEACHER_CACHE_H
#define TC_TEACHER_CACHE_H

#include "data/data.h"
#include "model/model.h"

/* All that a feature depends on. A file belongs to one key. */
typedef struct tc_teacher_key {
    uint64_t config, weights; /* hashes of the teacher */
    uint64_t templates, data; /* of tc_data_hash, and of the templates alone */
    uint64_t tokenizer;       /* hash of its kind and vocabulary */
    int64_t context;          /* ids of a caption */
    uint64_t preprocess;      /* hash of the settings */
    double crop_scale_min;
    bool flip;
    uint64_t seed;         /* of crops, flips and templates; 0 if nothing is random */
    int64_t augmentations; /* of a sample; 1 if nothing is random */
    int64_t samples, dim;  /* rows of an augmentation, and the length of a feature */
} tc_teacher_key;

typedef struct tc_teacher_use {
    const tc_model *teacher;
    uint64_t weights; /* tc_model_hash of it */
    const tc_data *data;
    const tc_tokenizer *tokenizer;
    const tc_preprocess *preprocess;
    int context;
    double crop_scale_min;
    bool flip;
    uint64_t seed;
    int augmentations;
} tc_teacher_use;
tc_status tc_teacher_key_make(tc_teacher_key *key, const tc_teacher_use *use, tc_error *err);

/* One thread at a time. */
typedef struct tc_teacher_cache tc_teacher_cache;

/* Opens DIR/teacher.cache for this key and locks it, or makes it (and DIR). Nothing is changed if it is
 * refused: TC_EARG if it belongs to another key, the first difference named; TC_EFORMAT if it is no such file
 * or damaged; TC_ESTATE if another run has it; TC_EIO if the disk has not the room. */
tc_status tc_teacher_cache_open(tc_teacher_cache **out, const char *dir, const tc_teacher_key *key,
                                tc_error *err);
void tc_teacher_cache_close(tc_teacher_cache **c);
const char *tc_teacher_cache_path(const tc_teacher_cache *c);
/* Bytes of the file once every row is there. */
size_t tc_teacher_cache_size(const tc_teacher_cache *c);
/* The row of an augmentation (modulo the key's number of them) of a sample. */
int64_t tc_teacher_cache_row(const tc_teacher_cache *c, int64_t augmentation, int64_t sample);
/* The rows of a batch -> image and text [n,dim], as the teacher's session gives them. *missing gets the
 * number of rows that are not there; then image and text hold nothing of use. TC_EIO if the file was
 * shortened. */
tc_status tc_teacher_cache_read(tc_teacher_cache *c, const int64_t *rows, int n, float *image, float *text,
                                int *missing, tc_error *err);
/* After a read with missing rows: image and text [n,dim] of the whole batch, just computed. Rows that are
 * missing are written; the others are replaced in image and text by what is in the file. */
tc_status tc_teacher_cache_fill(tc_teacher_cache *c, const int64_t *rows, int n, float *image, float *text,
                                tc_error *err);
/* What was written is on the disk afterwards. */
tc_status tc_teacher_cache_sync(tc_teacher_cache *c, tc_error *err);

typedef struct tc_teacher_cache_counts {
    /* pairs of batches that came from the file, and rows that were written; damaged ones among these */
    int64_t found, computed, damaged;
} tc_teacher_cache_counts;
tc_teacher_cache_counts tc_teacher_cache_count(const tc_teacher_cache *c);

#endif
