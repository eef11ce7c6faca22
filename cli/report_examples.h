/* report_examples.h - what teacher and students say about held-out images: guessed in report_examples.c,
 * written in report_cards.c. */
#ifndef TC_CLI_REPORT_EXAMPLES_H
#define TC_CLI_REPORT_EXAMPLES_H

#include "report.h"
#include "eval/eval.h"

enum { EXAMPLE_GUESSES = 3, EXAMPLE_MODELS = 6, EXAMPLE_LOOK = 512, EXAMPLE_MOST = 60 };

/* A model's best classes for one image; index -1: none. */
typedef struct example_guess {
    int index[EXAMPLE_GUESSES];
    float p[EXAMPLE_GUESSES];
} example_guess;

typedef struct example_model {
    char *name, *path;
    int colour;
    const report_facts *facts;
    example_guess *says; /* [images looked at]; NULL: it could not be asked */
    tc_error why;        /* then this is why */
} example_model;

/* The images that are looked at, and the classes among which they are guessed: those of the data, or, of
 * pairs, the captions of these images (each once). */
typedef struct example_subject {
    tc_data *data;
    tc_selection selection; /* of at most EXAMPLE_LOOK */
    bool pairs;
    int classes;
    char **names; /* [classes] */
    int *label;   /* [images looked at] */
} example_subject;

/* How the models stand to each other on an image. */
typedef enum example_kind {
    EXAMPLE_ALL,
    EXAMPLE_LOST,
    EXAMPLE_GAINED,
    EXAMPLE_NONE,
    EXAMPLE_KINDS
} example_kind;

typedef struct examples {
    example_subject subject;
    example_model models[EXAMPLE_MODELS];
    int model_count;
    int64_t images; /* that every model could see */
    int64_t of_kind[EXAMPLE_KINDS];
    struct example_shown {
        int64_t position; /* in the selection */
        example_kind kind;
    } shown[EXAMPLE_MOST]; /* by kind */
    int shown_count;
    bool teacher; /* the first model is the teacher, and was asked */
    tc_preprocess picture;
} examples;

tc_status report_cards(tc_buf *b, const examples *e, tc_error *err);

#endif
