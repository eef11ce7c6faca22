/* seen.c - sizes from the tensors of a checkpoint. */
#include "net/seen.h"

void tc_seen_wrong(tc_seen *s, tc_status status, const char *format, ...) {
    char text[1000];
    va_list args;
    if (s->status != TC_OK) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->status = tc_fail(s->err, status, "%s: %s", s->path, text);
}

bool tc_seen_has(const tc_seen *s, const char *canonical) {
    return s->find(s->user, canonical, 0).tensor != NULL;
}

int tc_seen_size(tc_seen *s, const char *canonical, int ndim, int axis, int64_t most) {
    tc_seen_tensor n = s->find(s->user, canonical, 0);
    const tc_tensor *t = n.tensor;
    char text[160];
    if (s->status != TC_OK) return 1;
    if (!t) {
        tc_seen_wrong(s, TC_EFORMAT, "tensor '%s' is missing",
                      s->spelling(s->user, canonical, text, sizeof text));
        return 1;
    }
    if (t->ndim != ndim) {
        tc_seen_wrong(s, TC_EFORMAT, "tensor '%s' is %s, expected %d axes", t->name,
                      tc_shape_text(t->ndim, t->shape, text, sizeof text), ndim);
        return 1;
    }
    int64_t size = t->shape[n.transposed ? ndim - 1 - axis : axis];
    if (size >= 0 && size <= most / n.parts) return (int)size * n.parts;
    tc_seen_wrong(s, TC_EFORMAT, "tensor '%s' is %s, larger than any model that is known", t->name,
                  tc_shape_text(t->ndim, t->shape, text, sizeof text));
    return 1;
}

int tc_seen_at_least_one(tc_seen *s, const char *canonical, int ndim, int axis, int64_t most) {
    int size = tc_seen_size(s, canonical, ndim, axis, most);
    if (size < 1) tc_seen_wrong(s, TC_EFORMAT, "tensor '%s' is empty", canonical);
    return size < 1 ? 1 : size;
}

int tc_seen_scalar(tc_seen *s, const char *canonical, int missing) {
    const tc_tensor *t = s->find(s->user, canonical, 0).tensor;
    int64_t value;
    if (s->status != TC_OK || !t) return missing;
    if (tc_tensor_numel(t) == 1 && tc_tensor_read_i64(t, 0, 1, &value) && value >= 1 && value <= 1 << 24)
        return (int)value;
    tc_seen_wrong(s, TC_EFORMAT, "tensor '%s' must be a whole number", t->name);
    return missing;
}

int tc_seen_grid(int positions) {
    int side = 0;
    while ((side + 1) * (side + 1) < positions) side++;
    return side * side + 1 == positions ? side : 0;
}
