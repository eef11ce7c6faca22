/* cmd_zoo.c - the published models: their figures beside what is counted here, and their weights. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct zoo {
    cli_common common;
    bool force;
    int64_t retries;
    double wait, timeout;
} zoo;

static const zoo defaults = {.retries = 5, .wait = 1, .timeout = 60};
static const cli_option options[] = {
    {"--force", NULL, CLI_FLAG, offsetof(zoo, force),
     "pull: download again what is there, and accept another checksum than the recorded one", 0, 0, NULL},
    {"--retries", "N", CLI_INT, offsetof(zoo, retries),
     "pull: new attempts after cut connections that brought less than 1 MiB", 0, 1000, NULL},
    {"--wait", "S", CLI_REAL, offsetof(zoo, wait),
     "pull: seconds before the second attempt; doubled each time, up to 30", 0, 3600, NULL},
    {"--timeout", "S", CLI_REAL, offsetof(zoo, timeout),
     "pull: seconds without data after which a connection counts as cut", 1, 86400, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* ---- the list */

enum { WIDE = 140 }; /* columns of the whole table; a terminal with fewer gets a part of it */

/* Says what is wrong with weights that cannot be counted; the list goes on. */
static bool count(const tc_zoo_model *m, tc_zoo_sizes *sizes) {
    tc_error err = {0};
    if (tc_zoo_count(m, sizes, &err) != TC_OK) cli_say("%s: not counted: %s", m->name, err.message);
    return sizes->params > 0;
}

static json_t *whole(bool known, int64_t n) { return known ? json_integer((json_int_t)n) : json_null(); }

static json_t *text_or_null(const char *s) { return s ? json_string(s) : json_null(); }

enum { MILLION = 1000000 };

/* Published figures are rounded; here they have the units of the counted ones. */
static json_t *published_object(const tc_zoo_published *p) {
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(p->name));
    json_object_set_new(o, "inheritance", text_or_null(p->inheritance));
    json_object_set_new(o, "trained_on", json_string(p->data));
    json_object_set_new(o, "imagenet_top1", json_real(p->top1 / 100));
    json_object_set_new(o, "macs", json_integer((json_int_t)llround(p->macs_g * 1e9)));
    json_object_set_new(o, "pairs_per_second",
                        p->pairs_per_second > 0 ? json_real(p->pairs_per_second) : json_null());
    json_object_set_new(o, "params_vision",
                        whole(p->params_image_m > 0, (int64_t)p->params_image_m * MILLION));
    json_object_set_new(o, "params_text", whole(p->params_text_m > 0, (int64_t)p->params_text_m * MILLION));
    return o;
}

static int list_json(void) {
    json_t *models = json_array(), *all = json_object();
    for (int i = 0; tc_zoo_at(i); i++) {
        const tc_zoo_model *m = tc_zoo_at(i);
        tc_zoo_sizes s;
        bool known = count(m, &s);
        char *path = tc_zoo_path(m);
        json_t *o = json_object();
        json_object_set_new(o, "name", json_string(m->name));
        json_object_set_new(o, "is_teacher", json_boolean(m->teacher));
        json_object_set_new(o, "params", whole(known, s.params));
        json_object_set_new(o, "params_without_tokens", whole(known, s.params_without_tokens));
        json_object_set_new(o, "params_vision", whole(known, s.params_image));
        json_object_set_new(o, "params_text", whole(known, s.params_text));
        json_object_set_new(o, "macs", whole(known, (int64_t)s.macs));
        json_object_set_new(o, "published", published_object(&m->published));
        json_object_set_new(o, "note", text_or_null(m->note));
        json_object_set_new(o, "file", text_or_null(m->file));
        json_object_set_new(o, "path", path ? cli_json_text(path) : json_null());
        json_array_append_new(models, o);
        free(path);
    }
    json_object_set_new(all, "models", models);
    return cli_print_json(all);
}

static void print_row(const tc_zoo_model *m, bool known, const tc_zoo_sizes *s, bool cached, bool narrow) {
    const tc_zoo_published *p = &m->published;
    char params[32] = "-", tower[32] = "-", macs[32] = "-", speed[32] = "-";
    if (known) snprintf(params, sizeof params, "%.2f", (double)s->params / 1e6);
    if (known)
        snprintf(tower, sizeof tower, "%.2f+%.2f", (double)s->params_image / 1e6,
                 (double)s->params_text / 1e6);
    if (known) snprintf(macs, sizeof macs, "%.2f", s->macs / 1e9);
    if (p->pairs_per_second > 0) cli_grouped((int64_t)p->pairs_per_second, speed, sizeof speed);
    if (narrow) printf("%-48s %6s %5s %5.1f  %s\n", m->name, params, macs, p->top1, cached ? "cached" : "");
    else
        printf("%-49s %7s %12s %6s |%6.*f%s %6.1f %8s  %-8s %s%s\n", m->name, params, tower, macs,
               m->teacher ? 2 : 1, p->macs_g, m->note ? "*" : " ", p->top1, speed,
               m->teacher ? "teacher" : p->inheritance, p->data, cached ? "; in the cache" : "");
}

static void print_head(bool narrow) {
    if (narrow) {
        printf("%-48s %6s %5s %5s\n", "name", "params", "MACs", "top-1");
        return;
    }
    printf("%-49s %27s | published\n", "", "counted");
    printf("%-49s %7s %12s %6s |%6s  %6s %8s  %-8s %s\n", "name", "params", "image+text", "MACs", "MACs",
           "top-1", "pairs/s", "", "trained on");
}

static void print_notes(bool narrow, bool automatic, bool unbuilt) {
    printf("\n");
    if (narrow)
        cli_print_prose(
            "params: millions of parameters. MACs: 10^9 multiply-accumulates of an image and a text, 77 "
            "tokens. top-1: ImageNet-1K zero-shot, percent, as published. A wider terminal shows more.");
    else
        cli_print_prose(
            "params: millions of parameters; image+text: of the towers, without the token table, as the "
            "names count. MACs: 10^9 multiply-accumulates of an image and a text, 77 tokens, every "
            "position. top-1: ImageNet-1K zero-shot, percent. pairs/s: on a V100.");
    if (automatic)
        cli_print_prose(
            "An automatic model has its structure in its weights: it is counted once `tinyclip zoo pull "
            "NAME` has brought them.");
    if (unbuilt)
        cli_print_prose("A model that is not counted otherwise is of a network that is not built in.");
    for (int i = 0; tc_zoo_at(i) && !narrow; i++) {
        char *note = cli_text("* %s: %s.", tc_zoo_at(i)->name, tc_zoo_at(i)->note ? tc_zoo_at(i)->note : "");
        if (tc_zoo_at(i)->note) cli_print_prose(note);
        free(note);
    }
}

static int list(void) {
    int columns = cli_columns(stdout);
    bool unbuilt = false, automatic = false, narrow = columns > 0 && columns < WIDE;
    print_head(narrow);
    for (int i = 0; tc_zoo_at(i); i++) {
        const tc_zoo_model *m = tc_zoo_at(i);
        tc_zoo_sizes s;
        bool known = count(m, &s);
        char *path = tc_zoo_path(m);
        unbuilt = unbuilt || (!known && m->config);
        automatic = automatic || (!known && !m->config);
        print_row(m, known, &s, path != NULL, narrow);
        free(path);
    }
    print_notes(narrow, automatic, unbuilt);
    return CLI_DONE;
}

/* ---- pull */

static int pull(const zoo *o, const char *name) {
    const tc_zoo_model *m = NULL;
    tc_zoo_options p = tc_zoo_options_default();
    tc_error err = {0};
    char *path = NULL;
    p.force = o->force;
    p.retries = (int)o->retries;
    p.wait = o->wait;
    p.stall_timeout = o->timeout;
    p.log = cli_log;
    tc_status status = tc_zoo_find(&m, name, &err);
    if (status == TC_OK && !m) {
        status = cli_fail(&err, TC_EARG, "%s: no model of the zoo has that name (`tinyclip zoo` lists them)",
                          name);
        cli_suggest(&err, name, CLI_KNOWN_ZOO);
    }
    if (status == TC_OK) status = tc_zoo_pull(m, &p, &path, &err);
    cli_log_end();
    if (status != TC_OK) return cli_failed(&err);
    int code = CLI_DONE;
    if (o->common.json) {
        json_t *all = json_object();
        json_object_set_new(all, "name", json_string(m->name));
        json_object_set_new(all, "path", cli_json_text(path));
        code = cli_print_json(all);
    } else {
        printf("%s\n", path);
    }
    free(path);
    return code;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    zoo o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    if (args.count == 0) code = o.common.json ? list_json() : list();
    else if (strcmp(args.items[0], "pull") != 0)
        code = cli_usage(verb,
                         "'%s' is nothing to do with the zoo; usage: tinyclip zoo, or tinyclip zoo pull NAME",
                         args.items[0]);
    else if (args.count < 2) code = cli_usage(verb, "pull needs the name of a model");
    else code = pull(&o, args.items[1]);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_zoo = {
    .name = "zoo",
    .summary = "list the published models; fetch their weights",
    .usage = "[--json]\npull NAME [options]",
    .description = "Without an argument: the published models and their teachers, parameters and "
                   "multiply-accumulates as counted from their graphs "
                   "beside the figures as published. The automatic models have their structure in their "
                   "weights and are counted once these are in the "
                   "cache.\n"
                   "pull downloads a model from the release page of the model zoo into the cache "
                   "($XDG_CACHE_HOME/tinyclip, or ~/.cache/tinyclip), "
                   "checks it, writes it as a file of this program and prints its path. A download that was "
                   "cut goes on where it ended, in the same "
                   "run or a later one. The release page publishes no checksums: the SHA-256 is recorded "
                   "when a file was first found good, and later "
                   "downloads are compared with it. A file that was put into the cache by hand is taken "
                   "instead of a download. "
                   "TINYCLIP_ZOO_URL names a mirror, the address in front of the file's name.\n"
                   "Wherever a MODEL is wanted, the name of a pulled one may be given: as it stands in the "
                   "list, as it was published, or as its file "
                   "is called. A file or folder of that name comes first, then the cache; where a "
                   "configuration will do (bench, info, the student of "
                   "distill), the built-in one of that name comes last.",
    .examples =
        "tinyclip zoo\ntinyclip zoo pull TinyCLIP-ViT-40M-32-Text-19M\n"
        "tinyclip classify TinyCLIP-ViT-40M-32-Text-19M photo.jpg --labels cat,dog\n"
        "TINYCLIP_ZOO_URL=http://mirror.example/tinyclip tinyclip zoo pull TinyCLIP-ViT-8M/16-Text-3M",
    .options = options,
    .common = CLI_WITH_JSON,
    .defaults = &defaults,
    .least_args = 0,
    .most_args = 2,
    .run = run};
