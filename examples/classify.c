/* classify.c - which of these labels fits a picture best?  classify MODEL IMAGE LABEL LABEL...
 *
 *   cc classify.c -o classify $(pkg-config --cflags --libs tinyclip) -lm
 *
 * Each label becomes a row of class weights once; a picture is then one row of logits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tinyclip.h>

enum { SHOWN = 5 };

static void tell(void *user, int level, const char *line) {
    (void)user;
    if (level > 0) fprintf(stderr, "classify: %s\n", line);
}

static int fail(const char *why) {
    fprintf(stderr, "classify: %s\n", why);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 4) return fail("usage: classify MODEL IMAGE LABEL LABEL...");
    const char *const *labels = (const char *const *)(argv + 3);
    int n = argc - 3;
    tc_error err;
    tc_model *model = NULL;
    tc_tokenizer *tokenizer = NULL;
    tc_session *session = NULL;
    if (tc_model_open(&model, argv[1], NULL, &err) != TC_OK ||
        tc_model_tokenizer(model, &tokenizer, &err) != TC_OK ||
        tc_session_create(&session, model, &err) != TC_OK)
        return fail(err.message);

    /* All sizes come from the model. */
    const tc_model_info *info = tc_model_get_info(model);
    tc_preprocess p = tc_model_preprocess(model);
    size_t dim = (size_t)info->embed_dim, side = (size_t)p.crop;
    float *weights = calloc((size_t)n * dim, sizeof *weights),
          *pixels = calloc(3 * side * side, sizeof *pixels);
    float *image = calloc(dim, sizeof *image), *probability = calloc((size_t)n, sizeof *probability);
    if (!weights || !pixels || !image || !probability) return fail("out of memory");

    static const char *const templates[] = {"a photo of a {}.", "a drawing of a {}."};
    if (tc_zeroshot_weights(session, tokenizer, labels, n, templates, 2, tell, NULL, weights, &err) !=
            TC_OK ||
        tc_preprocess_file(&p, argv[2], pixels, NULL, &err) != TC_OK ||
        tc_session_encode_image(session, pixels, 1, image, &err) != TC_OK)
        return fail(err.message);
    tc_normalize(image, 1, info->embed_dim);
    tc_logits(image, weights, 1, n, info->embed_dim, expf(info->logit_scale), probability);
    tc_softmax(probability, 1, n);

    int best[SHOWN];
    tc_top_k(probability, n, SHOWN, best);
    for (int i = 0; i < SHOWN && best[i] >= 0; i++)
        printf("%.4f  %s\n", (double)probability[best[i]], labels[best[i]]);

    free(weights), free(pixels), free(image), free(probability);
    tc_session_close(&session);
    tc_tokenizer_close(&tokenizer);
    tc_model_close(&model);
    return 0;
}
