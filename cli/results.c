/* results.c - results on stdout: JSON with nine digits a float, which give it back exactly, and readable
 * numbers. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of one well-formed UTF-8 character at s, 0 if there is none. jansson decides: it accepts nothing
 * else. */
static size_t character(const char *s) {
    for (size_t n = 1; n <= 4 && s[n - 1]; n++) {
        json_t *one = json_stringn(s, n);
        json_decref(one);
        if (one) return n;
    }
    return 0;
}

json_t *cli_json_text(const char *s) {
    json_t *text = json_string(s);
    if (text) return text;
    /* Each byte becomes at most three. */
    char *clean = cli_new(3 * strlen(s) + 1, 1), *end = clean;
    for (size_t n; *s; s += n ? n : 1) {
        n = character(s);
        end = n ? mempcpy(end, s, n) : stpcpy(end, "\xef\xbf\xbd");
    }
    text = json_string(clean);
    free(clean);
    return text;
}

json_t *cli_json_real(double x) { return isfinite(x) ? json_real(x) : json_null(); }

json_t *cli_json_floats(const float *x, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(array, cli_json_real((double)x[i]));
    return array;
}

json_t *cli_json_matrix(const float *x, size_t rows, size_t columns) {
    json_t *array = json_array();
    for (size_t i = 0; i < rows; i++) json_array_append_new(array, cli_json_floats(x + i * columns, columns));
    return array;
}

int cli_print_json(json_t *value) {
    int failed = value ? json_dumpf(value, stdout, JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY) : -1;
    json_decref(value);
    printf("\n");
    if (!failed) return CLI_DONE;
    if (!ferror(stdout)) cli_say("the result could not be printed as JSON"); /* main tells of a full disk */
    return CLI_FAILED;
}

const char *cli_shape(int ndim, const int64_t *shape, char *buffer, size_t size) {
    int used = snprintf(buffer, size, "[");
    for (int i = 0; i < ndim && (size_t)used < size; i++)
        used += snprintf(buffer + used, size - (size_t)used, "%lld%s", (long long)shape[i],
                         i + 1 < ndim ? "," : "");
    if ((size_t)used < size) snprintf(buffer + used, size - (size_t)used, "]");
    return buffer;
}

const char *cli_grouped(int64_t n, char *buffer, size_t size) {
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)n), first = n < 0;
    size_t at = 0;
    for (int i = 0; i < length && at + 2 < size; i++) {
        if (i > first && (length - i) % 3 == 0) buffer[at++] = ',';
        buffer[at++] = digits[i];
    }
    buffer[at] = '\0';
    return buffer;
}

enum { PROSE_COLUMNS = 100 }; /* longer lines are hard to read */

void cli_print_prose(const char *text) {
    int width = cli_columns(stdout);
    if (width == 0) printf("%s\n", text);
    else cli_fill(stdout, text, 0, 0, width < PROSE_COLUMNS ? width : PROSE_COLUMNS);
}

const char *cli_amount(double x, char *buffer, size_t size) {
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t unit = 0;
    for (; unit + 1 < sizeof units / sizeof *units && x >= 999.5; unit++) x /= 1000;
    int decimals = x < 9.995 ? 2 : x < 99.95;
    snprintf(buffer, size, "%.*f%s", unit ? decimals : 0, x, units[unit]);
    return buffer;
}
