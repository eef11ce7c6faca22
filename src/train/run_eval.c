/* run_eval.c - figures during a training run: the student as it is, on the data for evaluation. */
#include "train/training.h"

/* Progress alone: what the evaluation would remark is the same each time. */
static void progress(void *user, int level, const char *line) {
    const tc_training *t = user;
    if (level == 0) tc_log_line(&t->log, 0, "%s", line);
}

static tc_status evaluate_classes(tc_training *t, const tc_model *now, tc_error *err) {
    const tc_train_options *o = t->o;
    tc_zeroshot_result r = {0};
    tc_status status = tc_eval_zeroshot(now, o->eval_data, o->tokenizer, &o->preprocess, o->eval_limit,
                                        progress, t, &r, err);
    if (status != TC_OK) return status;
    t->top1 = r.top1;
    tc_log_line(&t->log, 1, "step %lld: zero-shot top-1 %.2f %%", (long long)t->trainer->step, 100 * r.top1);
    status = tc_log_file_classes(&t->file, t->trainer->step, &r, err);
    tc_zeroshot_result_free(&r);
    return status;
}

static tc_status evaluate_pairs(tc_training *t, const tc_model *now, tc_error *err) {
    const tc_train_options *o = t->o;
    tc_retrieval_result r;
    tc_status status = tc_eval_retrieval(now, o->eval_data, o->tokenizer, &o->preprocess, o->eval_limit,
                                         progress, t, &r, err);
    if (status != TC_OK) return status;
    const tc_retrieval_direction *to[2] = {&r.image_to_text, &r.text_to_image};
    tc_log_line(&t->log, 1,
                "step %lld: the caption of an image is first for %.2f %%, among ten for %.2f %%; its image "
                "for %.2f and %.2f %%",
                (long long)t->trainer->step, 100 * to[0]->r1, 100 * to[0]->r10, 100 * to[1]->r1,
                100 * to[1]->r10);
    return tc_log_file_pairs(&t->file, t->trainer->step, &r, err);
}

tc_status tc_training_evaluate(tc_training *t, tc_error *err) {
    tc_model *now = NULL;
    tc_status status = tc_auto_model(t, &now, err);
    if (status == TC_OK && !now) status = tc_model_copy(&now, t->trainer->student, err);
    if (status == TC_OK)
        status = tc_data_classes(t->o->eval_data) > 0 ? evaluate_classes(t, now, err)
                                                      : evaluate_pairs(t, now, err);
    tc_model_close(&now);
    return status;
}
