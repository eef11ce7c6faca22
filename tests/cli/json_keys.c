/* json_keys.c - reads standard input, which must be one JSON object on one line and nothing else, and prints
 * each key of it, at any depth, with the type of its value: "params number". Below the keys that are named as
 * arguments stands what was taken over from elsewhere; only they themselves are printed. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *type_of(const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "list";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

static void print_keys(const json_t *v, char **closed) {
    const char *key;
    json_t *one;
    size_t i;
    json_array_foreach(v, i, one) print_keys(one, closed);
    json_object_foreach((json_t *)(uintptr_t)v, key, one) {
        bool below = true;
        printf("%s %s\n", key, type_of(one));
        for (char **name = closed; *name; name++) below = below && strcmp(*name, key) != 0;
        if (below) print_keys(one, closed);
    }
}

int main(int argc, char **argv) {
    json_error_t e;
    (void)argc;
    json_t *all = json_loadf(stdin, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &e);
    if (!json_is_object(all)) {
        fprintf(stderr, "no JSON object: line %d: %s\n", e.line, e.text);
        return 1;
    }
    if (getchar() != '\n' || getchar() != EOF) {
        fprintf(stderr, "something follows the object\n");
        return 1;
    }
    print_keys(all, argv + 1);
    json_decref(all);
    return 0;
}
