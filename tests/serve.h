/* serve.h - a small HTTP server for tests that serves one file badly: it cuts, stalls, lies and redirects as
 * it is told. On 127.0.0.1 only, one connection after the other; it ends by itself when its parent does,
 * after its time, or after 1000 connections.
 *
 * Each connection takes the next step, the last one for all that follow. A step is a list of words with
 * commas between them: ok          nothing special: ranges and If-Range are honoured, the ETag is "v1" cut=N
 * the connection is closed after N bytes of the body       stall=N   nothing more is sent after N bytes
 *   slow=N      N bytes every 10 ms                                      silent    the request is never
 * answered etag=X      another ETag     weak, noetag   a weak one, none         norange   Range is ignored
 *   flip        every byte is changed       flip=N   the byte at N is    status=N  an answer without the file
 *   nolength    without Content-Length      long, short   it says 10 more, or half of what there is
 *   shift       a range begins one byte late     total=N   Content-Range says another size     empty   a file
 * of no bytes loop, to=U  redirection to itself, to U For each request a line of the log says what was asked
 * for: "GET /name range=- if-range=-". */
#ifndef TC_TESTS_SERVE_H
#define TC_TESTS_SERVE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A listening socket and its port; -1 if there is none. */
static inline int serve_listen(int *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &size) != 0)
        return -1;
    *port = ntohs(a.sin_port);
    return fd;
}

/* The value of a word of a step; NULL if it is not in it. "" for a word without one. */
static inline const char *serve_word(const char *step, const char *word, char value[64]) {
    size_t n = strlen(word);
    for (const char *at = step; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t length = strcspn(at, ",");
        if (strncmp(at, word, n) != 0 || (length > n && at[n] != '=') || length < n) continue;
        snprintf(value, 64, "%.*s", length > n ? (int)(length - n - 1) : 0, at + n + 1);
        return value;
    }
    return NULL;
}

static inline int64_t serve_number(const char *step, const char *word, int64_t missing) {
    char value[64];
    return serve_word(step, word, value) && *value ? atoll(value) : missing;
}

static inline bool serve_has(const char *step, const char *word) {
    char value[64];
    return serve_word(step, word, value) != NULL;
}

/* The value of a field of the request; "-" if it is not there. */
static inline void serve_field(const char *request, const char *name, char value[128]) {
    snprintf(value, 128, "-");
    for (const char *line = request; (line = strstr(line, "\r\n")); line += 2) {
        size_t n = strlen(name);
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
            sscanf(line + 2 + n + 1, " %127[^\r]", value);
    }
}

static inline bool serve_send(int fd, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = send(fd, (const char *)data + done, size - done, MSG_NOSIGNAL);
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static inline void serve_sleep(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Until the other side goes away, at most 20 s. */
static inline void serve_wait_closed(int fd) {
    char byte;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 20}, sizeof(struct timeval));
    while (recv(fd, &byte, 1, 0) > 0) continue;
}

static inline void serve_body(int fd, const uint8_t *data, int64_t first, int64_t size, const char *step) {
    int64_t cut = serve_number(step, "cut", -1), stall = serve_number(step, "stall", -1),
            slow = serve_number(step, "slow", 0), one;
    int64_t end = cut >= 0 && first + cut < size       ? first + cut
                  : stall >= 0 && first + stall < size ? first + stall
                                                       : size;
    bool flip = serve_has(step, "flip");
    one = serve_number(step, "flip", -1);
    static uint8_t block[1 << 20];
    for (int64_t at = first; at < end;) {
        int64_t n = slow ? slow : (int64_t)sizeof block;
        if (n > (int64_t)sizeof block) n = sizeof block;
        if (n > end - at) n = end - at;
        for (int64_t i = 0; i < n; i++)
            block[i] = data[at + i] ^ (flip && (one < 0 || one == at + i) ? 0x55 : 0);
        if (!serve_send(fd, block, (size_t)n)) return;
        at += n;
        if (slow) serve_sleep(10);
    }
    if (stall >= 0) serve_wait_closed(fd);
}

static inline void serve_answer(int fd, const char *request, const uint8_t *data, int64_t size,
                                const char *step) {
    char range[128], condition[128], tag[64] = "v1", etag[80], to[64], head[1024];
    int64_t first = 0;
    serve_field(request, "Range", range);
    serve_field(request, "If-Range", condition);
    if (serve_has(step, "silent")) return serve_wait_closed(fd);
    if (serve_has(step, "loop") || serve_word(step, "to", to)) {
        char path[64] = "/";
        sscanf(request, "GET %63s", path);
        snprintf(head, sizeof head,
                 "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                 serve_has(step, "loop") ? path : to);
        serve_send(fd, head, strlen(head));
        return;
    }
    int64_t status = serve_number(step, "status", 0);
    if (status) {
        snprintf(head, sizeof head, "HTTP/1.1 %d No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsorry",
                 (int)status);
        serve_send(fd, head, strlen(head));
        return;
    }
    serve_word(step, "etag", tag);
    snprintf(etag, sizeof etag, "%s\"%s\"", serve_has(step, "weak") ? "W/" : "", tag);
    if (serve_has(step, "empty")) size = 0;
    bool partial = sscanf(range, "bytes=%ld-", &(long){0}) == 1 && !serve_has(step, "norange") &&
                   (*condition == '-' || strcmp(condition, etag) == 0);
    if (partial) first = atoll(range + strlen("bytes="));
    if (partial && first >= size) {
        snprintf(head, sizeof head, "HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        serve_send(fd, head, strlen(head));
        return;
    }
    if (partial && serve_has(step, "shift")) first++;
    int64_t length = size - first, said = serve_has(step, "long")    ? length + 10
                                          : serve_has(step, "short") ? length / 2
                                                                     : length;
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nConnection: close\r\n",
                     partial ? "206 Partial Content" : "200 OK");
    if (!serve_has(step, "noetag")) n += snprintf(head + n, sizeof head - (size_t)n, "ETag: %s\r\n", etag);
    if (!serve_has(step, "nolength"))
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %lld\r\n", (long long)said);
    if (partial)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Range: bytes %lld-%lld/%lld\r\n",
                      (long long)first, (long long)size - 1, (long long)serve_number(step, "total", size));
    snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    if (serve_send(fd, head, strlen(head))) serve_body(fd, data, first, size, step);
}

static inline void serve_one(int fd, const uint8_t *data, int64_t size, const char *step, const char *log) {
    char request[4096] = "", path[128] = "-", range[128], condition[128];
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 5}, sizeof(struct timeval));
    for (size_t n = 0; n + 1 < sizeof request && !strstr(request, "\r\n\r\n");) {
        ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
        if (got <= 0) return;
        n += (size_t)got;
        request[n] = 0;
    }
    sscanf(request, "GET %127s", path);
    serve_field(request, "Range", range);
    serve_field(request, "If-Range", condition);
    FILE *f = log ? fopen(log, "a") : NULL;
    if (f) {
        fprintf(f, "GET %s range=%s if-range=%s\n", path, range, condition);
        fclose(f);
    }
    serve_answer(fd, request, data, size, step);
    shutdown(fd, SHUT_WR);
}

/* Serves until its time is over. `steps` ends with NULL. */
static inline void serve_run(int listener, const uint8_t *data, int64_t size, const char *const *steps,
                             const char *log, unsigned seconds) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(seconds);
    for (int i = 0; i < 1000; i++) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) return;
        serve_one(fd, data, size, *steps, log);
        close(fd);
        if (steps[1]) steps++;
    }
}

#endif
