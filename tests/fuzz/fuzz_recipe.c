/* fuzz_recipe.c - any bytes as a recipe; what is accepted is written and read again as the same recipe. */
#include "train/recipe.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *json = NULL;
    tc_recipe *recipe = NULL, *again = NULL;
    tc_error err;
    if (tc_json_parse(&json, (const char *)data, size, "fuzz", &err) == TC_OK &&
        tc_recipe_parse(&recipe, json, "fuzz", &err) == TC_OK) {
        json_t *written = tc_recipe_json(recipe);
        if (tc_recipe_parse(&again, written, "fuzz", &err) != TC_OK) abort();
        json_t *twice = tc_recipe_json(again);
        if (!json_equal(written, twice)) abort();
        json_decref(written);
        json_decref(twice);
    }
    tc_recipe_free(&recipe);
    tc_recipe_free(&again);
    json_decref(json);
    return 0;
}
