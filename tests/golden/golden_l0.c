/* golden_l0.c - learned masks: the forward pass under masks; other groups of cases are skipped by their names. */
#include "golden/golden.h"

#include <string.h>

static void skip(const char *name) { golden_skip(name, "learned masks are not implemented"); }

void golden_l0(const char *dir) {
    json_t *json = golden_json(dir, "expected.json"), *value, *item;
    const char *key;
    size_t i;
    json_object_foreach(json, key, value) {
        char name[128];
        snprintf(name, sizeof name, "l0 %s", key);
        if (strcmp(key, "masked_forward") == 0) golden_masked(dir, value);
        else if (json_is_object(value)) skip(name);
        json_array_foreach(value, i, item) {
            const char *own = json_string_value(json_object_get(item, "name"));
            snprintf(name, sizeof name, "l0 %s %.60s", key, own ? own : "?");
            skip(name);
        }
    }
    golden_fold_l0(dir, json);
    json_decref(json);
}
