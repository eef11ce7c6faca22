/* golden_eval.c - retrieval ranks, zero-shot classifier weights and top-k accuracy. */
#include "eval/metrics.h"
#include "golden/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tensor GROUP<id>.NAME. */
static tc_real *tensor(const tc_store *s, const char *group, int id, const char *name, int64_t *n) {
    char full[128];
    snprintf(full, sizeof full, "%s%d.%s", group, id, name);
    return golden_tensor(s, full, n);
}

/* ---- retrieval */

static void compare_ranks(const json_t *c, const char *key, const int64_t *got, int64_t n,
                          const char *label) {
    const json_t *expected = json_object_get(c, key);
    char name[160];
    int64_t at = 0;
    snprintf(name, sizeof name, "%s %s", label, key);
    if ((int64_t)json_array_size(expected) != n) {
        golden_report(false, name, "%zu ranks expected, %lld pairs", json_array_size(expected), (long long)n);
        return;
    }
    while (at < n && json_integer_value(json_array_get(expected, (size_t)at)) == got[at]) at++;
    golden_report(at == n, name, "row %lld: rank %lld", (long long)at, at < n ? (long long)got[at] : -1LL);
}

static void compare_metrics(const json_t *c, const char *direction, const tc_retrieval_direction *d,
                            const char *label) {
    const json_t *metrics = json_object_get(c, "metrics");
    const struct {
        const char *name;
        double value;
    } got[] = {{"mean_rank", d->mean_rank},
               {"median_rank", d->median_rank},
               {"R@1", d->r1},
               {"R@5", d->r5},
               {"R@10", d->r10}};
    for (size_t i = 0; i < sizeof got / sizeof *got; i++) {
        char key[80], name[160];
        snprintf(key, sizeof key, "%s_%s", direction, got[i].name);
        snprintf(name, sizeof name, "%s %s", label, key);
        double expected = golden_number(metrics, key);
        golden_report(fabs(got[i].value - expected) <= 1e-9, name, "%.12g instead of %.12g", got[i].value,
                      expected);
    }
}

static void retrieval_case(const tc_store *s, const json_t *c) {
    int id = (int)golden_number(c, "id"), n = (int)golden_number(c, "n");
    int64_t image_size = 0, text_size = 0;
    char label[80];
    snprintf(label, sizeof label, "eval retrieval%d", id);
    tc_real *image = tensor(s, "retrieval", id, "image", &image_size),
            *text = tensor(s, "retrieval", id, "text", &text_size);
    int64_t *row = tc_new((size_t)n, sizeof *row), *column = tc_new((size_t)n, sizeof *column);
    tc_retrieval_result result;
    tc_error err;
    if (image && text && row && column && n > 0 && image_size == text_size && image_size % n == 0) {
        tc_status status =
            tc_retrieval_ranks(image, text, n, (int)(image_size / n), (float)golden_number(c, "logit_scale"),
                               row, column, &result, &err);
        if (golden_ok(status, &err, label)) {
            compare_ranks(c, "rank0_image_to_text", row, n, label);
            compare_ranks(c, "rank0_text_to_image", column, n, label);
            compare_metrics(c, "image_to_text", &result.image_to_text, label);
            compare_metrics(c, "text_to_image", &result.text_to_image, label);
        }
    } else {
        golden_report(false, label, "sizes do not fit: %lld and %lld numbers for %d pairs",
                      (long long)image_size, (long long)text_size, n);
    }
    free(image);
    free(text);
    free(row);
    free(column);
}

/* ---- zero-shot classifier */

static void classifier_case(const tc_store *s, const json_t *c) {
    int id = (int)golden_number(c, "id"), classes = (int)golden_number(c, "classes"),
        templates = (int)golden_number(c, "templates");
    int dim = (int)golden_number(c, "dim");
    int64_t features_size = 0, expected_size = 0;
    char label[80];
    snprintf(label, sizeof label, "eval cls%d classifier", id);
    tc_real *features = tensor(s, "cls", id, "text_features", &features_size),
            *expected = tensor(s, "cls", id, "classifier", &expected_size);
    if (features && expected && features_size == (int64_t)classes * templates * dim &&
        expected_size == (int64_t)dim * classes) {
        tc_real *got = tc_new((size_t)expected_size, sizeof *got);
        if (got) {
            tc_zeroshot_classifier(features, classes, templates, dim, got);
            golden_close(label, got, expected, expected_size, golden_number(c, "atol"));
        }
        free(got);
    } else {
        golden_report(false, label, "sizes do not fit");
    }
    free(features);
    free(expected);
}

/* ---- classification */

static void compare_top5(const json_t *c, const tc_real *logits, int rows, int classes, const char *label) {
    const json_t *expected = json_object_get(c, "top5_ids_first8");
    char name[120];
    int wrong = -1;
    snprintf(name, sizeof name, "%s top5_ids_first8", label);
    for (int r = 0; r < (int)json_array_size(expected) && wrong < 0; r++) {
        const json_t *ids = json_array_get(expected, (size_t)r);
        int k = (int)json_array_size(ids), *best = tc_new((size_t)k, sizeof *best);
        if (r >= rows || !best) wrong = r;
        else tc_top_k(logits + (size_t)r * (size_t)classes, classes, k, best);
        for (int i = 0; i < k && wrong < 0; i++)
            if (best[i] != json_integer_value(json_array_get(ids, (size_t)i))) wrong = r;
        free(best);
    }
    golden_report(wrong < 0 && json_array_size(expected) > 0, name, "row %d differs", wrong);
}

static void compare_accuracy(const json_t *c, const tc_real *logits, const tc_real *labels, int rows,
                             int classes, const char *label) {
    char name[120];
    int64_t top1 = 0, top5 = 0;
    for (int r = 0; r < rows; r++) {
        int64_t rank = tc_rank_of(logits + (size_t)r * (size_t)classes, classes, (int64_t)labels[r]);
        top1 += rank < 1;
        top5 += rank < 5;
    }
    snprintf(name, sizeof name, "%s top1_count", label);
    golden_report((double)top1 == golden_number(c, "top1_count") &&
                      fabs((double)top1 / rows - golden_number(c, "top1")) <= 1e-9,
                  name, "%lld", (long long)top1);
    snprintf(name, sizeof name, "%s top5_count", label);
    golden_report((double)top5 == golden_number(c, "top5_count") &&
                      fabs((double)top5 / rows - golden_number(c, "top5")) <= 1e-9,
                  name, "%lld", (long long)top5);
}

static void classification_case(const tc_store *s, const json_t *c) {
    int id = (int)golden_number(c, "id"), rows = (int)golden_number(c, "n");
    int64_t image_size = 0, classifier_size = 0, logits_size = 0, labels_size = 0;
    char label[80];
    snprintf(label, sizeof label, "eval cls%d logits", id);
    tc_real *image = tensor(s, "cls", id, "image_features", &image_size),
            *classifier = tensor(s, "cls", id, "classifier", &classifier_size);
    tc_real *expected = tensor(s, "cls", id, "logits", &logits_size),
            *labels = tensor(s, "cls", id, "labels", &labels_size);
    int dim = rows > 0 ? (int)(image_size / rows) : 0, classes = rows > 0 ? (int)(logits_size / rows) : 0;
    tc_real *transposed = tc_new((size_t)classifier_size, sizeof *transposed),
            *got = tc_new((size_t)logits_size, sizeof *got);
    bool fits = image && classifier && expected && labels && transposed && got && labels_size == rows &&
                classifier_size == (int64_t)dim * classes;
    if (fits && dim > 0 && classes > 0) {
        for (int d = 0; d < dim; d++)
            for (int k = 0; k < classes; k++)
                transposed[(size_t)k * (size_t)dim + (size_t)d] =
                    classifier[(size_t)d * (size_t)classes + (size_t)k];
        tc_logits(image, transposed, rows, classes, dim, 100, got);
        golden_close(label, got, expected, logits_size, golden_number(c, "logits_atol"));
        snprintf(label, sizeof label, "eval cls%d", id);
        compare_accuracy(c, got, labels, rows, classes, label);
        compare_top5(c, got, rows, classes, label);
    } else {
        golden_report(false, label, "sizes do not fit");
    }
    free(image);
    free(classifier);
    free(expected);
    free(labels);
    free(transposed);
    free(got);
}

void golden_eval(const char *dir) {
    json_t *root = golden_json(dir, "expected.json"), *c;
    tc_store *s = golden_store(dir, "eval.safetensors");
    size_t i;
    if (root && s) {
        json_array_foreach(json_object_get(root, "retrieval"), i, c) retrieval_case(s, c);
        json_array_foreach(json_object_get(root, "classifier"), i, c) classifier_case(s, c);
        json_array_foreach(json_object_get(root, "classification"), i, c) classification_case(s, c);
    }
    json_decref(root);
    tc_store_close(&s);
}
