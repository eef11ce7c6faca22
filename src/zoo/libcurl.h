/* libcurl.h - inside zoo/: libcurl, loaded when it is first needed.
 *
 * Linked in the usual way it would bring thirty libraries (TLS, Kerberos, LDAP) into every start of the
 * program and every program that uses this library, which doubles the time of a start; only one function
 * needs it. */
#ifndef TC_LIBCURL_H
#define TC_LIBCURL_H

#include "base/base.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

typedef struct tc_curl {
    __typeof__(&curl_easy_init) easy_init;
    __typeof__(&curl_easy_reset) easy_reset;
    __typeof__(&curl_easy_setopt) easy_setopt;
    __typeof__(&curl_easy_perform) easy_perform;
    __typeof__(&curl_easy_getinfo) easy_getinfo;
    __typeof__(&curl_easy_cleanup) easy_cleanup;
    __typeof__(&curl_easy_strerror) easy_strerror;
    __typeof__(&curl_slist_append) slist_append;
    __typeof__(&curl_slist_free_all) slist_free_all;
} tc_curl;

/* The same functions for the whole process; they stay loaded. Thread-safe. */
tc_status tc_curl_load(const tc_curl **out, tc_error *err);

#endif
