/* source.h - inside data/: what the forms of data share. */
#ifndef TC_SOURCE_H
#define TC_SOURCE_H

#include "data/data.h"

enum { TC_ENCODED_LIMIT = 64 << 20 }; /* bytes of one image file */

typedef enum tc_split { TC_SPLIT_WHOLE, TC_SPLIT_TRAIN, TC_SPLIT_TEST } tc_split;

struct tc_data {
    const tc_source *source;
    void *state; /* the source's own */
    char *spec;  /* for messages */
    tc_data_options options;
    tc_split split;
    int64_t count;
    char **classes; /* labelled data: names and prompt templates; else none */
    char **templates;
    int nclasses, ntemplates;
    tc_buf skipped;
};

/* One form of data: a file, and a line in data.c. */
typedef struct tc_data_form {
    const char *written; /* how such data is named, for messages: "a folder" */
    const char *title;   /* of a set with a name: as it is called in a text; else NULL */
    bool (*takes)(const char *spec);
    /* Fills d->source, state and count (and the classes), or fails; tc_data_open then closes d. */
    tc_status (*open)(tc_data *d, const char *spec, tc_error *err);
} tc_data_form;
extern const tc_data_form tc_form_folder, tc_form_csv, tc_form_idx, tc_form_fashion_mnist, tc_form_tuxpaint;

/* What sets with a name are made of, which other files open too. */
tc_status tc_folder_open(tc_data *d, const char *root, tc_error *err);
/* Pictures [n,h,w] and labels of one or more pairs of IDX files, one after the other; `classes` must be set
 * before. */
typedef struct tc_idx_part {
    const char *images, *labels;
} tc_idx_part;
tc_status tc_idx_open(tc_data *d, const tc_idx_part *parts, int nparts, bool own_split, tc_error *err);
/* One IDX file of unsigned bytes, gzip or plain: sizes[ndim] of its axes and all its bytes, which the caller
 * frees. */
tc_status tc_idx_read(const char *path, int ndim, int64_t *sizes, uint8_t **bytes, tc_error *err);

/* Splits data that has no split of its own: a tenth of the samples, chosen by a hash of their names, is
 * "test", the others are "train". The choice of a sample depends on its name alone, so it stays when others
 * come or go. */
bool tc_split_keeps(tc_split split, const char *name);
/* "N THING(s) WHY" as one more line of d->skipped, if n is not 0. */
void tc_data_skip(tc_data *d, int64_t n, const char *thing, const char *why);

/* The non-empty lines of a text, without white space at their ends, as a list that tc_lines_free frees. A
 * line without `needed` (unless NULL) is an error, and so is, if `gapless`, an empty line before the last
 * other one. */
tc_status tc_lines_parse(char ***out, int *count, const char *text, size_t size, const char *name,
                         const char *needed, bool gapless, tc_error *err);
tc_status tc_lines_read(char ***out, int *count, const char *path, const char *needed, bool gapless,
                        tc_error *err);
void tc_lines_free(char **lines, int count);

/* Text [0,size) cut to fit a buffer at a boundary of UTF-8, NUL-terminated. */
void tc_copy_text(char *buffer, size_t size, const char *text, size_t n);
/* Parts of a hash: a text with its length; a file with its size and the time of its last change, or that it
 * cannot be looked at. */
uint64_t tc_hash_file(uint64_t sum, const char *path);
/* Reads, decodes and preprocesses one image file; only regular files are opened. */
tc_status tc_read_image(const tc_data *d, const char *path, const tc_preprocess *p, const tc_augment *a,
                        float *pixel_values, tc_error *err);

#endif
