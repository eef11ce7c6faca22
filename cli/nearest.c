/* nearest.c - "did you mean X?": the known word that is nearest to one that is not known.
 *
 * The distance counts letters that are wrong, missing, too many, or exchanged with their neighbour (optimal
 * string alignment). Only a word that is near is offered: a wrong guess helps nobody. */
#include "cli.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 80, LEAST_PREFIX = 3, MOST_ERRORS = 3 };

const char *const cli_named_data[] = {"fashion-mnist", "tuxpaint", NULL};

static int least(int a, int b) { return a < b ? a : b; }

static int distance(const char *a, size_t n, const char *b, size_t m) {
    int row[3][LONGEST + 1]; /* of the letters i-2, i-1 and i of a */
    int *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= m; j++) last[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            now[j] = least(last[j - 1] + !same, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        int *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[m];
}

void cli_nearest_offer(cli_nearest *n, const char *known) {
    if (strcmp(n->word, known) == 0) n->exact = true;
    if (n->exact) n->text[0] = '\0';
    if (n->exact) return;
    /* The dashes of an option are no letters: "-json" means "--json". */
    const char *word = n->word + strspn(n->word, "-"), *other = known + strspn(known, "-");
    size_t length = strlen(word), size = strlen(other), common = least((int)length, (int)size);
    if (length == 0 || length > LONGEST || size > LONGEST) return;
    int errors = distance(word, length, other, size), allowed = least((int)(length + 2) / 4, MOST_ERRORS);
    bool begins_alike = common >= LEAST_PREFIX && strncasecmp(word, other, common) == 0;
    if (errors > allowed && !begins_alike) return;
    if (n->text[0] && errors >= n->errors) return;
    snprintf(n->text, sizeof n->text, "; did you mean '%s%s'?", n->before ? n->before : "", known);
    n->errors = errors;
}

/* "openai/clip-vit-base-patch32": a name of a place where models are published. */
static bool is_published_name(const char *name) {
    const char *slash = strchr(name, '/');
    char *owner = cli_text("%.*s", slash ? (int)(slash - name) : 0, name);
    bool yes = *owner && *owner != '.' && slash[1] && !strchr(slash + 1, '/') && !cli_path_exists(owner);
    free(owner);
    return yes;
}

/* The files beside the one that is not there. */
static void offer_files(const char *name, cli_nearest *n) {
    const char *slash = strrchr(name, '/');
    char *folder = cli_text("%.*s", slash ? (int)(slash - name + 1) : 0, name);
    DIR *d = opendir(*folder ? folder : ".");
    n->word = slash ? slash + 1 : name;
    n->before = folder;
    for (const struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') cli_nearest_offer(n, e->d_name);
    if (d) closedir(d);
    n->word = name;
    n->before = NULL;
    free(folder);
}

void cli_suggest(tc_error *err, const char *name, unsigned known) {
    cli_nearest n = {.word = name};
    char *inside = cli_path(name, "model");
    if (known & CLI_KNOWN_ZOO && cli_path_exists(inside)) {
        snprintf(n.text, sizeof n.text, "; did you mean '%s'?", inside);
    } else if (!cli_path_exists(name)) {
        if (known & CLI_KNOWN_FILES) offer_files(name, &n);
        for (int i = 0; known & CLI_KNOWN_CONFIGS && tc_builtin_config(i); i++)
            cli_nearest_offer(&n, tc_builtin_config(i));
        for (int i = 0; known & CLI_KNOWN_ZOO && tc_zoo_at(i); i++) cli_nearest_offer(&n, tc_zoo_at(i)->name);
        for (int i = 0; known & CLI_KNOWN_DATA && cli_named_data[i]; i++)
            cli_nearest_offer(&n, cli_named_data[i]);
    }
    if (!n.text[0] && !n.exact && known & CLI_KNOWN_ZOO && known & CLI_KNOWN_FILES && is_published_name(name))
        snprintf(n.text, sizeof n.text,
                 "; models are not downloaded by such names: give the file or folder of one");
    strncat(err->message, n.text, sizeof err->message - strlen(err->message) - 1);
    free(inside);
}
