/* recipe_keys.c - the keys of recipes as a page of Markdown, from the tables by which recipes are read and
 * options are declared. docs/RECIPE.md is this output.
 */
#include "cli.h"

typedef const tc_setting *(*setting_list)(size_t i);

/* The object that a key stands in. */
enum { IN_TRAIN = 0, IN_PLACES = TC_SETTING_IN_STAGE | TC_SETTING_IN_RECIPE };

static bool in_range(const tc_setting *s, double x) {
    return (s->above ? x > s->least : x >= s->least) && (s->below ? x < s->most : x <= s->most);
}

/* An end of the range that only bounds nonsense is left out. */
static void put_range(const tc_setting *s) {
    const double nonsense = 1e9;
    if (s->kind == TC_SETTING_FLAG) {
        printf("true or false");
        return;
    }
    printf("%s %.15g", s->above ? "above" : "from", s->least);
    if (s->most < nonsense) printf(" to %s%.15g", s->below ? "below " : "", s->most);
}

/* A default outside of the range says that the run chooses. */
static void put_default(const tc_setting *s) {
    if (s->kind == TC_SETTING_FLAG) printf("%s", s->fallback != 0 ? "true" : "false");
    else if (in_range(s, s->fallback)) printf("%.15g", s->fallback);
    else printf("–");
}

static void put_rows(setting_list list, unsigned place) {
    const tc_setting *s;
    for (size_t i = 0; (s = list(i));) {
        i++;
        if (!s->key || (s->flags & IN_PLACES) != place) continue;
        printf("| `%s` | ", s->key);
        put_range(s);
        printf(" | ");
        put_default(s);
        printf(" | `%s` | %s |\n", s->option, s->help);
    }
}

#define COLUMNS "| key | values | default | option | what it is |\n|---|---|---|---|---|\n"

static void put_heading(const char *title, const char *text) {
    printf("\n## %s\n\n%s\n\n" COLUMNS, title, text);
}

void cli_print_recipe_keys(void) {
    printf("# The keys of recipes\n\n"
           "Printed by the program from the tables that recipes are read by. A recipe is an object\n"
           "with `name`, `description` and `source` (both optional), `train`, `stages` (a list), and\n"
           "what follows. The column \"option\" names that of `train` and `distill` for the same\n"
           "setting, of which the words are; – stands for a default that the run chooses, or for\n"
           "none. [How to write one](howto/recipe.md).\n");
    put_heading("In the recipe", "Beside `name`, `train` and `stages`:");
    put_rows(tc_train_setting, TC_SETTING_IN_RECIPE);
    put_heading("In a stage", "Beside `name`, `inheritance` (`\"auto\"` or `\"manual\"`) and `train`\n"
                              "(what is different in this stage); one of the two:");
    put_rows(tc_train_setting, TC_SETTING_IN_STAGE);
    put_heading("In an automatic stage", "One goal (`keep`, `params` or `macs`), and `fold_step`; without\n"
                                         "`target_warmup` it is a third of `fold_step`, at most 1,000:");
    put_rows(tc_mask_setting, TC_SETTING_IN_STAGE);
    printf("\n## In a manual stage\n\n"
           "`student`: the name of a built-in configuration (`tinyclip info` lists them), or a\n"
           "configuration.\n");
    put_heading("In `train`", "Of the recipe, for all stages, or of one stage:");
    put_rows(tc_train_setting, IN_TRAIN);
}
