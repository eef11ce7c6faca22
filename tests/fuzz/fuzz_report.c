/* fuzz_report.c - any bytes as compress.json and as log.jsonl; what is accepted becomes a page, whose tags
 * nest and whose texts are escaped. The log begins behind the first NUL, speed.json behind the second. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names of open elements, one behind the other. */
typedef struct stack {
    char names[64][16];
    int depth;
} stack;

/* One tag between s and end, which are at its < and >. */
static void check_tag(stack *open, const char *s, const char *end) {
    char name[16] = "";
    bool closes = s[1] == '/';
    size_t n = strcspn(s + 1 + closes, " />\n");
    if (n >= sizeof name || memchr(s + 1, '<', (size_t)(end - s - 1))) abort();
    memcpy(name, s + 1 + closes, n);
    if (s[1] == '!' || end[-1] == '/') return;
    if (closes && (open->depth == 0 || strcmp(open->names[--open->depth], name) != 0)) abort();
    if (!closes && open->depth == 64) abort();
    if (!closes) strcpy(open->names[open->depth++], name);
}

static void check_page(const char *s) {
    stack open = {.depth = 0};
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t') abort();
        const char *end = strchr(s, '>');
        if (*s == '<' && !end) abort();
        if (*s == '<') check_tag(&open, s, end);
        if (*s == '&' && strncmp(s, "&amp;", 5) && strncmp(s, "&lt;", 4) && strncmp(s, "&gt;", 4) &&
            strncmp(s, "&quot;", 6) && strncmp(s, "&#39;", 5))
            abort();
    }
    if (open.depth) abort();
}

/* The bytes up to the next NUL; *text gets behind it. NULL: there are none. */
static const char *next_part(const char **text, size_t *left, size_t *size) {
    const char *part = *left ? *text : NULL, *nul = part ? memchr(part, '\0', *left) : NULL;
    *size = nul ? (size_t)(nul - part) : *left;
    size_t gone = *size + (nul != NULL);
    *text += gone;
    *left -= gone;
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t left) {
    const char *text = (const char *)data;
    size_t size, log_size, speeds_size;
    const char *record = next_part(&text, &left, &size), *log = next_part(&text, &left, &log_size);
    const char *speeds = next_part(&text, &left, &speeds_size);
    tc_compress_record *run = calloc(1, sizeof *run);
    tc_error err;
    if (!run) return 0;
    tc_status status =
        tc_compress_record_parse(run, "folder", "compress.json", record ? record : "", size, &err);
    if (status == TC_OK && log)
        status = tc_run_log_parse(&run->stages[0].log, "log.jsonl", log, log_size, &err);
    tc_report r = {.dir = "folder", .runs = run, .count = 1};
    tc_buf page = {0};
    if (status == TC_OK) status = tc_report_list(&r, &err);
    if (status == TC_OK && speeds)
        status = tc_report_parse_speeds(&r, "speed.json", speeds, speeds_size, &err);
    if (status == TC_OK && tc_report_page(&page, &r, 0, NULL, &err) == TC_OK) check_page(page.data);
    tc_buf_free(&page);
    free(r.models);
    tc_compress_record_free(run);
    free(run);
    return 0;
}
