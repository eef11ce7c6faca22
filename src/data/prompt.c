/* prompt.c - a name in the place of {} in a template: "a photo of a {}." and "cat" give "a photo of a cat.".
 *
 * A name that brings its own article takes the place of the template's: "an apple" gives "a photo of an
 * apple.", not "a photo of a an apple.". Otherwise the words of the template stay as they are, "a" before a
 * vowel too: published figures were measured with just these prompts. */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const articles[] = {"a", "an", "the"};

/* Letters of the article that s begins with; 0: none. */
static size_t article(const char *s) {
    size_t n = strcspn(s, " ");
    for (size_t i = 0; i < sizeof articles / sizeof *articles; i++)
        if (strlen(articles[i]) == n && strncasecmp(s, articles[i], n) == 0) return n;
    return 0;
}

/* "a" alone is a name. */
static bool brings_article(const char *name) {
    size_t n = article(name);
    return n && name[n + strspn(name + n, " ")];
}

/* How much of the n characters at `form` is left when an article at their end goes with its blank. */
static size_t without_article(const char *form, size_t n) {
    if (n == 0 || form[n - 1] != ' ') return n;
    size_t start = n - 1;
    while (start && form[start - 1] != ' ') start--;
    size_t word = n - 1 - start;
    return word && article(form + start) == word ? start : n;
}

char *tc_template_fill(const char *form, const char *name) {
    tc_buf b = {0};
    bool own = brings_article(name);
    for (const char *gap; (gap = strstr(form, "{}")); form = gap + 2) {
        size_t n = (size_t)(gap - form);
        tc_buf_add(&b, form, own ? without_article(form, n) : n);
        tc_buf_puts(&b, name);
    }
    tc_buf_puts(&b, form);
    return tc_buf_take(&b);
}

/* Whether an article of the template makes room for the name's. */
static bool makes_room(const char *form, const char *name) {
    for (const char *gap; brings_article(name) && (gap = strstr(form, "{}")); form = gap + 2) {
        size_t n = (size_t)(gap - form);
        if (without_article(form, n) < n) return true;
    }
    return false;
}

bool tc_template_conflict(const char *const *names, int classes, const char *const *templates,
                          int n_templates, int *name, int *form) {
    for (int c = 0; c < classes; c++)
        for (int t = 0; t < n_templates; t++) {
            if (!makes_room(templates[t], names[c])) continue;
            *name = c;
            *form = t;
            return true;
        }
    return false;
}
