/* version.c - which version this is, and whether a caller's options are ones that it knows. */
#include "base/base.h"

const char *tc_version(void) { return TC_VERSION; }

int tc_version_number(void) { return TC_VERSION_NUMBER; }

tc_status tc_check_reserved(const uint64_t *reserved, size_t size, const char *what, tc_error *err) {
    for (size_t i = 0; i < size / sizeof *reserved; i++)
        if (reserved[i] != 0)
            return tc_fail(err, TC_EARG,
                           "%s: a setting that version %s does not know is made; begin with %s_default()",
                           what, TC_VERSION, what);
    return TC_OK;
}
