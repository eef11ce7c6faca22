/* libcurl.c - loads libcurl and finds the functions that are used of it. */
#include "zoo/libcurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static const char SONAME[] = "libcurl.so.4";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static tc_curl functions;
static char failure[256];

static void load(void) {
    void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    __typeof__(&curl_global_init) global_init = NULL;
    const struct {
        const char *name;
        void *into; /* a pointer to a function pointer, which POSIX lets hold what dlsym gives */
    } symbol[] = {{"curl_global_init", &global_init},
                  {"curl_easy_init", &functions.easy_init},
                  {"curl_easy_reset", &functions.easy_reset},
                  {"curl_easy_setopt", &functions.easy_setopt},
                  {"curl_easy_perform", &functions.easy_perform},
                  {"curl_easy_getinfo", &functions.easy_getinfo},
                  {"curl_easy_cleanup", &functions.easy_cleanup},
                  {"curl_easy_strerror", &functions.easy_strerror},
                  {"curl_slist_append", &functions.slist_append},
                  {"curl_slist_free_all", &functions.slist_free_all}};
    bool found = library != NULL;
    for (size_t i = 0; i < sizeof symbol / sizeof *symbol && found; i++) {
        void *address = dlsym(library, symbol[i].name);
        found = address != NULL;
        memcpy(symbol[i].into, &address, sizeof address);
    }
    if (!found) {
        const char *why = dlerror();
        snprintf(failure, sizeof failure, "%s", why ? why : SONAME);
    } else if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        snprintf(failure, sizeof failure, "it cannot be initialised");
    }
}

tc_status tc_curl_load(const tc_curl **out, tc_error *err) {
    pthread_once(&once, load);
    *out = &functions;
    return failure[0] ? tc_fail(err, TC_EUNSUPPORTED,
                                "downloads need libcurl (Debian's package libcurl4): %s", failure)
                      : TC_OK;
}
