/* data.h - sources of samples and the parallel loader of training batches. */
#ifndef TC_DATA_H
#define TC_DATA_H

#include "media/media.h"

/* A source behind tc_data: one table of functions for each form of data. */
typedef struct tc_source {
    const char *kind;
    tc_status (*image)(const tc_data *d, int64_t i, const tc_preprocess *p, const tc_augment *a,
                       float *pixel_values, tc_error *err);
    tc_status (*caption)(const tc_data *d, int64_t i, int t, char *buffer, size_t size, tc_error *err);
    const char *(*name)(const tc_data *d, int64_t i, char *buffer, size_t size);
    int (*label)(const tc_data *d, int64_t i);
    /* Mixes what tells this data from other data into *sum, beside what tc_data_hash knows: see there. */
    tc_status (*hash)(const tc_data *d, uint64_t *sum, tc_error *err);
    void (*free)(tc_data *d);
} tc_source;

/* What the data was opened from, and the form it has. */
const char *tc_data_spec(const tc_data *d);
/* What the set with the name `spec` is called in a text, "Fashion-MNIST"; NULL: it is none of them. */
const char *tc_data_title(const char *spec);
const char *tc_data_kind(const tc_data *d);
/* "train", "test" or "all": the part of it. */
const char *tc_data_split(const tc_data *d);

/* `form` with each "{}" replaced by `name`, whose article, if it has one, takes the place of the template's;
 * the caller frees it. NULL if memory ran out. */
char *tc_template_fill(const char *form, const char *name);
/* Whether a name takes the place of a template's article, and the first ones that do. */
bool tc_template_conflict(const char *const *names, int classes, const char *const *templates,
                          int n_templates, int *name, int *form);

/* With augmentation; otherwise as tc_data_image. */
tc_status tc_data_image_augmented(const tc_data *d, int64_t i, const tc_preprocess *p, const tc_augment *a,
                                  float *pixel_values, tc_error *err);

/* A 64-bit hash of the samples, in their order: names, captions or labels, class names, templates, and the
 * pictures. What is in memory counts with its content; a file with its size and the time of its last change,
 * so that telling whether a large set is still the same does not read all of it. Where the data lies does not
 * count. A copy whose times are new is other data, which costs what is bound to the hash; a file whose
 * content is changed and whose size and time are put back is not noticed. */
tc_status tc_data_hash(const tc_data *d, uint64_t *hash, tc_error *err);

/* What is looked at before training: how many samples, what was skipped and why, and `examples` samples,
 * evenly spread, with name and caption, each decoded. Lines of text are added to the report. A sample that
 * cannot be read is told, not an error. */
tc_status tc_data_check(const tc_data *d, const tc_preprocess *p, int examples, tc_buf *report,
                        tc_error *err);

/* One training batch; samples that could not be read are left out, so n may be below the batch size, even 0.
 */
typedef struct tc_batch {
    int n;
    float *pixel_values; /* [n,3,S,S] */
    int32_t *ids;        /* [n,context] */
    int64_t *index;      /* [n] sample numbers */
    /* [n] which augmentation and template it has: the epoch, or the epoch modulo the number of augmentations
     */
    int64_t *augmentation;
} tc_batch;

typedef struct tc_loader_options {
    const tc_data *data;
    const tc_tokenizer *tokenizer;
    tc_preprocess preprocess;
    int context, batch;
    int workers; /* 0: chosen */
    uint64_t seed;
    double crop_scale_min; /* 1: none */
    bool flip;
    int augmentations;  /* of a sample, one after the other; 0: another one in every epoch */
    int64_t first_step; /* where to go on: batch number since the beginning of training */
} tc_loader_options;

/* Batches in a fixed order: step t of a source of n samples holds positions t*B .. t*B+B-1 of the endless
 * sequence of epochs, each epoch a permutation that depends on (seed, epoch) alone; the last batch of an
 * epoch goes on into the next one. The caption template and the augmentation of a sample are pure functions
 * of (seed, augmentation, sample). Workers prefetch; the result does not depend on their number. */
typedef struct tc_loader tc_loader;
tc_status tc_loader_create(tc_loader **out, const tc_loader_options *o, tc_error *err);
/* The next batch; valid until the next call. An error only if a whole epoch's worth of samples in a row was
 * bad. */
tc_status tc_loader_next(tc_loader *l, const tc_batch **batch, tc_error *err);
/* Bytes that the buffers of batches take; SIZE_MAX if that is more than there can be. */
size_t tc_loader_memory(const tc_loader_options *o);
/* Samples skipped so far, and one line that counts them by kind and tells the last reason ("" if none). */
int64_t tc_loader_skipped(const tc_loader *l, char *reason, size_t size);
/* Captions that were longer than the context and were cut, in the batches so far; those of classes are
 * counted once. */
int64_t tc_loader_cut(const tc_loader *l);
void tc_loader_close(tc_loader **l);

#endif
