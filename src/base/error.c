/* error.c - error messages and checked arithmetic. */
#include "base/base.h"

#include <string.h>

const char *tc_status_name(tc_status s) {
    static const char *const names[] = {
        [TC_OK] = "ok",         [TC_EIO] = "io",        [TC_EFORMAT] = "format",
        [TC_EARG] = "argument", [TC_ENOMEM] = "memory", [TC_EUNSUPPORTED] = "unsupported",
        [TC_ESTATE] = "state"};
    return (size_t)s < sizeof names / sizeof *names ? names[s] : "unknown";
}

tc_status tc_fail(tc_error *err, tc_status status, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        err->status = status;
    }
    return status;
}

tc_status tc_fail_in(tc_error *err, tc_status status, const char *format, ...) {
    if (!err) return status;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    /* What does not fit is cut. */
    strncat(err->message, ": ", sizeof err->message - strlen(err->message) - 1);
    strncat(err->message, old, sizeof err->message - strlen(err->message) - 1);
    err->status = status;
    return status;
}

tc_status tc_fail_memory(tc_error *err, size_t bytes) {
    return tc_fail(err, TC_ENOMEM, "out of memory (%zu bytes wanted)", bytes);
}

bool tc_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

bool tc_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

bool tc_round_up(size_t a, size_t multiple, size_t *out) {
    size_t sum;
    if (multiple == 0 || !tc_add(a, multiple - 1, &sum)) return false;
    *out = sum - sum % multiple;
    return true;
}
