/* own_source.c - training on data that lies in no file: pictures of discs and squares, drawn when they are
 * asked for.  own_source CONFIG STEPS OUT
 *
 *   cc own_source.c -o own_source $(pkg-config --cflags --libs tinyclip)
 *
 * A program whose samples are in a database, an archive or another program's memory gives them in the same
 * way. */
#include <stdio.h>
#include <stdlib.h>
#include <tinyclip.h>

enum { SIDE = 28, COUNT = 512 };
static const char *const classes[] = {"red disc", "green disc", "blue disc", "yellow disc"};
static const unsigned char colours[4][3] = {{200, 40, 40}, {40, 160, 60}, {50, 70, 200}, {220, 200, 50}};
static const char *const templates[] = {"a {}.", "a picture of a {}.", "there is a {} in it."};

/* Pseudo-random, but always the same for sample i: what is trained can be repeated. */
static unsigned draw(int64_t i, unsigned what) {
    unsigned x = (unsigned)i * 2654435761u + what * 40503u + 12345u;
    x ^= x >> 15, x *= 2246822519u, x ^= x >> 13;
    return x;
}

static int label_of(void *user, int64_t i) {
    (void)user;
    return (int)(draw(i, 0) % 4);
}

/* Called by several threads at once: it shares nothing, the picture has memory of its own. */
static tc_status draw_image(void *user, int64_t i, tc_sample_image *image, tc_error *err) {
    unsigned char *pixels = malloc(SIDE * SIDE * 3), *at = pixels;
    if (!pixels) {
        snprintf(err->message, sizeof err->message, "out of memory");
        return TC_ENOMEM;
    }
    const unsigned char *colour = colours[label_of(user, i)];
    int radius = 5 + (int)(draw(i, 1) % 6), grey = (int)(draw(i, 2) % 200);
    int cx = 9 + (int)(draw(i, 3) % 10), cy = 9 + (int)(draw(i, 4) % 10);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int within = (x - cx) * (x - cx) + (y - cy) * (y - cy) <= radius * radius;
            for (int k = 0; k < 3; k++) *at++ = within ? colour[k] : (unsigned char)grey;
        }
    image->bytes = image->own = pixels;
    image->size = SIDE * SIDE * 3;
    image->width = image->height = SIDE;
    image->channels = 3;
    return TC_OK;
}

static void release_image(void *user, int64_t i, tc_sample_image *image) {
    (void)user, (void)i;
    free(image->own);
}

static int fail(const char *why) {
    fprintf(stderr, "own_source: %s\n", why);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 4) return fail("usage: own_source CONFIG STEPS OUT");
    tc_error err;
    tc_model *start = NULL, *model = NULL;
    tc_tokenizer *tokenizer = NULL;
    tc_data *data = NULL;
    tc_data_callbacks c = tc_data_callbacks_default();
    c.name = "discs";
    c.count = COUNT;
    c.class_names = classes;
    c.classes = 4;
    c.templates = templates;
    c.n_templates = 3;
    c.label = label_of;
    c.image = draw_image;
    c.release = release_image;
    c.version = 1; /* of these drawings: to be raised when they are drawn in another way */
    if (tc_data_from_callbacks(&data, &c, &err) != TC_OK ||
        tc_model_create(&start, argv[1], 1, &err) != TC_OK ||
        tc_model_tokenizer(start, &tokenizer, &err) != TC_OK)
        return fail(err.message);

    tc_train_options o = tc_train_options_default();
    o.init = start;
    o.tokenizer = tokenizer;
    o.preprocess = tc_model_preprocess(start);
    o.data = data;
    o.steps = atoll(argv[2]);
    o.batch = 64;
    o.lr = 1e-3;
    o.logit_scale = 0; /* learnt */
    o.out = argv[3];
    if (tc_train(&o, &model, NULL, &err) != TC_OK) return fail(err.message);

    tc_zeroshot_result r;
    if (tc_eval_zeroshot(model, data, tokenizer, &o.preprocess, 0, NULL, NULL, &r, &err) != TC_OK)
        return fail(err.message);
    printf("%.1f %% of %lld pictures are called what they are\n", 100 * r.top1, (long long)r.images);
    for (int k = 0; k < r.classes; k++)
        printf("%-14s %lld of %lld\n", classes[k], (long long)r.class_correct[k],
               (long long)r.class_count[k]);

    tc_zeroshot_result_free(&r);
    tc_data_close(&data);
    tc_tokenizer_close(&tokenizer);
    tc_model_close(&model);
    tc_model_close(&start);
    return 0;
}
