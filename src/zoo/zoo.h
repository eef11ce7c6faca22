/* zoo.h - inside zoo/: a download that survives cut connections, and the checksum of a file. */
#ifndef TC_ZOO_H
#define TC_ZOO_H

#include "base/base.h"

typedef struct tc_fetch_options {
    /* attempts that bring next to nothing, one after the other, before it gives up */
    int retries;
    /* seconds before the first new attempt; doubled each time, at most WAIT_MOST */
    double wait;
    double connect_timeout, stall_timeout; /* seconds without a connection, and without data */
    int64_t size_limit;                    /* bytes; a larger file is refused */
    const char *name;                      /* for progress */
    tc_log log;
} tc_fetch_options;

/* Downloads url (http or https) into the file `part`. What is there already of an earlier attempt, of this
 * process or another one, is continued if the server still has the same file: PART.from holds its address,
 * its ETag or date, and its size. On success the file is complete and synced and PART.from is gone; on
 * failure both stay, unless what they hold is of no use. Only one process at a time may do this with one
 * file. */
tc_status tc_fetch(const char *url, const char *part, const tc_fetch_options *o, tc_error *err);

/* SHA-256 (FIPS 180-4) of a file: 64 lower-case digits and a NUL. */
tc_status tc_file_sha256(const char *path, char hex[65], tc_error *err);

#endif
