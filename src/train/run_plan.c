/* run_plan.c - a training run before it begins: what is wrong with its options, what they leave open, the
 * trainer that they ask for, and the memory that it takes. */
#include "train/run_plan.h"
#include "train/settings.h"
#include "train/training.h"

#include <math.h>
#include <string.h>

enum { USUAL_CAPTION = 12 /* tokens */ };
static const double LONGEST_WARMUP = 2000; /* steps */

/* ---- the check */

static tc_status check_card(const char *card, tc_error *err) {
    json_t *json = NULL;
    tc_status status =
        card ? tc_json_parse(&json, card, strlen(card), "training: the members of the model card", err)
             : TC_OK;
    bool object = json_is_object(json);
    json_decref(json);
    if (status == TC_OK && card && !object)
        status = tc_fail(err, TC_EARG, "training: the members of the model card must be a JSON object");
    return status;
}

/* Whether models, data and pictures fit each other. */
static tc_status check_sizes(const tc_train_options *o, tc_error *err) {
    if (o->preprocess.crop != o->init->config.image_size)
        return tc_fail(err, TC_EARG,
                       "training: images are cropped to %d pixels, but the model's image_size is %d",
                       o->preprocess.crop, o->init->config.image_size);
    const tc_model *both[] = {o->init, o->teacher};
    for (int i = 0; i < 2 && both[i]; i++)
        if (tc_tokenizer_size(o->tokenizer) > both[i]->config.vocab_size)
            return tc_fail(err, TC_EARG, "training: the tokenizer has %d ids, the %s only %d",
                           tc_tokenizer_size(o->tokenizer), i ? "teacher" : "model",
                           both[i]->config.vocab_size);
    if (o->teacher && o->teacher->config.context_length < o->init->config.context_length)
        return tc_fail(err, TC_EARG,
                       "training: the teacher's context_length is %d, less than the student's %d",
                       o->teacher->config.context_length, o->init->config.context_length);
    return TC_OK;
}

tc_status tc_train_check(const tc_train_options *o, tc_error *err) {
    const struct {
        bool ok;
        const char *what;
    } rules[] = {
        {o->out && o->out[0], "an output folder is needed"},
        {o->init != NULL, "a model to start from is needed"},
        {o->data != NULL, "data is needed"},
        {o->tokenizer != NULL, "a tokenizer is needed"},
        {!o->teacher_cache || o->teacher, "a cache of the teacher's features needs a teacher"},
        {!o->teacher_cache || o->teacher_cache[0], "a cache of the teacher's features needs a folder"},
        {!o->teacher_cache || o->cache_augmentations > 0,
         "a cache of the teacher's features needs a number of augmentations"},
        {o->steps > 0 || o->epochs > 0, "steps or epochs must be above 0"}};
    tc_status status = tc_settings_check(tc_train_setting, o, "training", err);
    if (status != TC_OK) return status;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].ok) return tc_fail(err, TC_EARG, "training: %s", rules[i].what);
    status = check_card(o->card, err);
    return status == TC_OK ? check_sizes(o, err) : status;
}

/* ---- what the options leave open */

/* Steps for so many epochs, rounded up, but not for the rounding of epochs in binary (0.1 of 30 samples are
 * 3). */
int64_t tc_train_steps(double epochs, int64_t samples, int batch) {
    double steps = ceil(epochs * (double)samples / batch * (1 - 1e-12));
    if (steps >= 1e15) return (int64_t)1e15;
    return steps > 1 ? (int64_t)steps : 1;
}

/* Unless told otherwise the masked steps warm up; without masks a tenth of the run. */
static double warmup_of(const tc_training *t) {
    if (t->o->warmup_steps >= 0) return t->o->warmup_steps;
    return t->o->masks ? (double)t->masks.fold_step : fmin(LONGEST_WARMUP, (double)(t->steps / 10));
}

tc_status tc_training_plan(tc_training *t, tc_error *err) {
    int64_t samples = tc_data_count(t->o->data);
    tc_train_options *o = &t->chosen;
    if (samples < 1) return tc_fail(err, TC_EARG, "training: the data has no samples");
    *o = *t->o;
    t->o = o;
    if (o->steps == 0) o->steps = tc_train_steps(o->epochs, samples, o->batch);
    t->steps = o->steps;
    t->epochs_per_step = (double)o->batch / (double)samples;
    tc_train_choose(o, o->init->config.vision.family, o->teacher != NULL);
    tc_status status = tc_auto_plan(t, err);
    if (status == TC_OK) o->warmup_steps = warmup_of(t);
    return status;
}

/* ---- the trainer */

tc_hyper tc_train_hyper(const tc_train_options *o) {
    return (tc_hyper){.schedule = {.kind = TC_SCHEDULE_COSINE,
                                   .base = o->lr,
                                   .warmup = o->warmup_steps,
                                   .steps = (double)o->steps},
                      .weight_decay = o->weight_decay,
                      .beta1 = o->beta1,
                      .beta2 = o->beta2,
                      .eps = o->eps,
                      .clip = o->clip,
                      .alpha = o->alpha,
                      .weight = 1,
                      .logit_scale = o->logit_scale};
}

tc_status tc_training_trainer(tc_training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    tc_hyper h = tc_train_hyper(o);
    tc_mask_hyper masks;
    tc_model *student = NULL;
    tc_status status = tc_model_copy(&student, o->init, err);
    if (status != TC_OK) return status;
    student->preprocess = o->preprocess;
    if (o->masks) {
        masks = tc_auto_hyper(t, &h);
        h.masks = &masks;
    }
    status = tc_trainer_create(&t->trainer, &student, o->teacher, &h, err);
    if (status == TC_OK) t->trainer->hyper.masks = NULL;
    return status;
}

tc_loader_options tc_training_loader(const tc_training *t) {
    const tc_train_options *o = t->o;
    return (tc_loader_options){.data = o->data,
                               .tokenizer = o->tokenizer,
                               .preprocess = o->preprocess,
                               .context = t->trainer->student->config.context_length,
                               .batch = o->batch,
                               .workers = o->workers,
                               .seed = o->seed,
                               .crop_scale_min = o->crop_scale_min,
                               .flip = o->flip,
                               .augmentations = o->cache_augmentations,
                               .first_step = t->trainer->step};
}

/* ---- memory */

/* Bytes that the run will take with captions of this length: steps, batches read ahead, and the copies of the
 * model that it starts from and that are made for evaluating and saving it. */
static size_t memory(const tc_training *t, int caption) {
    tc_loader_options l = tc_training_loader(t);
    size_t model = (size_t)t->trainer->student->params.total * sizeof(tc_real);
    size_t all = tc_trainer_memory(t->trainer, t->o->batch, caption);
    if (!tc_add(all, tc_loader_memory(&l), &all) || !tc_add(all, (t->o->init->flat ? 2 : 1) * model, &all))
        return SIZE_MAX;
    return all;
}

int tc_training_memory(const tc_training *t, size_t *usual, size_t *most) {
    int context = t->trainer->student->config.context_length;
    int caption = context < USUAL_CAPTION ? context : USUAL_CAPTION;
    *usual = memory(t, caption);
    *most = memory(t, context);
    return caption;
}

tc_status tc_train_memory(const tc_train_options *o, size_t *usual, size_t *most, tc_error *err) {
    tc_training t = {.o = o, .lock = -1};
    tc_status status = tc_training_plan(&t, err);
    if (status == TC_OK) status = tc_training_trainer(&t, err);
    if (status == TC_OK) tc_training_memory(&t, usual, most);
    tc_trainer_free(&t.trainer);
    return status;
}
