/* golden.h - golden tests: one function a folder of the goldens; every case prints one TAP line. */
#ifndef TC_GOLDEN_H
#define TC_GOLDEN_H

#include "store/store.h"

/* dir: the folder of the layout, e.g. GOLDENS/loss. Called only if the folder exists. */
void golden_models(const char *dir);
/* Is dir/file a ModifiedResNet in one file, its configuration beside it? Its cases. */
bool golden_is_resnet(const char *dir, const char *file);
void golden_resnet(const char *dir, const char *file);
void golden_tokenizer(const char *dir);
void golden_preprocess(const char *dir);
void golden_inherit(const char *dir);
void golden_loss(const char *dir);
void golden_train(const char *dir);
void golden_eval(const char *dir);
void golden_l0(const char *dir);
/* The part `joint` of l0's expected.json: weights and masks trained together. */
void golden_joint(const char *dir, const json_t *joint);
/* Part of folder l0: json is "masked_forward" of its expected.json. */
void golden_masked(const char *dir, const json_t *json);
/* The masked forward pass of l0 (json: its expected.json), by a folded model. */
void golden_fold_l0(const char *dir, const json_t *json);
/* A model before it was pruned, with its masks, in the data of a pruned one; the tolerances are those of the
 * latter's outputs. */
void golden_fold_pruned(const char *dir, const char *config, const json_t *tolerances, const char *label);
/* Steps on a copy of a pruned model, whose loss must fall. */
void golden_pruned_trains(const tc_model *m, const char *label);

/* One TAP line: "ok 3 - NAME" or "not ok 3 - NAME" followed by "# DETAIL" (printf). Returns ok. */
bool golden_report(bool ok, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void golden_skip(const char *name, const char *reason);
/* Reports failure with err's message if status is not TC_OK; returns whether it is. */
bool golden_ok(tc_status status, const tc_error *err, const char *name);

/* dir/name as JSON or store; NULL (and a failure reported) if it cannot be read. */
json_t *golden_json(const char *dir, const char *name);
tc_store *golden_store(const char *dir, const char *name);
/* Tensor `name` as numbers of the program, newly allocated; *n gets its element count (n may be NULL). NULL
 * (and a failure reported) if it is missing. */
tc_real *golden_tensor(const tc_store *s, const char *name, int64_t *n);
/* Largest |got - expected| over n values; infinite if any difference is not a number. */
double golden_distance(const tc_real *got, const tc_real *expected, int64_t n);
/* One line for a whole tensor: |got - expected| <= tolerance for every element. */
bool golden_close(const char *name, const tc_real *got, const tc_real *expected, int64_t n, double tolerance);
/* Number at key of object; NaN if it is missing. Keys may hold dots. */
double golden_number(const json_t *object, const char *key);

#endif
