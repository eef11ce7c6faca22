/* lock.c - one run at a time in a folder. The lock is the system's, not the file's existence: it goes with
 * the process, however that ends. */
#include "train/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

tc_status tc_lock_folder(const char *dir, const char *what, int *lock, tc_error *err) {
    tc_status status = tc_make_dirs(dir, err);
    char *path = tc_path_join(dir, "lock");
    *lock = -1;
    if (status == TC_OK && !path) status = tc_fail_memory(err, 1);
    if (status == TC_OK) *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (status == TC_OK && *lock < 0)
        status = tc_fail(err, TC_EIO, "%s: cannot open: %s", path, strerror(errno));
    if (status == TC_OK && flock(*lock, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK
                     ? tc_fail(err, TC_ESTATE, "%s: another %s is using this folder", dir, what)
                     : tc_fail(err, TC_EIO, "%s: cannot lock: %s", path, strerror(errno));
    if (status != TC_OK && *lock >= 0) {
        close(*lock);
        *lock = -1;
    }
    free(path);
    return status;
}
