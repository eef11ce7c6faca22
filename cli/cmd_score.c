/* cmd_score.c - images against texts: what CLIPModel's forward gives. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct score {
    cli_common common;
    cli_list images, texts;
} score;

static const score defaults = {0};
static const cli_option options[] = {
    {"--image", "F", CLI_LIST, offsetof(score, images), "an image", 0, 0, NULL},
    {"--text", "T", CLI_LIST, offsetof(score, texts), "a text", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

typedef struct scores {
    cli_model model;
    cli_list images;
    const cli_list *texts;
    float *image, *text;                       /* [I,E], [T,E], unit rows */
    float *cosines, *per_image, *per_text, *p; /* [I,T], [I,T], [T,I], [I,T] */
} scores;

static tc_status compute(scores *s, tc_error *err) {
    size_t images = s->images.count, texts = s->texts->count, dim = (size_t)s->model.info->embed_dim;
    int n = (int)images, m = (int)texts, e = (int)dim;
    float scale = (float)exp((double)s->model.info->logit_scale);
    s->image = cli_new(images * dim, sizeof *s->image);
    s->text = cli_new(texts * dim, sizeof *s->text);
    s->cosines = cli_new(images * texts, sizeof *s->cosines);
    s->per_image = cli_new(images * texts, sizeof *s->per_image);
    s->per_text = cli_new(images * texts, sizeof *s->per_text);
    s->p = cli_new(images * texts, sizeof *s->p);
    tc_status status = cli_embed_images(&s->model, &s->images, s->image, err);
    if (status == TC_OK) status = cli_embed_texts(&s->model, s->texts, s->text, err);
    if (status != TC_OK) return status;
    tc_normalize(s->image, n, e);
    tc_normalize(s->text, m, e);
    tc_logits(s->image, s->text, n, m, e, 1, s->cosines);
    tc_logits(s->image, s->text, n, m, e, scale, s->per_image);
    for (size_t i = 0; i < images; i++)
        for (size_t t = 0; t < texts; t++) s->per_text[t * images + i] = s->per_image[i * texts + t];
    memcpy(s->p, s->per_image, images * texts * sizeof *s->p);
    tc_softmax(s->p, n, m);
    return TC_OK;
}

static json_t *names(const cli_list *l) {
    json_t *array = json_array();
    for (size_t i = 0; i < l->count; i++) json_array_append_new(array, cli_json_text(l->items[i]));
    return array;
}

static int print_scores_json(const scores *s) {
    size_t images = s->images.count, texts = s->texts->count, dim = (size_t)s->model.info->embed_dim;
    json_t *all = json_object();
    json_object_set_new(all, "image_paths", names(&s->images));
    json_object_set_new(all, "texts", names(s->texts));
    json_object_set_new(all, "image_embeds", cli_json_matrix(s->image, images, dim));
    json_object_set_new(all, "text_embeds", cli_json_matrix(s->text, texts, dim));
    json_object_set_new(all, "cosines", cli_json_matrix(s->cosines, images, texts));
    json_object_set_new(all, "logits_per_image", cli_json_matrix(s->per_image, images, texts));
    json_object_set_new(all, "logits_per_text", cli_json_matrix(s->per_text, texts, images));
    json_object_set_new(all, "probs", cli_json_matrix(s->p, images, texts));
    return cli_print_json(all);
}

/* The best text of an image first. */
static int print_scores(const scores *s) {
    size_t texts = s->texts->count;
    int *best = cli_new(texts, sizeof *best);
    for (size_t i = 0; i < s->images.count; i++) {
        printf("%s\n", s->images.items[i]);
        tc_top_k(s->per_image + i * texts, (int)texts, (int)texts, best);
        for (size_t k = 0; k < texts; k++) {
            size_t t = (size_t)best[k], at = i * texts + t;
            printf("  probability %.4f  cosine %7.4f  logit %8.4f  %s\n", (double)s->p[at],
                   (double)s->cosines[at], (double)s->per_image[at], s->texts->items[t]);
        }
    }
    free(best);
    return CLI_DONE;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    score o = defaults;
    cli_list args = {0};
    tc_error err = {0};
    scores s = {.texts = &o.texts};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    if (o.images.count == 0 || o.texts.count == 0) {
        code = cli_usage(verb, "give at least one --image and one --text");
        goto out;
    }
    tc_status status = cli_images(&o.images, &s.images, &err);
    if (status == TC_OK)
        status = cli_model_open(&s.model, args.items[0], &o.common, CLI_TOKENIZER | CLI_SESSION, &err);
    if (status == TC_OK) status = compute(&s, &err);
    cli_log_end();
    if (status != TC_OK) code = cli_failed(&err);
    else code = o.common.json ? print_scores_json(&s) : print_scores(&s);
out:
    cli_model_close(&s.model);
    cli_list_free(&s.images);
    free(s.image);
    free(s.text);
    free(s.cosines);
    free(s.per_image);
    free(s.per_text);
    free(s.p);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_score = {
    .name = "score",
    .summary = "compare images with texts",
    .usage = "MODEL --image F [--image F]... --text T [--text T]... [options]",
    .description =
        "Prints for each image the texts, the best first: the probability of the text among all texts "
        "(softmax), "
        "the cosine of the two embeddings, and the logit (logit scale times cosine).\n"
        "With --json, in the order given: image_embeds and text_embeds (of unit length), logits_per_image, "
        "logits_per_text and probs (softmax over the texts), as "
        "transformers' CLIPModel gives them; and cosines.",
    .examples =
        "tinyclip score model --image cat.jpg --text \"a photo of a cat\" --text \"a photo of a dog\"\n"
        "tinyclip score model --image photos/ --text \"a red car\" --json",
    .options = options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .least_args = 1,
    .most_args = 1,
    .run = run};
