/* cmd_bench.c - how fast a model runs on this machine, beside the processor's measured peak. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct bench {
    cli_common common;
    int64_t batch, caption, steps;
    double seconds;
    const char *teacher;
} bench;

static const bench defaults = {.batch = 32, .caption = 10, .steps = 5, .seconds = 1.5};
static const cli_option options[] = {
    {"--batch", "N", CLI_INT, offsetof(bench, batch), "images or texts at once", 1, 65536, NULL},
    {"--caption-tokens", "N", CLI_INT, offsetof(bench, caption), "length of the texts, start and end included", 2, 4096, NULL},
    {"--seconds", "S", CLI_REAL, offsetof(bench, seconds), "time of each measurement", 0.01, 600, NULL},
    {"--teacher", "T", CLI_TEXT, offsetof(bench, teacher),
     "measure training steps instead: without a teacher, with this one (a model or a configuration), and with its features from a cache", 0, 0, NULL},
    {"--steps", "N", CLI_INT, offsetof(bench, steps), "with --teacher: steps of each kind, whose medians are printed; they are made in turn", 1, 1000,
     NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 100000 };
static const double WARM_UP = 0.2; /* part of the measured time */

typedef struct timing {
    double median, p90; /* seconds a call */
} timing;

typedef struct work {
    cli_model *model;
    const float *pixels;
    const int32_t *ids;
    float *embeds;
    int batch;
    bool text;
} work;

static tc_status call(const work *w, tc_error *err) {
    if (w->text) return tc_session_encode_text(w->model->session, w->ids, w->batch, w->model->info->context_length, w->embeds, err);
    return tc_session_encode_image(w->model->session, w->pixels, w->batch, w->embeds, err);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tc_status measure(const work *w, double seconds, timing *out, tc_error *err) {
    double *times = cli_new(MOST_ROUNDS, sizeof *times), start = tc_now();
    int n = 0;
    tc_status status = call(w, err);
    while (status == TC_OK && tc_now() - start < seconds * WARM_UP) status = call(w, err);
    for (start = tc_now(); status == TC_OK && n < MOST_ROUNDS && (n < LEAST_ROUNDS || tc_now() - start < seconds); n++) {
        double before = tc_now();
        status = call(w, err);
        times[n] = tc_now() - before;
    }
    if (status == TC_OK) {
        qsort(times, (size_t)n, sizeof *times, by_size);
        *out = (timing){.median = times[n / 2], .p90 = times[(n * 9) / 10]};
    }
    free(times);
    return status;
}

/* ---- inputs */

static float *random_pixels(const cli_model *m, int batch) {
    size_t n = 3 * (size_t)m->info->image_size * (size_t)m->info->image_size * (size_t)batch;
    float *x = tc_new_aligned(n, sizeof *x);
    tc_rng r = tc_rng_make(1, 0, 0);
    for (size_t i = 0; x && i < n; i++) x[i] = (float)(4 * tc_rng_uniform(&r) - 2);
    return x;
}

/* Start, words, end; the end is the largest id, as in CLIP's vocabulary, and pads as well. */
static int32_t *random_ids(const cli_model *m, int batch, int length) {
    int context = m->info->context_length, vocabulary = m->info->vocab_size;
    int32_t *ids = cli_new((size_t)batch * (size_t)context, sizeof *ids);
    tc_rng r = tc_rng_make(2, 0, 0);
    for (int b = 0; b < batch; b++)
        for (int i = 0; i < context; i++)
            ids[(int64_t)b * context + i] = i == 0           ? vocabulary - 2
                                            : i < length - 1 ? (int32_t)tc_rng_below(&r, (uint64_t)vocabulary - 2)
                                                             : vocabulary - 1;
    return ids;
}

/* ---- the two measurements */

typedef struct figures {
    timing image, text;
    double images, texts, pairs, peak, fraction; /* a second; MACs a second; of the peak */
} figures;

static tc_status measure_model(const bench *o, cli_model *m, figures *f, tc_error *err) {
    int batch = (int)o->batch, caption = o->caption < m->info->context_length ? (int)o->caption : m->info->context_length;
    if (m->info->vocab_size < 3 || m->info->context_length < 2)
        return tc_fail(err, TC_EARG, "the vocabulary or the context of the model is too small for a text");
    float *pixels = random_pixels(m, batch), *embeds = cli_new((size_t)batch * (size_t)m->info->embed_dim, sizeof *embeds);
    int32_t *ids = random_ids(m, batch, caption);
    work w = {.model = m, .pixels = pixels, .ids = ids, .embeds = embeds, .batch = batch};
    tc_status status = pixels ? TC_OK : tc_fail_memory(err, (size_t)batch * 3 * sizeof *pixels);
    /* The peak on both sides of the measurement it is compared with: a machine's clock wanders. */
    double before = tc_measure_peak(0.3);
    if (status == TC_OK) status = measure(&w, o->seconds, &f->image, err);
    double after = tc_measure_peak(0.3);
    w.text = true;
    if (status == TC_OK) status = measure(&w, o->seconds, &f->text, err);
    free(pixels);
    free(embeds);
    free(ids);
    if (status != TC_OK) return status;
    f->images = batch / f->image.median;
    f->texts = batch / f->text.median;
    f->pairs = 1 / (1 / f->images + 1 / f->texts);
    f->peak = before > after ? before : after;
    f->fraction = f->peak > 0 ? f->images * m->info->macs_image_used / f->peak : 0;
    return TC_OK;
}

static json_t *json_machine(const bench *o, const char *model) {
    json_t *all = json_object();
    json_object_set_new(all, "model", cli_json_text(model));
    json_object_set_new(all, "batch", json_integer((json_int_t)o->batch));
    json_object_set_new(all, "threads", json_integer(tc_threads()));
    json_object_set_new(all, "cpu_level", json_string(tc_cpu_level()));
    json_object_set_new(all, "caption_tokens", json_integer((json_int_t)o->caption));
    return all;
}

static int print_figures(const bench *o, const char *model, const figures *f) {
    if (o->common.json) {
        const struct {
            const char *key;
            double value;
        } numbers[] = {{"images_per_second", f->images},
                       {"texts_per_second", f->texts},
                       {"pairs_per_second", f->pairs},
                       {"image_latency_ms", 1e3 * f->image.median},
                       {"image_latency_p90_ms", 1e3 * f->image.p90},
                       {"text_latency_ms", 1e3 * f->text.median},
                       {"text_latency_p90_ms", 1e3 * f->text.p90},
                       {"peak_gmacs", f->peak / 1e9},
                       {"peak_fraction", f->fraction}};
        json_t *all = json_machine(o, model);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) json_object_set_new(all, numbers[i].key, cli_json_real(numbers[i].value));
        return cli_print_json(all);
    }
    printf("%s: batch %lld, %d threads, %s\n", model, (long long)o->batch, tc_threads(), tc_cpu_level());
    printf("images  %10.1f /s   latency %8.2f ms, 90 %% below %8.2f ms\n", f->images, 1e3 * f->image.median, 1e3 * f->image.p90);
    printf("texts   %10.1f /s   latency %8.2f ms, 90 %% below %8.2f ms   (%lld tokens)\n", f->texts, 1e3 * f->text.median, 1e3 * f->text.p90,
           (long long)o->caption);
    printf("pairs   %10.1f /s\n", f->pairs);
    printf("peak    %10.1f GMAC/s; images reach %.1f %% of it\n", f->peak / 1e9, 100 * f->fraction);
    return CLI_DONE;
}

static int bench_model(const bench *o, const char *path) {
    tc_error err = {0};
    cli_model m;
    figures f = {0};
    cli_log(NULL, 0, "opening the model, then measuring");
    tc_status status = cli_model_open(&m, path, &o->common, CLI_CONFIGS | CLI_SESSION, &err);
    if (status == TC_OK) status = measure_model(o, &m, &f, &err);
    cli_model_close(&m);
    cli_log_end();
    return status == TC_OK ? print_figures(o, path, &f) : cli_failed(&err);
}

static int print_steps(const bench *o, const char *path, const tc_step_times *t) {
    const struct {
        const char *key, *text;
        double seconds;
    } kinds[] = {{"plain_step_ms", "plain step, contrastive loss", t->plain},
                 {"distill_step_ms", "distillation step", t->distill},
                 {"cached_step_ms", "distillation step, features from a cache", t->cached}};
    enum { COUNT = sizeof kinds / sizeof *kinds };
    if (o->common.json) {
        json_t *all = json_machine(o, path);
        json_object_set_new(all, "teacher", cli_json_text(o->teacher));
        for (int i = 0; i < COUNT; i++) json_object_set_new(all, kinds[i].key, cli_json_real(1e3 * kinds[i].seconds));
        return cli_print_json(all);
    }
    printf("%s from %s: batch %lld, %d threads, %s\n", path, o->teacher, (long long)o->batch, tc_threads(), tc_cpu_level());
    for (int i = 0; i < COUNT; i++)
        printf("%-42s %8.1f ms  %8.1f pairs/s  %5.2f of plain\n", kinds[i].text, 1e3 * kinds[i].seconds, (double)o->batch / kinds[i].seconds,
               kinds[i].seconds / t->plain);
    return CLI_DONE;
}

static int bench_distill(const bench *o, const char *path) {
    tc_error err = {0};
    cli_model student, teacher = {0};
    tc_step_times times = {0};
    cli_common plain = o->common;
    plain.model_config = plain.activation = NULL; /* the student's */
    cli_log(NULL, 0, "opening the models, then measuring steps");
    tc_status status = cli_model_open(&student, path, &o->common, CLI_CONFIGS, &err);
    if (status == TC_OK) status = cli_model_open(&teacher, o->teacher, &plain, CLI_CONFIGS, &err);
    if (status == TC_OK) status = tc_train_measure_kinds(student.model, teacher.model, (int)o->batch, (int)o->caption, (int)o->steps, &times, &err);
    cli_model_close(&student);
    cli_model_close(&teacher);
    cli_log_end();
    return status == TC_OK ? print_steps(o, path, &times) : cli_failed(&err);
}

static int run(const cli_verb *verb, int argc, char **argv) {
    bench o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    code = o.teacher ? bench_distill(&o, args.items[0]) : bench_model(&o, args.items[0]);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_bench = {.name = "bench",
                            .summary = "measure speed on this machine",
                            .usage = "MODEL [--batch N] [--threads N] [options]\nMODEL --teacher T [--batch N] [options]",
                            .description =
                                "Images and texts a second, pairs a second (1 / (1/images + 1/texts)), the time of one batch (median, "
                                "90th percentile), and which part of the processor's peak, "
                                "measured in registers in the same run, the images reach. Inputs are random; figures are medians after a "
                                "warm-up. With --teacher instead the time of a training step: with the contrastive loss, distilling from T, and "
                                "distilling from T's features in a cache. MODEL and T may be names of built-in "
                                "configurations or configuration files, which get random weights.",
                            .examples = "tinyclip bench TinyCLIP-ViT-40M-32-Text-19M --threads 2\n"
                                        "tinyclip bench model --batch 1 --json\n"
                                        "tinyclip bench TinyCLIP-ViT-40M-32-Text-19M --teacher ViT-B-32 --batch 32",
                            .options = options,
                            .common = CLI_WITH_JSON | CLI_WITH_MODEL | CLI_WITH_THREADS,
                            .defaults = &defaults,
                            .least_args = 1,
                            .most_args = 1,
                            .run = run};
