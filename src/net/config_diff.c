/* config_diff.c - in what two configurations differ. */
#include "net/tower.h"

static void set_difference(tc_diff_setting *out, const char *what, const char *a, const char *b) {
    snprintf(out->what, sizeof out->what, "%s", what);
    snprintf(out->a, sizeof out->a, "%s", a);
    snprintf(out->b, sizeof out->b, "%s", b);
}

static const char *activation_name(tc_activation a) { return a == TC_GELU ? "gelu" : "quick_gelu"; }

static bool tower_difference(const tc_tower_config *a, const tc_tower_config *b, const char *tower,
                             int *index, tc_diff_setting *out) {
    return a->family->difference && a->family->difference(a, b, tower, index, out);
}

bool tc_config_difference_at(const tc_config *a, const tc_config *b, int index, tc_diff_setting *out) {
    const struct {
        const char *what;
        int x, y;
    } item[] = {{"blocks of stage 1", a->vision.stages[0], b->vision.stages[0]},
                {"blocks of stage 2", a->vision.stages[1], b->vision.stages[1]},
                {"blocks of stage 3", a->vision.stages[2], b->vision.stages[2]},
                {"blocks of stage 4", a->vision.stages[3], b->vision.stages[3]},
                {"embed_dim", a->embed_dim, b->embed_dim},
                {"image_size", a->image_size, b->image_size},
                {"patch_size", a->vision.patch_size, b->vision.patch_size},
                {"context_length", a->context_length, b->context_length},
                {"vocab_size", a->vocab_size, b->vocab_size},
                {"eos id", a->eos_id, b->eos_id},
                {"vision width", a->vision.width, b->vision.width},
                {"vision layers", a->vision.layers, b->vision.layers},
                {"vision head width", a->vision.head_dim, b->vision.head_dim},
                {"text width", a->text.width, b->text.width},
                {"text layers", a->text.layers, b->text.layers},
                {"text head width", a->text.head_dim, b->text.head_dim}};
    const struct {
        const char *what;
        tc_activation x, y;
    } act[] = {{"vision activation", a->vision.activation, b->vision.activation},
               {"text activation", a->text.activation, b->text.activation}};
    if (a->vision.family != b->vision.family && index-- == 0) {
        set_difference(out, "image tower", a->vision.family->name, b->vision.family->name);
        return true;
    }
    for (size_t i = 0; i < sizeof item / sizeof *item; i++)
        if (item[i].x != item[i].y && index-- == 0) {
            char x[16], y[16];
            snprintf(x, sizeof x, "%d", item[i].x);
            snprintf(y, sizeof y, "%d", item[i].y);
            set_difference(out, item[i].what, x, y);
            return true;
        }
    for (size_t i = 0; i < sizeof act / sizeof *act; i++)
        if (act[i].x != act[i].y && index-- == 0) {
            set_difference(out, act[i].what, activation_name(act[i].x), activation_name(act[i].y));
            return true;
        }
    return tower_difference(&a->vision, &b->vision, "vision", &index, out) ||
           tower_difference(&a->text, &b->text, "text", &index, out);
}

bool tc_config_difference(const tc_config *a, const tc_config *b, char *buffer, size_t size) {
    tc_diff_setting d;
    if (!tc_config_difference_at(a, b, 0, &d)) return false;
    snprintf(buffer, size, "%s: %s and %s", d.what, d.a, d.b);
    return true;
}
