/* amounts.c - how much of a model is to be left, as it is written on the command line: a part of it, or a
 * number of parameters or of MACs. */
#include "cli.h"

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

bool cli_read_part(const char *text, double *out) {
    char *rest;
    double x;
    if (!number(text, &x, &rest)) return false;
    if (strcmp(rest, "%") == 0) x /= 100;
    else if (*rest) return false;
    *out = x;
    return x <= 1;
}

bool cli_read_amount(const char *text, double *out) {
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

int cli_goal_read(const cli_verb *verb, const cli_goal *g, double *keep, int64_t *params, double *macs) {
    double count = 0;
    *keep = *macs = 0;
    *params = 0;
    if (!!g->keep + !!g->params + !!g->macs > 1)
        return cli_usage(verb, "give one of --keep, --params and --macs");
    if (g->keep && !cli_read_part(g->keep, keep))
        return cli_usage(verb, "--keep: '%s' is not a part such as 50%% or 0.5, at most 100%%", g->keep);
    if (g->params && (!cli_read_amount(g->params, &count) || count < 1))
        return cli_usage(verb, "--params: '%s' is not a number of parameters such as 20M", g->params);
    if (g->macs && !cli_read_amount(g->macs, macs))
        return cli_usage(verb, "--macs: '%s' is not a number of multiply-accumulates such as 2G", g->macs);
    *params = (int64_t)(count + 0.5);
    return CLI_DONE;
}
