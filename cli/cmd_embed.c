/* cmd_embed.c - embeddings of images, texts, or of tensors that were prepared elsewhere, as a NumPy file. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct embed {
    cli_common common;
    cli_list images;
    const char *texts_file, *pixel_values, *input_ids, *out;
    bool normalize;
} embed;

static const embed defaults = {0};
static const cli_option options[] = {
    {"--images", "F", CLI_MANY, offsetof(embed, images),
     "images: files, folders, or - for a list on standard input", 0, 0, NULL},
    {"--texts-file", "F", CLI_TEXT, offsetof(embed, texts_file), "texts, one a line; - is standard input", 0,
     0, NULL},
    {"--pixel-values", "TENSOR", CLI_TEXT, offsetof(embed, pixel_values),
     "preprocessed images [n,3,S,S]: F.npy or F.safetensors:NAME", 0, 0, NULL},
    {"--input-ids", "TENSOR", CLI_TEXT, offsetof(embed, input_ids),
     "token ids [n,context]: F.npy or F.safetensors:NAME", 0, 0, NULL},
    {"-o", "OUT.npy", CLI_TEXT, offsetof(embed, out), "the file to write: [n,E] float32", 0, 0, NULL},
    {"--normalize", NULL, CLI_FLAG, offsetof(embed, normalize), "divide each row by its length", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

typedef struct rows {
    float *x; /* [n,E] */
    size_t n;
} rows;

static void make_rows(rows *r, size_t n, const cli_model *m) {
    r->n = n;
    r->x = cli_new(n * (size_t)m->info->embed_dim, sizeof *r->x);
}

static tc_status from_images(cli_model *m, const cli_list *names, rows *r, tc_error *err) {
    cli_list paths = {0};
    tc_status status = cli_images(names, &paths, err);
    if (status == TC_OK) make_rows(r, paths.count, m);
    if (status == TC_OK) status = cli_embed_images(m, &paths, r->x, err);
    cli_list_free(&paths);
    return status;
}

static tc_status from_texts(cli_model *m, const char *path, rows *r, tc_error *err) {
    cli_list texts = {0};
    tc_status status = cli_lines(path, true, &texts, err);
    if (status == TC_OK) make_rows(r, texts.count, m);
    if (status == TC_OK) status = cli_embed_texts(m, &texts, r->x, err);
    cli_list_free(&texts);
    return status;
}

static tc_status check_pixels(const tc_array *a, int side, const char *spec, tc_error *err) {
    char text[200];
    const int64_t *shape = a->shape + (a->ndim == 4);
    bool fits = a->ndim == 3 || a->ndim == 4;
    if (fits && shape[0] == 3 && shape[1] == side && shape[2] == side) return TC_OK;
    return cli_fail(err, TC_EFORMAT, "%s: the tensor is %s, expected [n,3,%d,%d]", spec,
                    cli_shape(a->ndim, a->shape, text, sizeof text), side, side);
}

static tc_status from_pixels(cli_model *m, const char *spec, rows *r, tc_error *err) {
    tc_arrays *file;
    tc_array a;
    tc_status status = cli_array_open(&file, &a, spec, err);
    if (status != TC_OK) return status;
    int side = m->info->image_size;
    int64_t size = 3 * (int64_t)side * side;
    status = check_pixels(&a, side, spec, err);
    if (status == TC_OK) make_rows(r, a.ndim == 4 ? (size_t)a.shape[0] : 1, m);
    float *pixels = cli_new(CLI_BATCH * (size_t)size, sizeof *pixels);
    double start = cli_now();
    for (size_t at = 0; at < r->n && status == TC_OK; at += CLI_BATCH) {
        int batch = r->n - at < CLI_BATCH ? (int)(r->n - at) : CLI_BATCH;
        status = tc_array_read(&a, (int64_t)at * size, batch * size, pixels, err);
        if (status == TC_OK)
            status = tc_session_encode_image(m->session, pixels, batch,
                                             r->x + at * (size_t)m->info->embed_dim, err);
        if (status == TC_OK) cli_progress("images", at + (size_t)batch, r->n, start);
    }
    free(pixels);
    tc_arrays_close(&file);
    return status;
}

static tc_status read_ids(const tc_array *a, const char *spec, int32_t *ids, tc_error *err) {
    int64_t *wide = cli_new((size_t)a->numel, sizeof *wide);
    tc_status status = tc_array_read_i64(a, 0, a->numel, wide, err);
    for (int64_t i = 0; i < a->numel && status == TC_OK; i++) {
        if (wide[i] < 0 || wide[i] > INT32_MAX)
            status = cli_fail(err, TC_EFORMAT, "%s: element %lld is %lld, which is no id", spec, (long long)i,
                              (long long)wide[i]);
        else ids[i] = (int32_t)wide[i];
    }
    free(wide);
    return status;
}

static tc_status from_ids(cli_model *m, const char *spec, rows *r, tc_error *err) {
    tc_arrays *file;
    tc_array a;
    tc_status status = cli_array_open(&file, &a, spec, err);
    if (status != TC_OK) return status;
    char text[200];
    int64_t context = a.ndim ? a.shape[a.ndim - 1] : 0, n = a.ndim == 2 ? a.shape[0] : 1;
    if (a.ndim < 1 || a.ndim > 2 || context < 1 || context > m->info->context_length || n > INT32_MAX)
        status = cli_fail(err, TC_EFORMAT, "%s: the tensor is %s, expected [n,%d] or shorter rows", spec,
                          cli_shape(a.ndim, a.shape, text, sizeof text), m->info->context_length);
    int32_t *ids = status == TC_OK ? cli_new((size_t)a.numel, sizeof *ids) : NULL;
    if (status == TC_OK) status = read_ids(&a, spec, ids, err);
    if (status == TC_OK) {
        make_rows(r, (size_t)n, m);
        status = tc_session_encode_text(m->session, ids, (int)n, (int)context, r->x, err);
    }
    free(ids);
    tc_arrays_close(&file);
    return status;
}

static int report(const embed *o, const int64_t shape[2]) {
    if (!o->common.json) {
        printf("%s: [%lld,%lld] float32\n", o->out, (long long)shape[0], (long long)shape[1]);
        return CLI_DONE;
    }
    json_t *all = json_object();
    json_object_set_new(all, "output", cli_json_text(o->out));
    json_object_set_new(all, "shape", json_pack("[I,I]", (json_int_t)shape[0], (json_int_t)shape[1]));
    json_object_set_new(all, "normalized", json_boolean(o->normalize));
    return cli_print_json(all);
}

static int embed_and_write(const embed *o, const char *path) {
    tc_error err = {0};
    cli_model m;
    rows r = {0};
    int64_t shape[2] = {0};
    tc_status status =
        cli_model_open(&m, path, &o->common, CLI_SESSION | (o->texts_file ? CLI_TOKENIZER : 0), &err);
    if (status != TC_OK) return cli_failed(&err);
    if (o->images.count) status = from_images(&m, &o->images, &r, &err);
    else if (o->texts_file) status = from_texts(&m, o->texts_file, &r, &err);
    else if (o->pixel_values) status = from_pixels(&m, o->pixel_values, &r, &err);
    else status = from_ids(&m, o->input_ids, &r, &err);
    if (status == TC_OK) {
        shape[0] = (int64_t)r.n;
        shape[1] = m.info->embed_dim;
        if (o->normalize) tc_normalize(r.x, (int)r.n, m.info->embed_dim);
        status = tc_array_write(o->out, "F32", 2, shape, r.x, &err);
    }
    cli_log_end();
    free(r.x);
    cli_model_close(&m);
    return status == TC_OK ? report(o, shape) : cli_failed(&err);
}

static int run(const cli_verb *verb, int argc, char **argv) {
    embed o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    int inputs =
        (o.images.count > 0) + (o.texts_file != NULL) + (o.pixel_values != NULL) + (o.input_ids != NULL);
    if (inputs != 1)
        code = cli_usage(verb, "give one of --images, --texts-file, --pixel-values and --input-ids");
    else if (!o.out) code = cli_usage(verb, "name the file to write with -o");
    else code = embed_and_write(&o, args.items[0]);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_embed = {
    .name = "embed",
    .summary = "write the embeddings of images or texts to a NumPy file",
    .usage = "MODEL --images F... -o OUT.npy [options]\nMODEL --texts-file F -o OUT.npy [options]\nMODEL "
             "--pixel-values TENSOR -o OUT.npy [options]\n"
             "MODEL --input-ids TENSOR -o OUT.npy [options]",
    .description = "Writes one row an image or text: [n,embed_dim] float32, not normalised unless "
                   "--normalize is given. Every line of a text file is "
                   "a text, an empty one too.",
    .examples = "tinyclip embed model --images photos/ -o photos.npy --normalize\n"
                "tinyclip embed model --texts-file captions.txt -o captions.npy\n"
                "tinyclip embed model --pixel-values input.safetensors:pixel_values -o image_embeds.npy",
    .options = options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .least_args = 1,
    .most_args = 1,
    .run = run};
