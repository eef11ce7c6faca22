/* amounts.c - how much of a model is to be left, as people write it: a part of it, or a number of parameters
 * or of MACs. */
#include "train/amounts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A finite number above 0; *rest gets what follows it. */
static bool number(const char *text, double *out, char **rest) {
    /* strtod knows hexadecimal numbers, infinities and blanks before a number, too. */
    if (strspn(text, "0123456789.") == 0) return false;
    errno = 0;
    *out = strtod(text, rest);
    return !errno && (size_t)(*rest - text) <= strspn(text, "0123456789.eE+-") && isfinite(*out) && *out > 0;
}

bool tc_read_part(const char *text, double *out) {
    char *rest;
    double x;
    if (!number(text, &x, &rest)) return false;
    if (strcmp(rest, "%") == 0) x /= 100;
    else if (*rest) return false;
    *out = x;
    return x <= 1;
}

bool tc_read_amount(const char *text, double *out) {
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"B", 1e9}, {"T", 1e12}};
    char *rest;
    double x;
    if (!number(text, &x, &rest)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(rest, units[i].name) == 0) {
            *out = x * units[i].factor;
            return *out < 1e18;
        }
    return false;
}
