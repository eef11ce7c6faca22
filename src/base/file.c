/* file.c - paths, mapped files and atomic writing.
 *
 * A mapped file that another program shortens would end this one with SIGBUS; tc_map_check compares the size
 * again before the bytes are read. The writer never touches the old file: what is under the final name is
 * always complete. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool tc_starts_with(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

bool tc_ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

char *tc_path_join(const char *dir, const char *name) {
    tc_buf b = {0};
    tc_buf_printf(&b, "%s%s%s", dir, tc_ends_with(dir, "/") ? "" : "/", name);
    return tc_buf_take(&b);
}

bool tc_path_exists(const char *path) { return access(path, F_OK) == 0; }

bool tc_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

tc_status tc_make_dirs(const char *path, tc_error *err) {
    char *copy = tc_strdup(path);
    if (!copy) return tc_fail_memory(err, strlen(path));
    tc_status status = TC_OK;
    for (char *p = copy + 1; status == TC_OK; p++) {
        char c = *p;
        if (c != '/' && c != 0) continue;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && !(errno == EEXIST && tc_path_is_dir(copy)))
            status = tc_fail(err, TC_EIO, "%s: cannot make the folder: %s", copy, strerror(errno));
        *p = c;
        if (c == 0) break;
    }
    free(copy);
    return status;
}

tc_status tc_map_open(tc_map *m, const char *path, tc_error *err) {
    *m = (tc_map){.fd = -1};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return tc_fail(err, TC_EIO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return tc_fail(err, TC_EIO, "%s: not a regular file", path);
    }
    m->fd = fd;
    m->size = (size_t)st.st_size;
    m->path = tc_strdup(path);
    if (!m->path) {
        tc_map_close(m);
        return tc_fail_memory(err, strlen(path));
    }
    if (m->size == 0) return TC_OK;
    void *p = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
        tc_map_close(m);
        return tc_fail(err, TC_EIO, "%s: cannot map: %s", path, strerror(errno));
    }
    m->data = p;
    return TC_OK;
}

tc_status tc_map_check(const tc_map *m, tc_error *err) {
    struct stat st;
    if (fstat(m->fd, &st) != 0 || st.st_size < 0 || (size_t)st.st_size < m->size)
        return tc_fail(err, TC_EIO, "%s: the file was shortened while it was in use", m->path);
    return TC_OK;
}

tc_status tc_map_read(const tc_map *m, size_t offset, void *out, size_t size, tc_error *err) {
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(m->fd, (char *)out + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return tc_fail(err, TC_EIO, "%s: cannot read: %s", m->path, strerror(errno));
        if (n == 0) return tc_fail(err, TC_EIO, "%s: the file was shortened while it was in use", m->path);
        done += (size_t)n;
    }
    return TC_OK;
}

bool tc_map_holds(const tc_map *m, const void *data, size_t size) {
    uintptr_t base = (uintptr_t)m->data, first = (uintptr_t)data;
    return m->data && m->fd >= 0 && first >= base && first - base <= m->size &&
           size <= m->size - (first - base);
}

/* Nothing is lost of a read-only mapping, not even of a neighbour on the same page. */
void tc_pages_let_go(const void *data, size_t size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)data, from = first - first % page;
    (void)madvise((void *)from, size + (first - from), MADV_DONTNEED); /* a request: it may be refused */
}

void tc_map_close(tc_map *m) {
    if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
    if (m->path && m->fd >= 0) close(m->fd);
    free(m->path);
    *m = (tc_map){.fd = -1};
}

/* Until `size` bytes are there or the file ends; the number of bytes, or -1. */
static ssize_t read_all(int fd, char *bytes, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, bytes + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Without O_NONBLOCK a pipe under the name would hold the program up. */
tc_status tc_file_read(const char *path, size_t limit, char **data, size_t *size, tc_error *err) {
    *data = NULL;
    *size = 0;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return tc_fail(err, TC_EIO, "%s: cannot open: %s", path, strerror(errno));
    tc_status status = TC_OK;
    char *bytes = NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        status = tc_fail(err, TC_EIO, "%s: not a regular file", path);
    } else if ((uintmax_t)st.st_size > limit) {
        status = tc_fail(err, TC_ENOMEM, "%s: %jd bytes, more than the limit of %zu", path,
                         (intmax_t)st.st_size, limit);
    } else if (!(bytes = malloc((size_t)st.st_size + 1))) {
        status = tc_fail_memory(err, (size_t)st.st_size);
    } else {
        ssize_t n = read_all(fd, bytes, (size_t)st.st_size);
        if (n < 0) status = tc_fail(err, TC_EIO, "%s: cannot read: %s", path, strerror(errno));
        *size = n < 0 ? 0 : (size_t)n;
        bytes[*size] = 0;
    }
    close(fd);
    if (status != TC_OK) free(bytes);
    else *data = bytes;
    return status;
}

/* ---- atomic writer */

/* Between the final name and the number of the process. */
static const char temporary_mark[] = ".tmp-";

struct tc_writer {
    char *path, *temporary;
    FILE *file;
    int error; /* errno of the first failure */
};

static void writer_free(tc_writer **w) {
    free((*w)->path);
    free((*w)->temporary);
    free(*w);
    *w = NULL;
}

tc_status tc_writer_open(tc_writer **out, const char *path, tc_error *err) {
    tc_writer *w = tc_new(1, sizeof *w);
    tc_buf name = {0};
    tc_buf_printf(&name, "%s%s%ld", path, temporary_mark, (long)getpid());
    char *temporary = tc_buf_take(&name);
    if (!w || !temporary || !(w->path = tc_strdup(path))) {
        free(w);
        free(temporary);
        return tc_fail_memory(err, strlen(path));
    }
    w->temporary = temporary;
    w->file = fopen(temporary, "wbe");
    if (!w->file) {
        tc_fail(err, TC_EIO, "%s: cannot write: %s", path, strerror(errno));
        writer_free(&w);
        return TC_EIO;
    }
    *out = w;
    return TC_OK;
}

void tc_writer_add(tc_writer *w, const void *data, size_t size) {
    if (w->error || size == 0) return;
    errno = 0;
    if (fwrite(data, 1, size, w->file) != size) w->error = errno ? errno : EIO;
}

/* The rename is durable only when the folder is. */
static int sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = slash ? tc_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : tc_strdup(".");
    if (!dir) return ENOMEM;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
    free(dir);
    if (fd < 0) return errno;
    if (fsync(fd) != 0 && errno != EINVAL) error = errno;
    close(fd);
    return error;
}

tc_status tc_writer_commit(tc_writer **out, tc_error *err) {
    tc_writer *w = *out;
    errno = 0;
    if (!w->error && fflush(w->file) != 0) w->error = errno ? errno : EIO;
    if (!w->error && fsync(fileno(w->file)) != 0) w->error = errno ? errno : EIO;
    if (fclose(w->file) != 0 && !w->error) w->error = errno ? errno : EIO;
    if (!w->error && rename(w->temporary, w->path) != 0) w->error = errno ? errno : EIO;
    if (!w->error) w->error = sync_folder(w->path);
    tc_status status = TC_OK;
    if (w->error) {
        status = tc_fail(err, TC_EIO, "%s: cannot write: %s", w->path, strerror(w->error));
        unlink(w->temporary);
    }
    writer_free(out);
    return status;
}

void tc_writer_abort(tc_writer **w) {
    if (!*w) return;
    fclose((*w)->file);
    unlink((*w)->temporary);
    writer_free(w);
}

static bool is_temporary(const char *name) {
    const char *mark = NULL;
    for (const char *p = name; (p = strstr(p, temporary_mark)); p++) mark = p;
    if (!mark || mark == name) return false;
    const char *digits = mark + strlen(temporary_mark);
    return *digits && digits[strspn(digits, "0123456789")] == 0;
}

void tc_remove_temporaries(const char *dir) {
    DIR *d = opendir(dir);
    if (!d) return;
    for (const struct dirent *e; (e = readdir(d));)
        if (is_temporary(e->d_name)) unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

tc_status tc_file_write(const char *path, const void *data, size_t size, tc_error *err) {
    tc_writer *w;
    tc_status status = tc_writer_open(&w, path, err);
    if (status != TC_OK) return status;
    tc_writer_add(w, data, size);
    return tc_writer_commit(&w, err);
}
