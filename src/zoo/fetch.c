/* fetch.c - downloads one file over HTTP, through libcurl, in as many pieces as the connection needs.
 *
 * The file grows under its temporary name, so a process that is killed leaves what it had. The next attempt
 * asks for the rest with Range, and with If-Range so that a server whose file has changed sends the whole of
 * the new one (RFC 9110, sections 13.1.5 and 14). A server that ignores ranges answers 200, and the file
 * begins anew. An answer that is neither leaves the file alone. */
#include "zoo/libcurl.h"
#include "zoo/zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REDIRECTS = 10, STATE_LIMIT = 1 << 16, SLOW_BYTES = 64 };
static const double WAIT_MOST = 30, PROGRESS_EVERY = 0.2;
/* bytes of an attempt after which the count of vain attempts begins anew */
static const int64_t ENOUGH = 1 << 20;

/* The head of the last answer. */
typedef struct head {
    char validator[256];          /* a strong ETag, or the date of the last change */
    int64_t length, first, total; /* Content-Length; Content-Range's first byte and size; -1: not said */
} head;

typedef enum trouble { FINE, RESTART, TOO_LARGE, CANNOT_WRITE } trouble;

typedef struct transfer {
    const char *url, *part;
    const tc_fetch_options *o;
    const tc_curl *lib;
    CURL *curl;
    char *from; /* PART.from */
    int fd;
    int64_t at;   /* bytes in the file */
    int64_t size; /* of the whole; -1: not known */
    char validator[256];
    head head;
    bool begun;      /* the head of the last answer has been judged */
    trouble trouble; /* why the body was not taken */
    int error;       /* errno */
    double start, shown;
    int64_t start_at;
    char reason[CURL_ERROR_SIZE];
} transfer;

/* ---- what is known of a partial file */

static void forget(transfer *t) {
    unlink(t->from);
    t->at = 0;
    t->size = -1;
    t->validator[0] = 0;
    if (ftruncate(t->fd, 0) != 0) t->error = errno;
}

static void remember(const transfer *t) {
    json_t *state =
        json_pack("{s:s, s:s, s:I}", "url", t->url, "validator", t->validator, "size", (json_int_t)t->size);
    char *text = state ? json_dumps(state, JSON_INDENT(1)) : NULL;
    /* Without it the next run begins anew, which is no reason to fail. */
    if (text) tc_file_write(t->from, text, strlen(text), NULL);
    free(text);
    json_decref(state);
}

static void recall(transfer *t) {
    char *text = NULL;
    size_t size;
    struct stat st;
    if (fstat(t->fd, &st) != 0 || st.st_size == 0) return forget(t);
    json_t *state = tc_file_read(t->from, STATE_LIMIT, &text, &size, NULL) == TC_OK
                        ? json_loadb(text, size, 0, NULL)
                        : NULL;
    const char *url = json_string_value(json_object_get(state, "url"));
    const char *validator = json_string_value(json_object_get(state, "validator"));
    json_int_t whole = json_integer_value(json_object_get(state, "size"));
    /* The rest is only worth having if it can be told to be the rest of the same file. */
    bool same = url && validator && strcmp(url, t->url) == 0 && strlen(validator) < sizeof t->validator &&
                (*validator || whole > 0) && (whole <= 0 || st.st_size <= whole);
    if (same) {
        t->at = st.st_size;
        t->size = whole > 0 ? whole : -1;
        snprintf(t->validator, sizeof t->validator, "%s", validator);
    } else {
        forget(t);
    }
    json_decref(state);
    free(text);
}

/* ---- answers */

static int64_t number(const char *s) {
    char *end;
    errno = 0;
    long long n = strtoll(s, &end, 10);
    return end == s || errno || n < 0 ? -1 : n;
}

static void read_field(head *h, const char *name, size_t length, const char *value) {
    if (length == 14 && strncasecmp(name, "Content-Length", 14) == 0) h->length = number(value);
    /* A weak ETag (W/"..") does not promise the same bytes. */
    if (length == 4 && strncasecmp(name, "ETag", 4) == 0 && *value == '"')
        snprintf(h->validator, sizeof h->validator, "%s", value);
    if (length == 13 && strncasecmp(name, "Last-Modified", 13) == 0 && !h->validator[0])
        snprintf(h->validator, sizeof h->validator, "%s", value);
    if (length == 13 && strncasecmp(name, "Content-Range", 13) == 0 && strncasecmp(value, "bytes ", 6) == 0) {
        const char *slash = strchr(value, '/');
        h->first = number(value + 6);
        h->total = slash ? number(slash + 1) : -1;
    }
}

static size_t on_header(char *data, size_t unit, size_t n, void *user) {
    transfer *t = user;
    char line[512];
    size_t size = unit * n, length = size < sizeof line ? size : sizeof line - 1;
    memcpy(line, data, length);
    while (length && (line[length - 1] == '\r' || line[length - 1] == '\n')) length--;
    line[length] = 0;
    if (tc_starts_with(line, "HTTP/")) {
        t->head = (head){.length = -1, .first = -1, .total = -1};
        t->begun = false;
        return size;
    }
    const char *colon = strchr(line, ':');
    if (!colon) return size;
    const char *value = colon + 1;
    while (*value == ' ' || *value == '\t') value++;
    read_field(&t->head, line, (size_t)(colon - line), value);
    return size;
}

/* Whether the answer goes on from where the file ends, or brings the whole of it. */
static trouble begin(transfer *t) {
    long code = 0;
    const head *h = &t->head;
    t->lib->easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    t->begun = true;
    if (code == 206) {
        bool same = h->first == t->at && t->at > 0 && (t->size < 0 || h->total < 0 || h->total == t->size);
        if (!same) return RESTART;
        if (t->size < 0) t->size = h->total;
    } else {
        if (t->at > 0) tc_log_line(&t->o->log, 1, "%s: the server sends the whole file again", t->o->name);
        forget(t);
        t->size = h->length;
        snprintf(t->validator, sizeof t->validator, "%s", h->validator);
        remember(t);
    }
    if (t->size > t->o->size_limit) return TOO_LARGE;
    t->start = tc_now();
    t->start_at = t->at;
    return t->error ? CANNOT_WRITE : FINE;
}

static void show(transfer *t) {
    double now = tc_now(), rate = now > t->start ? (double)(t->at - t->start_at) / (now - t->start) / 1e6 : 0;
    if (now - t->shown < PROGRESS_EVERY) return;
    t->shown = now;
    if (t->size > 0)
        tc_log_line(&t->o->log, 0, "%s: %.1f of %.1f MB, %.1f MB/s", t->o->name, (double)t->at / 1e6,
                    (double)t->size / 1e6, rate);
    else tc_log_line(&t->o->log, 0, "%s: %.1f MB, %.1f MB/s", t->o->name, (double)t->at / 1e6, rate);
}

static size_t on_body(char *data, size_t unit, size_t n, void *user) {
    transfer *t = user;
    size_t size = unit * n;
    if (!t->begun) t->trouble = begin(t);
    if (t->trouble == FINE && t->at + (int64_t)size > t->o->size_limit) t->trouble = TOO_LARGE;
    if (t->trouble != FINE) return 0;
    for (size_t done = 0; done < size;) {
        ssize_t w = pwrite(t->fd, data + done, size - done, (off_t)t->at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) {
            t->error = w < 0 ? errno : EIO;
            t->trouble = CANNOT_WRITE;
            return 0;
        }
        done += (size_t)w;
        t->at += w;
    }
    show(t);
    return size;
}

/* ---- one attempt */

typedef enum outcome { DONE, AGAIN, GIVE_UP } outcome;

static bool worth_repeating(CURLcode c) {
    return c == CURLE_PARTIAL_FILE || c == CURLE_RECV_ERROR || c == CURLE_SEND_ERROR ||
           c == CURLE_GOT_NOTHING || c == CURLE_OPERATION_TIMEDOUT || c == CURLE_HTTP2 ||
           c == CURLE_HTTP2_STREAM;
}

static outcome refused(transfer *t, tc_status *status, tc_error *err) {
    long code = 0;
    t->lib->easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code == 416 && t->at > 0) {
        forget(t);
        snprintf(t->reason, sizeof t->reason, "the server has no such range");
        return AGAIN;
    }
    if (code == 408 || code == 429 || code >= 500) {
        snprintf(t->reason, sizeof t->reason, "the server answers %ld", code);
        return AGAIN;
    }
    *status = tc_fail(err, TC_EIO, "%s: the server answers %ld%s", t->url, code,
                      code == 404 ? " (there is no such file)" : "");
    return GIVE_UP;
}

static outcome not_written(transfer *t, tc_status *status, tc_error *err) {
    if (t->trouble == RESTART) {
        forget(t);
        snprintf(t->reason, sizeof t->reason, "the server sent another part than the one asked for");
        return AGAIN;
    }
    if (t->trouble == TOO_LARGE) {
        *status = tc_fail(err, TC_ENOMEM, "%s: the file is larger than the limit of %lld bytes", t->url,
                          (long long)t->o->size_limit);
        forget(t);
        unlink(t->part);
    } else {
        *status = tc_fail(err, TC_EIO, "%s: cannot write: %s", t->part, strerror(t->error));
    }
    return GIVE_UP;
}

static outcome judge(transfer *t, CURLcode code, tc_status *status, tc_error *err) {
    if (code == CURLE_OK && !t->begun) {
        t->trouble = begin(t); /* an answer without a body */
        if (t->trouble != FINE) return not_written(t, status, err);
    }
    if (code == CURLE_OK) {
        if (t->size < 0 || t->at == t->size) return DONE;
        snprintf(t->reason, sizeof t->reason, "%lld bytes came, %lld were announced", (long long)t->at,
                 (long long)t->size);
        if (t->at > t->size) forget(t);
        return AGAIN;
    }
    if (code == CURLE_HTTP_RETURNED_ERROR) return refused(t, status, err);
    if (code == CURLE_WRITE_ERROR) return not_written(t, status, err);
    if (!t->reason[0]) snprintf(t->reason, sizeof t->reason, "%s", t->lib->easy_strerror(code));
    if (worth_repeating(code)) return AGAIN;
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
        code == CURLE_COULDNT_CONNECT)
        *status = tc_fail(
            err, TC_EIO,
            "%s: there is no way to that host: %s; is there a network? TINYCLIP_ZOO_URL names a mirror",
            t->url, t->reason);
    else
        *status = tc_fail(err, code == CURLE_OUT_OF_MEMORY ? TC_ENOMEM : TC_EIO, "%s: %s", t->url, t->reason);
    return GIVE_UP;
}

static CURLcode set_up(transfer *t, struct curl_slist **headers) {
    CURL *c = t->curl;
    CURLcode bad = CURLE_OK;
    const char *allowed = strncasecmp(t->url, "https:", 6) == 0 ? "https" : "http,https";
    char text[320];
    t->lib->easy_reset(c);
#define SET(option, value) \
    if (bad == CURLE_OK) bad = t->lib->easy_setopt(c, option, value)
    SET(CURLOPT_URL, t->url);
    SET(CURLOPT_ERRORBUFFER, t->reason);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FAILONERROR, 1L);
    SET(CURLOPT_USERAGENT, "tinyclip/" TC_VERSION);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 1L);
    SET(CURLOPT_MAXREDIRS, (long)REDIRECTS);
    SET(CURLOPT_REDIR_PROTOCOLS_STR, allowed); /* never from an encrypted connection to one that is not */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(1e3 * t->o->connect_timeout));
    SET(CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES);
    SET(CURLOPT_LOW_SPEED_TIME, (long)(t->o->stall_timeout < 1 ? 1 : t->o->stall_timeout));
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    if (t->at > 0) {
        snprintf(text, sizeof text, "%lld-", (long long)t->at);
        SET(CURLOPT_RANGE, text);
    }
    if (t->at > 0 && t->validator[0]) {
        snprintf(text, sizeof text, "If-Range: %s", t->validator);
        *headers = t->lib->slist_append(NULL, text);
        if (!*headers) bad = CURLE_OUT_OF_MEMORY;
        SET(CURLOPT_HTTPHEADER, *headers);
    }
#undef SET
    return bad;
}

static outcome attempt(transfer *t, tc_status *status, tc_error *err) {
    struct curl_slist *headers = NULL;
    t->reason[0] = 0;
    t->begun = false;
    t->trouble = FINE;
    t->error = 0;
    CURLcode code = set_up(t, &headers);
    if (code == CURLE_OK) code = t->lib->easy_perform(t->curl);
    outcome result = judge(t, code, status, err);
    t->lib->slist_free_all(headers);
    return result;
}

/* ---- all of them */

static void pause_for(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

static tc_status attempts(transfer *t, tc_error *err) {
    tc_status status = TC_OK;
    double wait = t->o->wait;
    int64_t most = t->at;
    int vain = 0, made = 0;
    if (t->at > 0) tc_log_line(&t->o->log, 1, "%s: going on from %.1f MB", t->o->name, (double)t->at / 1e6);
    while (t->size < 0 || t->at != t->size) {
        outcome result = attempt(t, &status, err);
        made++;
        if (result == DONE) break;
        if (result == GIVE_UP) return status;
        if (t->error) return tc_fail(err, TC_EIO, "%s: cannot write: %s", t->part, strerror(t->error));
        /* Bytes that were here before, and went with a new beginning, are no progress: a server that lies
         * about the size would go on for ever. */
        if (t->at - most >= ENOUGH) vain = 0, wait = t->o->wait;
        else if (vain++ >= t->o->retries)
            return tc_fail(err, TC_EIO,
                           "%s: given up after %d attempt%s, with %lld bytes here: %s; the same command goes "
                           "on from there",
                           t->url, made, made == 1 ? "" : "s", (long long)t->at, t->reason);
        if (t->at > most) most = t->at;
        tc_log_line(&t->o->log, 2, "%s: %s; trying again in %g s", t->o->name, t->reason, wait);
        pause_for(wait);
        wait = 2 * wait < WAIT_MOST ? 2 * wait : WAIT_MOST;
    }
    return TC_OK;
}

/* A TLS connection that the other side has left is written to once more when it is closed, and libcurl keeps
 * its hands off a library's signals. So SIGPIPE is blocked in this thread, and taken away if it came. */
typedef struct sigpipe {
    sigset_t before;
    bool was_pending;
} sigpipe;

static void block_sigpipe(sigpipe *s) {
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    s->was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe, &s->before);
}

static void restore_sigpipe(const sigpipe *s) {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    if (!s->was_pending) sigtimedwait(&pipe, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}

tc_status tc_fetch(const char *url, const char *part, const tc_fetch_options *o, tc_error *err) {
    transfer t = {.url = url, .part = part, .o = o, .fd = -1, .size = -1};
    tc_buf from = {0};
    sigpipe signals;
    tc_status status = tc_curl_load(&t.lib, err);
    if (status != TC_OK) return status;
    block_sigpipe(&signals);
    tc_buf_printf(&from, "%s.from", part);
    t.from = tc_buf_take(&from);
    t.curl = t.lib->easy_init();
    if (!t.from || !t.curl) {
        status = tc_fail_memory(err, strlen(part));
        goto out;
    }
    t.fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t.fd < 0) {
        status = tc_fail(err, TC_EIO, "%s: cannot write: %s", part, strerror(errno));
        goto out;
    }
    recall(&t);
    status =
        t.error ? tc_fail(err, TC_EIO, "%s: cannot write: %s", part, strerror(t.error)) : attempts(&t, err);
    if (status == TC_OK && t.at == 0)
        status = tc_fail(err, TC_EFORMAT, "%s: the server sent an empty file", url);
    if (status == TC_OK && fsync(t.fd) != 0)
        status = tc_fail(err, TC_EIO, "%s: cannot write: %s", part, strerror(errno));
    if (status == TC_OK) unlink(t.from);
    else if (t.at == 0) unlink(t.part), unlink(t.from);
out:
    if (t.fd >= 0) close(t.fd);
    if (t.curl) t.lib->easy_cleanup(t.curl);
    restore_sigpipe(&signals);
    free(t.from);
    return status;
}
