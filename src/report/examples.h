/* examples.h - what teacher and students say about held-out images: guessed in examples.c,
 * written in cards.c. */
#ifndef TC_REPORT_EXAMPLES_H
#define TC_REPORT_EXAMPLES_H

#include "report/report.h"
#include "eval/eval.h"

enum { TC_EXAMPLE_GUESSES = 3, TC_EXAMPLE_MODELS = 6, TC_EXAMPLE_LOOK = 512 };

/* A model's best classes for one image; index -1: none. */
typedef struct tc_example_guess {
    int index[TC_EXAMPLE_GUESSES];
    float p[TC_EXAMPLE_GUESSES];
} tc_example_guess;

typedef struct tc_example_model {
    const tc_report_model *model;
    tc_example_guess *says; /* [images looked at]; NULL: it could not be asked */
    tc_error why;           /* then this is why */
} tc_example_model;

/* The images that are looked at, and the classes among which they are guessed: those of the data, or, of
 * pairs, the captions of these images (each once). */
typedef struct tc_example_subject {
    tc_data *data;
    tc_selection selection; /* of at most TC_EXAMPLE_LOOK */
    bool pairs;
    int classes;
    char **names; /* [classes] */
    int *label;   /* [images looked at] */
} tc_example_subject;

/* How the models stand to each other on an image. */
typedef enum tc_example_kind {
    TC_EXAMPLE_ALL,
    TC_EXAMPLE_LOST,
    TC_EXAMPLE_GAINED,
    TC_EXAMPLE_NONE,
    TC_EXAMPLE_KINDS
} tc_example_kind;

typedef struct tc_examples {
    tc_example_subject subject;
    tc_example_model models[TC_EXAMPLE_MODELS];
    int model_count;
    int64_t images; /* that every model could see */
    int64_t of_kind[TC_EXAMPLE_KINDS];
    struct tc_example_shown {
        int64_t position; /* in the selection */
        tc_example_kind kind;
    } shown[TC_REPORT_MOST_EXAMPLES]; /* by kind */
    int shown_count;
    bool teacher; /* the first model is the teacher, and was asked */
    tc_preprocess picture;
} tc_examples;

tc_status tc_report_cards(tc_buf *b, const tc_examples *e, tc_error *err);

#endif
