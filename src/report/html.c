/* html.c - texts and numbers as they stand on the page. Everything that comes from a file passes
 * tc_report_text. */
#include "report/report.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

void *tc_report_new(tc_buf *b, size_t n, size_t size) {
    void *p = tc_new(n, size);
    b->failed = b->failed || !p;
    return p;
}

/* ---- texts */

/* The next character of s, its bytes in *n; U+FFFD, one byte, for what UTF-8 or XML 1.0 (section 2.2) do not
 * allow. */
static int32_t next(const char *s, int *n) {
    utf8proc_int32_t c;
    utf8proc_ssize_t size =
        utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)strnlen(s, 4), &c);
    *n = size > 0 ? (int)size : 1;
    if (size <= 0 || c == 0xfffe || c == 0xffff || c == 0x7f) return 0xfffd;
    return c >= 0x20 || c == '\t' || c == '\n' ? c : 0xfffd;
}

static void put(tc_buf *b, const char *s, int32_t c, int n) {
    switch (c) {
    case '&':
        tc_buf_puts(b, "&amp;");
        break;
    case '<':
        tc_buf_puts(b, "&lt;");
        break;
    case '>':
        tc_buf_puts(b, "&gt;");
        break;
    case '"':
        tc_buf_puts(b, "&quot;");
        break;
    case '\'':
        tc_buf_puts(b, "&#39;");
        break;
    case 0xfffd:
        tc_buf_puts(b, "\xef\xbf\xbd");
        break;
    default:
        tc_buf_add(b, s, (size_t)n);
    }
}

void tc_report_text(tc_buf *b, const char *s) {
    for (int n; *s; s += n) {
        int32_t c = next(s, &n);
        put(b, s, c, n);
    }
}

int tc_report_characters(const char *s, int most) {
    int count = 0;
    for (int n; *s && count <= most; s += n, count++) next(s, &n);
    return count < most ? count : most;
}

void tc_report_short(tc_buf *b, const char *s, int most) {
    bool fits = tc_report_characters(s, most + 1) <= most;
    for (int count = fits ? most : most - 1, n; *s && count > 0; s += n, count--) {
        int32_t c = next(s, &n);
        put(b, s, c, n);
    }
    if (!fits) tc_buf_puts(b, "\xe2\x80\xa6");
}

void tc_report_argument(tc_buf *b, const char *s) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
    if (*s && s[strspn(s, plain)] == '\0') {
        tc_report_text(b, s);
        return;
    }
    tc_buf quoted = {0};
    tc_buf_puts(&quoted, "'");
    for (; *s; s++) {
        if (*s == '\'') tc_buf_puts(&quoted, "'\\''");
        else tc_buf_add(&quoted, s, 1);
    }
    tc_buf_puts(&quoted, "'");
    if (quoted.data) tc_report_text(b, quoted.data);
    b->failed = b->failed || quoted.failed;
    tc_buf_free(&quoted);
}

/* ---- numbers */

/* "39,512,345" */
static const char *grouped(int64_t x, tc_report_number *n) {
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%lld", (long long)x), at = 0;
    for (int i = 0; i < count; i++) {
        if (i && (count - i) % 3 == 0) n->s[at++] = ',';
        n->s[at++] = digits[i];
    }
    n->s[at] = '\0';
    return n->s;
}

static const char *dash(tc_report_number *n) {
    snprintf(n->s, sizeof n->s, "%s", TC_REPORT_DASH);
    return n->s;
}

/* Digits behind the point that make three in all. */
static int decimals(double x) { return 2 - (x >= 9.995) - (x >= 99.95); }

const char *tc_report_amount(double x, tc_report_number *n) {
    static const struct {
        double size;
        const char *unit;
    } units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    if (!(x >= 0) || isinf(x)) return dash(n);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (x >= 0.9995 * units[i].size) {
            double y = x / units[i].size;
            snprintf(n->s, sizeof n->s, "%.*f" TC_REPORT_SPACE "%s", decimals(y), y, units[i].unit);
            return n->s;
        }
    snprintf(n->s, sizeof n->s, "%.0f", x);
    return n->s;
}

static const char *fraction(double x, int digits, tc_report_number *n) {
    if (!(x >= 0) || x > 1e6) return dash(n);
    snprintf(n->s, sizeof n->s, "%.*f" TC_REPORT_SPACE "%%", digits, 100 * x);
    return n->s;
}

const char *tc_report_percent(double x, tc_report_number *n) { return fraction(x, 1, n); }

const char *tc_report_accurate(double x, tc_report_number *n) { return fraction(x, 2, n); }

double tc_report_digits(double x) {
    if (!(x > 0) || isinf(x)) return x;
    double unit = pow(10, floor(log10(x)) - 2);
    return round(x / unit) * unit;
}

const char *tc_report_whole(int64_t x, tc_report_number *n) { return x < 0 ? dash(n) : grouped(x, n); }

const char *tc_report_rate(double x, tc_report_number *n) {
    if (!(x >= 0) || x > 1e15) return dash(n);
    if (x >= 99.95) return grouped((int64_t)llround(tc_report_digits(x)), n);
    snprintf(n->s, sizeof n->s, "%.*f", decimals(x), x);
    return n->s;
}

const char *tc_report_duration(double s, tc_report_number *n) {
    if (!(s >= 0) || s > 1e12) return dash(n);
    long long whole = llround(s);
    if (s < 9.95) snprintf(n->s, sizeof n->s, "%.1f" TC_REPORT_SPACE "s", s);
    else if (whole < 60) snprintf(n->s, sizeof n->s, "%lld" TC_REPORT_SPACE "s", whole);
    else if (whole < 3600)
        snprintf(n->s, sizeof n->s, "%lld" TC_REPORT_SPACE "min %lld" TC_REPORT_SPACE "s", whole / 60,
                 whole % 60);
    else
        snprintf(n->s, sizeof n->s, "%lld" TC_REPORT_SPACE "h %lld" TC_REPORT_SPACE "min", whole / 3600,
                 whole / 60 % 60);
    return n->s;
}
