/* cmd_preprocess.c - what a network sees of an image, as a NumPy file. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct preprocess {
    cli_common common;
    const char *out;
    bool bytes;
    int64_t size;
} preprocess;

enum { CLIP_SIDE = 224 };

static const preprocess defaults = {.size = 0};
static const cli_option options[] = {
    {"-o", "OUT.npy", CLI_TEXT, offsetof(preprocess, out), "the file to write", 0, 0, NULL},
    {"--uint8", NULL, CLI_FLAG, offsetof(preprocess, bytes),
     "write the crop [H,W,3] uint8 instead of the pixel values [3,H,W] float32", 0, 0, NULL},
    {"--size", "S", CLI_INT, offsetof(preprocess, size),
     "side of the crop in pixels, where there is no MODEL to tell it; 0: 224", 0, 16384, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static tc_status settings(const preprocess *o, const char *model, tc_preprocess *p, tc_error *err) {
    *p = tc_preprocess_default(o->size ? (int)o->size : CLIP_SIDE);
    cli_preprocess_options(&o->common, p);
    if (!model) return TC_OK;
    cli_model m;
    tc_status status = cli_model_open(&m, model, &o->common, 0, err);
    if (status != TC_OK) return status;
    *p = m.preprocess;
    cli_model_close(&m);
    return TC_OK;
}

static int report(const preprocess *o, const int64_t shape[3]) {
    const char *dtype = o->bytes ? "uint8" : "float32";
    if (!o->common.json) {
        printf("%s: [%lld,%lld,%lld] %s\n", o->out, (long long)shape[0], (long long)shape[1],
               (long long)shape[2], dtype);
        return CLI_DONE;
    }
    json_t *all = json_object();
    json_object_set_new(all, "output", cli_json_text(o->out));
    json_object_set_new(
        all, "shape", json_pack("[I,I,I]", (json_int_t)shape[0], (json_int_t)shape[1], (json_int_t)shape[2]));
    json_object_set_new(all, "dtype", json_string(dtype));
    return cli_print_json(all);
}

static int preprocess_image(const preprocess *o, const char *model, const char *image) {
    tc_error err = {0};
    tc_preprocess p;
    tc_status status = settings(o, model, &p, &err);
    if (status != TC_OK) return cli_failed(&err);
    int64_t side = p.crop, floats[3] = {3, side, side}, bytes[3] = {side, side, 3};
    size_t n = 3 * (size_t)side * (size_t)side;
    float *pixels = cli_new(n, sizeof *pixels);
    uint8_t *crop = cli_new(n, 1);
    status = tc_preprocess_file(&p, image, pixels, crop, &err);
    if (status == TC_OK)
        status = o->bytes ? tc_array_write(o->out, "U8", 3, bytes, crop, &err)
                          : tc_array_write(o->out, "F32", 3, floats, pixels, &err);
    free(pixels);
    free(crop);
    return status == TC_OK ? report(o, o->bytes ? bytes : floats) : cli_failed(&err);
}

static int run(const cli_verb *verb, int argc, char **argv) {
    preprocess o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    const char *model = args.count == 2 ? args.items[0] : NULL;
    if (!o.out) code = cli_usage(verb, "name the file to write with -o");
    else if (model && o.size)
        code = cli_usage(verb, "--size is for images without a model; MODEL tells the size");
    else code = preprocess_image(&o, model, args.items[args.count - 1]);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_preprocess = {
    .name = "preprocess",
    .summary = "write what the network sees of an image to a NumPy file",
    .usage = "[MODEL] IMAGE -o OUT.npy [--uint8] [options]",
    .description =
        "Decodes, resizes (Pillow's bicubic filter), crops the centre and normalises one image as MODEL "
        "wants it; without MODEL as open_clip does for 224 pixels.",
    .examples = "tinyclip preprocess photo.jpg -o pixel_values.npy\n"
                "tinyclip preprocess model photo.jpg -o crop.npy --uint8",
    .options = options,
    .common = CLI_WITH_JSON | CLI_WITH_MODEL | CLI_WITH_IMAGES,
    .defaults = &defaults,
    .least_args = 1,
    .most_args = 2,
    .run = run};
