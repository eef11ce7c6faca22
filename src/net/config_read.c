/* config_read.c - numbers out of a configuration, checked against limits before anything is computed from
 * them. */
#include "net/config_read.h"

#include <math.h>

void tc_config_wrong(tc_config_reader *r, tc_status status, const char *format, ...) {
    char text[1000];
    va_list args;
    if (r->status != TC_OK) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->status = tc_fail(r->err, status, "%s: %s", r->name, text);
}

int tc_config_number(tc_config_reader *r, const json_t *object, const char *where, const char *key, int low,
                     int high, int missing) {
    const json_t *v = json_object_get(object, key);
    if (r->status != TC_OK) return low;
    if ((!v || json_is_null(v)) && missing >= 0) return missing;
    double d = json_is_number(v) ? json_number_value(v) : NAN;
    if (d == floor(d) && d >= low && d <= high) return (int)d;
    tc_config_wrong(r, TC_EFORMAT, "%s%s must be a whole number from %d to %d", where, key, low, high);
    return low;
}

const json_t *tc_config_section(tc_config_reader *r, const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    if (!json_is_object(v)) tc_config_wrong(r, TC_EFORMAT, "\"%s\" is missing or not an object", key);
    return v;
}
