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
    {"--caption-tokens", "N", CLI_INT, offsetof(bench, caption),
     "length of the texts, start and end included", 2, 4096, NULL},
    {"--seconds", "S", CLI_REAL, offsetof(bench, seconds), "time of each measurement", 0.01, 600, NULL},
    {"--teacher", "T", CLI_TEXT, offsetof(bench, teacher),
     "measure training steps instead: without a teacher, with this one (a model or a configuration), and "
     "with its features from a cache",
     0, 0, NULL},
    {"--steps", "N", CLI_INT, offsetof(bench, steps),
     "with --teacher: steps of each kind, whose medians are printed; they are made in turn", 1, 1000, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static double pairs_per_second(const tc_speed *s) {
    return 1 / (1 / s->images_per_second + 1 / s->texts_per_second);
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

static int print_speed(const bench *o, const char *model, const tc_model_info *info, const tc_speed *f) {
    double fraction = f->peak > 0 ? f->images_per_second * info->macs_image_used / f->peak : 0;
    if (o->common.json) {
        const struct {
            const char *key;
            double value;
        } numbers[] = {{"images_per_second", f->images_per_second},
                       {"texts_per_second", f->texts_per_second},
                       {"pairs_per_second", pairs_per_second(f)},
                       {"image_latency_ms", 1e3 * f->image_seconds},
                       {"image_latency_p90_ms", 1e3 * f->image_seconds_p90},
                       {"text_latency_ms", 1e3 * f->text_seconds},
                       {"text_latency_p90_ms", 1e3 * f->text_seconds_p90},
                       {"peak_gmacs", f->peak / 1e9},
                       {"peak_fraction", fraction}};
        json_t *all = json_machine(o, model);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            json_object_set_new(all, numbers[i].key, cli_json_real(numbers[i].value));
        return cli_print_json(all);
    }
    printf("%s: batch %lld, %d threads, %s\n", model, (long long)o->batch, tc_threads(), tc_cpu_level());
    printf("images  %10.1f /s   latency %8.2f ms, 90 %% below %8.2f ms\n", f->images_per_second,
           1e3 * f->image_seconds, 1e3 * f->image_seconds_p90);
    printf("texts   %10.1f /s   latency %8.2f ms, 90 %% below %8.2f ms   (%lld tokens)\n",
           f->texts_per_second, 1e3 * f->text_seconds, 1e3 * f->text_seconds_p90, (long long)o->caption);
    printf("pairs   %10.1f /s\n", pairs_per_second(f));
    printf("peak    %10.1f GMAC/s; images reach %.1f %% of it\n", f->peak / 1e9, 100 * fraction);
    return CLI_DONE;
}

static int bench_model(const bench *o, const char *path) {
    tc_error err = {0};
    cli_model m;
    tc_speed speed = {0};
    cli_log(NULL, 0, "opening the model, then measuring");
    tc_status status = cli_model_open(&m, path, &o->common, CLI_CONFIGS, &err);
    if (status == TC_OK)
        status = tc_measure_speed(m.model, (int)o->batch, (int)o->caption, o->seconds, &speed, &err);
    cli_log_end();
    int code = status == TC_OK ? print_speed(o, path, m.info, &speed) : cli_failed(&err);
    cli_model_close(&m);
    return code;
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
        json_object_set_new(all, "teacher_model", cli_json_text(o->teacher));
        for (int i = 0; i < COUNT; i++)
            json_object_set_new(all, kinds[i].key, cli_json_real(1e3 * kinds[i].seconds));
        return cli_print_json(all);
    }
    printf("%s from %s: batch %lld, %d threads, %s\n", path, o->teacher, (long long)o->batch, tc_threads(),
           tc_cpu_level());
    for (int i = 0; i < COUNT; i++)
        printf("%-42s %8.1f ms  %8.1f pairs/s  %5.2f of plain\n", kinds[i].text, 1e3 * kinds[i].seconds,
               (double)o->batch / kinds[i].seconds, kinds[i].seconds / t->plain);
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
    if (status == TC_OK)
        status = tc_train_measure_kinds(student.model, teacher.model, (int)o->batch, (int)o->caption,
                                        (int)o->steps, &times, &err);
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

const cli_verb cmd_bench = {
    .name = "bench",
    .summary = "measure speed on this machine",
    .usage = "MODEL [--batch N] [--threads N] [options]\nMODEL --teacher T [--batch N] [options]",
    .description = "Images and texts a second, pairs a second (1 / (1/images + 1/texts)), the time of one "
                   "batch (median, "
                   "90th percentile), and which part of the processor's peak, "
                   "measured in registers in the same run, the images reach. Inputs are random; figures are "
                   "medians after a "
                   "warm-up. With --teacher instead the time of a training step: with the contrastive loss, "
                   "distilling from T, and "
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
