/* lock.h - one run at a time in a folder. */
#ifndef TC_LOCK_H
#define TC_LOCK_H

#include "base/base.h"

/* Makes the folder, and takes its lock, which close(*lock) or the end of the process gives back. TC_ESTATE if
 * another process has it: "another WHAT". */
tc_status tc_lock_folder(const char *dir, const char *what, int *lock, tc_error *err);

#endif
