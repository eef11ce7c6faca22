/* golden_main.c - runs every golden folder of the layout against this build: golden-run DIR. */
#include "golden/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int count;

bool golden_report(bool ok, const char *name, const char *format, ...) {
    char detail[512] = "";
    if (format) {
        va_list args;
        va_start(args, format);
        vsnprintf(detail, sizeof detail, format, args);
        va_end(args);
    }
    printf("%sok %d - %s\n", ok ? "" : "not ", ++count, name);
    if (!ok && detail[0]) printf("# %s: %s\n", name, detail);
    fflush(stdout);
    return ok;
}

void golden_skip(const char *name, const char *reason) {
    printf("ok %d - %s # SKIP %s\n", ++count, name, reason);
    fflush(stdout);
}

bool golden_ok(tc_status status, const tc_error *err, const char *name) {
    if (status != TC_OK) golden_report(false, name, "%s", err->message);
    return status == TC_OK;
}

json_t *golden_json(const char *dir, const char *name) {
    tc_error err;
    json_t *json = NULL;
    char *path = tc_path_join(dir, name);
    if (!golden_ok(tc_json_load(&json, path, (size_t)1 << 30, &err), &err, name)) json = NULL;
    free(path);
    return json;
}

tc_store *golden_store(const char *dir, const char *name) {
    tc_error err;
    tc_store *store = NULL;
    char *path = tc_path_join(dir, name);
    if (!golden_ok(tc_store_open(&store, path, &err), &err, name)) store = NULL;
    free(path);
    return store;
}

tc_real *golden_tensor(const tc_store *s, const char *name, int64_t *n) {
    const tc_tensor *t = tc_store_find(s, name);
    tc_real *values = t ? tc_new_aligned((size_t)tc_tensor_numel(t), sizeof *values) : NULL;
    if (!values || !tc_tensor_read(t, 0, tc_tensor_numel(t), values)) {
        golden_report(false, name, "tensor is missing or not of numbers");
        free(values);
        return NULL;
    }
    if (n) *n = tc_tensor_numel(t);
    return values;
}

double golden_distance(const tc_real *got, const tc_real *expected, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)expected[i]);
        if (!(d <= most)) most = isnan(d) ? INFINITY : d;
    }
    return most;
}

bool golden_close(const char *name, const tc_real *got, const tc_real *expected, int64_t n,
                  double tolerance) {
    double d = golden_distance(got, expected, n);
    return golden_report(d <= tolerance, name, "largest difference %.3g, tolerance %.3g", d, tolerance);
}

double golden_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(const char *dir);
    } folders[] = {{"models", golden_models},
                   {"tokenizer", golden_tokenizer},
                   {"preprocess", golden_preprocess},
                   {"inherit", golden_inherit},
                   {"loss", golden_loss},
                   {"train", golden_train},
                   {"eval", golden_eval},
                   {"l0", golden_l0}};
    if (argc < 2) {
        fprintf(stderr, "usage: golden-run DIR [FOLDER...]\n");
        return 2;
    }
    bool found = false;
    printf("# CPU level %s\n", tc_cpu_level());
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        bool wanted = argc == 2;
        for (int a = 2; a < argc; a++) wanted = wanted || strcmp(argv[a], folders[i].name) == 0;
        char *dir = tc_path_join(argv[1], folders[i].name);
        int before = count;
        bool there = dir && tc_path_is_dir(dir);
        found = found || there;
        if (wanted && there) folders[i].run(dir);
        else if (wanted) golden_skip(folders[i].name, "folder is not there");
        /* Names that were misread would otherwise pass unnoticed. */
        if (wanted && count == before)
            golden_report(false, folders[i].name, "%s: no case found", dir ? dir : folders[i].name);
        free(dir);
    }
    if (!found) golden_report(false, argv[1], "no folder of the goldens in it");
    printf("1..%d\n", count);
    return 0;
}
