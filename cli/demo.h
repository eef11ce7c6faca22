/* demo.h - the demonstration: what its parts share. */
#ifndef TC_CLI_DEMO_H
#define TC_CLI_DEMO_H

#include "cli.h"

enum { DEMO_MODELS = 4, DEMO_POINTS = 64 };

/* One trained model and its accuracy on the way. */
typedef struct demo_result {
    const char *name, *what;
    int64_t params, params_without_tokens, steps;
    double top1, seconds;
    struct {
        int64_t step;
        double top1;
    } curve[DEMO_POINTS];
    int points;
} demo_result;

/* First step at which the curve has reached `top1`; -1: never. */
int64_t demo_steps_to(const demo_result *r, double top1);
/* Accuracy over steps, one line a model. */
tc_status demo_draw_curves(const char *path, const demo_result *results, int n, tc_error *err);
tc_status demo_write_results(const char *path, const demo_result *results, int n, double seconds, tc_error *err);
/* Reads the accuracies that a training run logged. */
tc_status demo_read_curve(const char *log, demo_result *r, tc_error *err);
/* Writes test pictures as PNG files into `dir` and classifies them with the model; prints a table. */
tc_status demo_classify(const char *dir, tc_model *model, const tc_data *data, const tc_preprocess *p, tc_error *err);

#endif
