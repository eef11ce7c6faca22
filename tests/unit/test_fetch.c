/* test_fetch.c - downloads from a server that does all that servers and networks do: what arrives is the
 * whole file or an error that says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "serve.h"
#include "sha256.h"
#include "zoo/zoo.h"

#include <sys/resource.h>
#include <sys/wait.h>

enum { SIZE = 3 << 20, SECONDS = 30 };
static uint8_t data[SIZE];

/* ---- a server and the file that is downloaded from it */

typedef struct rig {
    char *dir, *part, *from, *log;
    char url[64];
    pid_t server;
    tc_fetch_options o;
    tc_error err;
} rig;

static void serve(rig *r, const char *const *steps) {
    int port = 0, fd = serve_listen(&port);
    assert_true(fd >= 0);
    snprintf(r->url, sizeof r->url, "http://127.0.0.1:%d/file.pt", port);
    r->server = fork();
    if (r->server == 0) {
        serve_run(fd, data, SIZE, steps, r->log, SECONDS);
        _exit(0);
    }
    close(fd);
}

static void stop(rig *r) {
    if (r->server > 0) {
        kill(r->server, SIGKILL);
        waitpid(r->server, NULL, 0);
    }
    r->server = 0;
}

static rig start(const char *const *steps) {
    rig r = {.dir = scratch_dir()};
    r.part = tc_path_join(r.dir, "file.part");
    r.from = tc_path_join(r.dir, "file.part.from");
    r.log = tc_path_join(r.dir, "log");
    r.o = (tc_fetch_options){.retries = 2,
                             .wait = 0.01,
                             .connect_timeout = 5,
                             .stall_timeout = 1,
                             .size_limit = 2 * (int64_t)SIZE,
                             .name = "file"};
    serve(&r, steps);
    return r;
}

static void end(rig *r) {
    stop(r);
    free(r->part);
    free(r->from);
    free(r->log);
    scratch_remove(r->dir);
}

static tc_status fetch(rig *r) { return tc_fetch(r->url, r->part, &r->o, &r->err); }

/* The requests that the server has seen, one a line. */
static char *requests(const rig *r) {
    char *text = NULL;
    size_t size;
    if (tc_file_read(r->log, 1 << 16, &text, &size, NULL) != TC_OK) text = tc_strdup("");
    return text;
}

static void expect_requests(const rig *r, const char *expected) {
    char *text = requests(r);
    assert_string_equal(text, expected);
    free(text);
}

static void expect_bytes(const rig *r, const uint8_t *expected, size_t size) {
    char *text;
    size_t got;
    assert_int_equal(tc_file_read(r->part, SIZE * 2, &text, &got, NULL), TC_OK);
    assert_int_equal(got, size);
    assert_memory_equal(text, expected, size);
    free(text);
    assert_false(tc_path_exists(r->from));
}

static void expect_whole(rig *r) {
    if (fetch(r) != TC_OK) fail_msg("%s", r->err.message);
    expect_bytes(r, data, SIZE);
}

static void expect_failure(rig *r, tc_status status, const char *message) {
    memset(&r->err, 0, sizeof r->err);
    assert_int_equal(fetch(r), status);
    assert_int_equal(r->err.status, status);
    if (!strstr(r->err.message, message)) fail_msg("'%s' does not hold '%s'", r->err.message, message);
}

#define STEPS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- what ends well */

static const struct {
    const char *const *steps, *requests;
} well[] = {
    {STEPS("ok"), "GET /file.pt range=- if-range=-\n"},
    {STEPS("cut=1000", "cut=2000000", "ok"), "GET /file.pt range=- if-range=-\n"
                                             "GET /file.pt range=bytes=1000- if-range=\"v1\"\n"
                                             "GET /file.pt range=bytes=2001000- if-range=\"v1\"\n"},
    /* A server without ranges begins anew. */
    {STEPS("cut=1000,norange", "norange"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=1000- if-range=\"v1\"\n"},
    /* The file has changed in between: the old part must not stay. */
    {STEPS("cut=1000,flip,etag=old", "ok"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=1000- if-range=\"old\"\n"},
    /* Without a strong ETag the size has to tell. */
    {STEPS("cut=1000,weak", "weak"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=1000- if-range=-\n"},
    {STEPS("cut=1000,noetag", "noetag,total=7", "noetag"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=1000- if-range=-\n"
     "GET /file.pt range=- if-range=-\n"},
    /* Another part than the one asked for. */
    {STEPS("cut=1000", "shift", "ok"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=1000- if-range=\"v1\"\n"
     "GET /file.pt range=- if-range=-\n"},
    {STEPS("cut=1000", "status=416", "ok"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=1000- if-range=\"v1\"\n"
     "GET /file.pt range=- if-range=-\n"},
    {STEPS("status=500", "status=503", "ok"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=- if-range=-\nGET /file.pt range=- if-range=-\n"},
    {STEPS("stall=50", "ok"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=50- if-range=\"v1\"\n"},
    {STEPS("nolength"), "GET /file.pt range=- if-range=-\n"},
    {STEPS("to=/elsewhere.pt", "ok"),
     "GET /file.pt range=- if-range=-\nGET /elsewhere.pt range=- if-range=-\n"},
    /* Attempts that bring a megabyte do not count as vain ones. */
    {STEPS("cut=1048576", "cut=1000", "cut=1048576", "cut=1000", "cut=1000", "ok"),
     "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=1048576- if-range=\"v1\"\nGET /file.pt "
     "range=bytes=1049576- if-range=\"v1\"\n"
     "GET /file.pt range=bytes=2098152- if-range=\"v1\"\nGET /file.pt range=bytes=2099152- if-range=\"v1\"\n"
     "GET /file.pt range=bytes=2100152- if-range=\"v1\"\n"}};

static void ends_well(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof well / sizeof *well; i++) {
        rig r = start(well[i].steps);
        expect_whole(&r);
        expect_requests(&r, well[i].requests);
        end(&r);
    }
}

/* ---- what ends with an error */

static const struct {
    const char *const *steps;
    tc_status status;
    const char *message;
    int requests;
    int64_t left; /* bytes of the partial file that stay; -1: there is none */
} badly[] = {
    {STEPS("status=404"), TC_EIO, "/file.pt: the server answers 404 (there is no such file)", 1, -1},
    {STEPS("status=403"), TC_EIO, "/file.pt: the server answers 403", 1, -1},
    {STEPS("status=500"), TC_EIO, "given up after 3 attempts, with 0 bytes here: the server answers 500", 3,
     -1},
    {STEPS("cut=1000"), TC_EIO, "given up after 3 attempts, with 3000 bytes here", 3, 3000},
    {STEPS("cut=0"), TC_EIO, "given up after 3 attempts, with 0 bytes here", 3, -1},
    {STEPS("long"), TC_EIO, "given up after 4 attempts, with 0 bytes here: the server has no such range", 4,
     -1},
    {STEPS("loop"), TC_EIO, "redirects", 11, -1},
    {STEPS("to=file:///etc/passwd"), TC_EIO, "/file.pt: ", 1, -1},
    {STEPS("to=ftp://127.0.0.1/x"), TC_EIO, "/file.pt: ", 1, -1},
    {STEPS("silent"), TC_EIO, "given up after 1 attempt, with 0 bytes here", 1, -1},
    {STEPS("empty"), TC_EFORMAT, "the server sent an empty file", 1, -1},
};

static void ends_badly(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof badly / sizeof *badly; i++) {
        rig r = start(badly[i].steps);
        struct stat st;
        if (badly[i].requests == 1) r.o.retries = 0;
        expect_failure(&r, badly[i].status, badly[i].message);
        char *text = requests(&r);
        int n = 0;
        for (const char *p = text; *p; p++) n += *p == '\n';
        free(text);
        assert_int_equal(n, badly[i].requests);
        assert_int_equal(stat(r.part, &st) == 0 ? st.st_size : -1, badly[i].left);
        assert_int_equal(tc_path_exists(r.from), badly[i].left > 0);
        end(&r);
    }
}

/* Of the announced size, and of what comes without one. */
static void too_large(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        rig r = start(i ? STEPS("nolength") : STEPS("ok"));
        r.o.size_limit = SIZE - 1;
        expect_failure(&r, TC_ENOMEM, "larger than the limit of 3145727 bytes");
        assert_false(tc_path_exists(r.part) || tc_path_exists(r.from));
        end(&r);
    }
    rig r = start(STEPS("ok"));
    r.o.size_limit = SIZE;
    expect_whole(&r);
    end(&r);
}

static void no_server(void **state) {
    (void)state;
    rig r = start(STEPS("ok"));
    stop(&r);
    expect_failure(&r, TC_EIO, "is there a network? TINYCLIP_ZOO_URL names a mirror");
    snprintf(r.url, sizeof r.url, "ftp://127.0.0.1/file.pt");
    expect_failure(&r, TC_EIO, "ftp");
    snprintf(r.url, sizeof r.url, "file:///etc/passwd");
    expect_failure(&r, TC_EIO, "file");
    assert_false(tc_path_exists(r.part));
    end(&r);
}

static void cannot_write(void **state) {
    (void)state;
    rig r = start(STEPS("ok"));
    struct rlimit old, small = {.rlim_cur = 100000};
    free(r.part);
    r.part = tc_path_join(r.dir, "nowhere/file.part");
    expect_failure(&r, TC_EIO, "nowhere/file.part: cannot write: ");
    free(r.part);
    r.part = tc_path_join(r.dir, "file.part");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tc_status status = fetch(&r);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, TC_EIO);
    assert_non_null(strstr(r.err.message, "file.part: cannot write: File too large"));
    /* With room again it goes on from there. */
    expect_whole(&r);
    char *text = requests(&r);
    assert_non_null(strstr(text, "range=bytes=100000- if-range=\"v1\""));
    free(text);
    end(&r);
}

/* ---- over several runs */

static void after_a_failure(void **state) {
    (void)state;
    rig r = start(STEPS("cut=1000", "status=404", "ok"));
    r.o.retries = 0;
    expect_failure(&r, TC_EIO, "given up after 1 attempt, with 1000 bytes here");
    expect_failure(&r, TC_EIO, "answers 404");
    assert_true(tc_path_exists(r.part)); /* a server that has lost the file may find it again */
    expect_whole(&r);
    expect_requests(&r, "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=1000- if-range=\"v1\"\n"
                        "GET /file.pt range=bytes=1000- if-range=\"v1\"\n");
    end(&r);
}

static void killed(void **state) {
    (void)state;
    rig r = start(STEPS("slow=20000", "ok"));
    pid_t child = fork();
    if (child == 0) _exit(fetch(&r) == TC_OK ? 0 : 1);
    struct stat st = {0};
    for (int i = 0; i < 1000 && (stat(r.part, &st) != 0 || st.st_size < 100000); i++) serve_sleep(10);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(stat(r.part, &st), 0);
    assert_in_range(st.st_size, 100000, SIZE - 1);
    char expected[160];
    snprintf(expected, sizeof expected,
             "GET /file.pt range=- if-range=-\nGET /file.pt range=bytes=%lld- if-range=\"v1\"\n",
             (long long)st.st_size);
    expect_whole(&r);
    expect_requests(&r, expected);
    end(&r);
}

/* A partial file is only continued where it is known to be one of this address, of this size. */
static void left_overs(void **state) {
    (void)state;
    static const struct {
        const char *from; /* %s: the address; NULL: there is no such file */
        const char *range;
    } cases[] = {
        {NULL, "-"},
        {"rubbish", "-"},
        {"{\"url\": \"http://127.0.0.1/other.pt\", \"validator\": \"\\\"v1\\\"\", \"size\": 3145728}", "-"},
        {"{\"url\": \"%s\", \"validator\": \"\", \"size\": -1}", "-"},
        {"{\"url\": \"%s\", \"validator\": \"\\\"v1\\\"\", \"size\": 500}", "-"}, /* the file is longer */
        {"{\"url\": \"%s\", \"validator\": 3, \"size\": 3145728}", "-"},
        {"{\"url\": \"%s\", \"validator\": \"\\\"v1\\\"\", \"size\": 3145728}", "bytes=1000-"},
        {"{\"url\": \"%s\", \"validator\": \"\\\"v1\\\"\", \"size\": -1}", "bytes=1000-"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r = start(STEPS("ok"));
        char text[256], expected[64];
        scratch_file(r.dir, "file.part", data, 1000);
        if (cases[i].from) {
            const char *at = strstr(cases[i].from, "%s");
            int before = at ? (int)(at - cases[i].from) : (int)strlen(cases[i].from);
            snprintf(text, sizeof text, "%.*s%s%s", before, cases[i].from, at ? r.url : "", at ? at + 2 : "");
            scratch_text(r.dir, "file.part.from", text);
        }
        expect_whole(&r);
        snprintf(expected, sizeof expected, "GET /file.pt range=%s ", cases[i].range);
        char *seen = requests(&r);
        assert_true(tc_starts_with(seen, expected));
        free(seen);
        end(&r);
    }
}

/* Killed between the last byte and the end: nothing is left to ask for. */
static void complete_already(void **state) {
    (void)state;
    rig r = start(STEPS("status=500"));
    char text[256];
    scratch_file(r.dir, "file.part", data, SIZE);
    snprintf(text, sizeof text, "{\"url\": \"%s\", \"validator\": \"\\\"v1\\\"\", \"size\": %d}", r.url,
             SIZE);
    scratch_text(r.dir, "file.part.from", text);
    expect_whole(&r);
    expect_requests(&r, "");
    end(&r);
}

static void progress_line(void *user, int level, const char *line) {
    if (level == 0) snprintf(user, 128, "%s", line);
}

static void progress(void **state) {
    (void)state;
    rig r = start(STEPS("slow=65536"));
    char last[128] = "";
    r.o.log = (tc_log){progress_line, last};
    expect_whole(&r);
    assert_true(tc_starts_with(last, "file: ") && strstr(last, " of 3.1 MB, ") &&
                tc_ends_with(last, " MB/s"));
    end(&r);
}

static void checksum(void **state) {
    (void)state;
    char *dir = scratch_dir(), a[65], b[65];
    static const size_t sizes[] = {0, 1, 55, 56, 64, 65535, 65536, 65537, SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(tc_file_sha256(scratch_file(dir, "f", data, sizes[i]), a, NULL), TC_OK);
        sha256_hex(data, sizes[i], b);
        assert_string_equal(a, b);
    }
    tc_error err;
    assert_int_equal(tc_file_sha256("/nowhere/f", a, &err), TC_EIO);
    scratch_remove(dir);
}

int main(void) {
    tc_rng rng = tc_rng_make(11, 0, 0);
    for (size_t i = 0; i < SIZE; i++) data[i] = (uint8_t)tc_rng_next(&rng);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_well),  cmocka_unit_test(ends_badly),       cmocka_unit_test(too_large),
        cmocka_unit_test(no_server),  cmocka_unit_test(cannot_write),     cmocka_unit_test(killed),
        cmocka_unit_test(left_overs), cmocka_unit_test(complete_already), cmocka_unit_test(after_a_failure),
        cmocka_unit_test(progress),   cmocka_unit_test(checksum)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
