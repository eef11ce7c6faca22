/* pull.c - brings a published model into the cache: download, checksum, conversion, verification, each of
 * them safe to be interrupted.
 *
 * In the cache lie, for a model NAME whose file on the release page is FILE:
 *   FILE.part, FILE.part.from   a download under way
 *   FILE                        a complete one that has not been converted yet; one that was put there by
 * hand is taken, too FILE.sha256                 its checksum, recorded when the weights were first found
 * good, in the form of sha256sum NAME.safetensors            the weights, in this project's single file
 *   NAME.lock                   locked while a process works on any of these */
#include "zoo/zoo.h"
#include "net/net.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char RELEASE[] = "https://github.com/wkcn/TinyCLIP-model-zoo/releases/download/checkpoints";

tc_zoo_options tc_zoo_options_default(void) {
    return (tc_zoo_options){
        .retries = 5, .wait = 1, .connect_timeout = 30, .stall_timeout = 60, .size_limit = (int64_t)4 << 30};
}

/* ---- checksum */

tc_status tc_file_sha256(const char *path, char hex[65], tc_error *err) {
    enum { BLOCK = 1 << 16 };
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE], *block = tc_new(BLOCK, 1);
    FILE *f = fopen(path, "rbe");
    tc_status status = f ? TC_OK : tc_fail(err, TC_EIO, "%s: cannot open: %s", path, strerror(errno));
    if (!block) status = tc_fail_memory(err, BLOCK);
    sha256_init(&context);
    for (size_t n; status == TC_OK && (n = fread(block, 1, BLOCK, f)) > 0;) sha256_update(&context, n, block);
    if (status == TC_OK && ferror(f))
        status = tc_fail(err, TC_EIO, "%s: cannot read: %s", path, strerror(errno));
    sha256_digest(&context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    if (f) fclose(f);
    free(block);
    return status;
}

/* ---- one model's files */

typedef struct puller {
    const tc_zoo_model *m;
    tc_zoo_options o;
    tc_log log;
    char *file, *part, *record, *model, *lock;
    int lock_fd;
    char hex[65];
} puller;

static char *in_cache(const char *dir, const char *name, const char *suffix) {
    tc_buf b = {0};
    tc_buf_printf(&b, "%s/%s%s", dir, name, suffix);
    return tc_buf_take(&b);
}

static tc_status start(puller *p, tc_error *err) {
    char *dir = tc_zoo_cache();
    if (!dir)
        return tc_fail(err, TC_EARG,
                       "there is no folder for the cache: neither XDG_CACHE_HOME nor HOME is set");
    tc_status status = tc_make_dirs(dir, err);
    p->file = in_cache(dir, p->m->file, "");
    p->part = in_cache(dir, p->m->file, ".part");
    p->record = in_cache(dir, p->m->file, ".sha256");
    p->model = in_cache(dir, p->m->name, ".safetensors");
    p->lock = in_cache(dir, p->m->name, ".lock");
    if (status == TC_OK && !(p->file && p->part && p->record && p->model && p->lock))
        status = tc_fail_memory(err, strlen(dir));
    free(dir);
    if (status != TC_OK) return status;
    p->lock_fd = open(p->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (p->lock_fd < 0) return tc_fail(err, TC_EIO, "%s: cannot write: %s", p->lock, strerror(errno));
    int taken = flock(p->lock_fd, LOCK_EX | LOCK_NB);
    if (taken != 0 && errno == EWOULDBLOCK) {
        tc_log_line(&p->log, 1, "%s: waiting for another process that is pulling it", p->m->name);
        do taken = flock(p->lock_fd, LOCK_EX);
        while (taken != 0 && errno == EINTR);
    }
    return taken == 0 ? TC_OK : tc_fail(err, TC_EIO, "%s: cannot lock: %s", p->lock, strerror(errno));
}

static void finish(puller *p) {
    if (p->lock_fd >= 0) close(p->lock_fd);
    free(p->file);
    free(p->part);
    free(p->record);
    free(p->model);
    free(p->lock);
}

/* ---- steps */

/* Opens the weights with the model's configuration, if they need one, and counts. */
static tc_status open_checked(const puller *p, const char *path, tc_model **out, tc_error *err) {
    tc_open_options o = tc_open_options_default();
    o.config = p->m->config;
    tc_status status = tc_model_open(out, path, &o, err);
    if (status == TC_OK) status = tc_zoo_check(p->m, *out, err);
    if (status != TC_OK) tc_model_close(out);
    return status;
}

static tc_status download(const puller *p, tc_error *err) {
    const char *mirror = getenv("TINYCLIP_ZOO_URL");
    const char *base = mirror && *mirror ? mirror : RELEASE;
    if (p->o.url) base = p->o.url;
    tc_fetch_options o = {.retries = p->o.retries,
                          .wait = p->o.wait,
                          .connect_timeout = p->o.connect_timeout,
                          .stall_timeout = p->o.stall_timeout,
                          .size_limit = p->o.size_limit,
                          .name = p->m->file,
                          .log = p->log};
    tc_buf b = {0};
    tc_buf_printf(&b, "%s%s%s", base, tc_ends_with(base, "/") ? "" : "/", p->m->file);
    char *url = tc_buf_take(&b);
    tc_log_line(&p->log, 1, "%s: from %s", p->m->name, base);
    tc_status status = url ? tc_fetch(url, p->part, &o, err) : tc_fail_memory(err, strlen(base));
    if (status == TC_OK && rename(p->part, p->file) != 0)
        status = tc_fail(err, TC_EIO, "%s: cannot rename: %s", p->part, strerror(errno));
    free(url);
    return status;
}

/* A file with another checksum than the first good one is thrown away. *known: there was a record. */
static tc_status compare_checksum(puller *p, bool *known, tc_error *err) {
    char *text = NULL;
    size_t size;
    tc_status status = tc_file_sha256(p->file, p->hex, err);
    *known = false;
    if (status != TC_OK || !tc_path_exists(p->record) || p->o.force) return status;
    status = tc_file_read(p->record, 4096, &text, &size, err);
    if (status != TC_OK) return status;
    *known = size >= 64 && strncmp(text, p->hex, 64) == 0;
    if (!*known) {
        status = tc_fail(
            err, TC_EFORMAT,
            "%s: the SHA-256 of the download is %s, but %s recorded %.64s; it is removed; --force accepts it",
            p->m->file, p->hex, p->record, text);
        unlink(p->file);
    }
    free(text);
    return status;
}

static tc_status write_record(const puller *p, tc_error *err) {
    char line[256];
    int n = snprintf(line, sizeof line, "%s  %s\n", p->hex, p->m->file);
    return tc_file_write(p->record, line, (size_t)n, err);
}

static tc_status add_card(const puller *p, tc_model *m, tc_error *err) {
    if (tc_model_get_info(m)->card) return TC_OK;
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "model", p->m->name, "published_as", p->m->published.name,
                  "trained_on", p->m->published.data, "file", p->m->file, "sha256", p->hex);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    tc_status status = text ? tc_model_set_card(m, text, err) : tc_fail_memory(err, 1);
    free(text);
    json_decref(json);
    return status;
}

static tc_status convert(const puller *p, tc_error *err) {
    tc_model *m = NULL;
    tc_log_line(&p->log, 0, "%s: converting", p->m->name);
    tc_status status = open_checked(p, p->file, &m, err);
    /* What is broken is of no use; what this version cannot read, or has no room for, may be read later. */
    if (status == TC_EFORMAT) {
        unlink(p->file);
        tc_fail_in(err, status, "%s: the download is not what it should be and is removed", p->m->name);
    } else if (status != TC_OK) {
        tc_fail_in(err, status, "%s: the download stays, --force brings another", p->m->name);
    }
    if (status == TC_OK) status = add_card(p, m, err);
    if (status == TC_OK) status = tc_model_save(m, p->model, TC_FORMAT_FILE, err);
    tc_model_close(&m);
    if (status == TC_OK) status = open_checked(p, p->model, &m, err);
    tc_model_close(&m);
    return status;
}

/* What conversions that were killed have left. */
static void remove_left_overs(const puller *p) {
    char *dir = tc_zoo_cache(), prefix[128];
    DIR *d = dir ? opendir(dir) : NULL;
    snprintf(prefix, sizeof prefix, "%s.safetensors.tmp-", p->m->name);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (tc_starts_with(e->d_name, prefix)) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    free(dir);
}

static tc_status pull(puller *p, tc_error *err) {
    tc_model *m = NULL;
    bool known = false;
    remove_left_overs(p);
    if (tc_path_exists(p->model) && !p->o.force) {
        tc_status status = open_checked(p, p->model, &m, err);
        tc_model_close(&m);
        if (status != TC_OK)
            return tc_fail_in(err, status, "the cached weights are damaged; --force pulls them again");
        tc_log_line(&p->log, 1, "%s: already in the cache", p->m->name);
        return TC_OK;
    }
    if (p->o.force) unlink(p->file);
    tc_status status = tc_path_exists(p->file) ? TC_OK : download(p, err);
    if (status == TC_OK) status = compare_checksum(p, &known, err);
    if (status == TC_OK) status = convert(p, err);
    if (status == TC_OK && !known) status = write_record(p, err);
    if (status != TC_OK) return status;
    unlink(p->file);
    tc_log_line(&p->log, 1, "%s: SHA-256 %s, %s", p->m->file, p->hex,
                known ? "as recorded" : "recorded; later downloads are compared with it");
    return TC_OK;
}

tc_status tc_zoo_pull(const tc_zoo_model *m, const tc_zoo_options *options, char **path, tc_error *err) {
    puller p = {.m = m, .o = options ? *options : tc_zoo_options_default(), .lock_fd = -1};
    p.log = (tc_log){p.o.log, p.o.log_user};
    if (path) *path = NULL;
    if (!m->file)
        return tc_fail(err, TC_EARG,
                       "%s: the release page holds the students, not their teachers; get the file from where "
                       "it is published",
                       m->name);
    if (m->config && !tc_config_builtin(m->config, -1, NULL, NULL))
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: no configuration of that network is built in, so its weights could not be opened",
                       m->name);
    tc_status status = tc_check_reserved(p.o.reserved, sizeof p.o.reserved, "tc_zoo_options", err);
    if (status == TC_OK) status = start(&p, err);
    if (status == TC_OK) status = pull(&p, err);
    if (status == TC_OK && path && !(*path = tc_strdup(p.model)))
        status = tc_fail_memory(err, strlen(p.model));
    finish(&p);
    return status;
}
