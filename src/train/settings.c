/* settings.c - every setting of training, masks and compression, declared once: its field, kind, range and
 * default, and what it is for. The program's options and its manual, the keys of recipes, the checks and what
 * a checkpoint compares are made of these tables (what is done with them: settings_use.c). */
#include "train/settings.h"

#define FIELD(structure, field, kind_) \
    .name = #field, .kind = TC_SETTING_##kind_, .at = offsetof(structure, field)
#define OPTION(option_, value_) .option = option_, .value = value_

/* ---- what several tables have */

#define WORKERS_HELP "threads that decode images; 0: chosen"
#define EVAL_LIMIT_HELP "samples of an evaluation; 0: all"
#define STOP_AFTER_HELP "stop after this many steps of this run, with a checkpoint; 0: run to the end"
#define KEEP_HELP                                                                                          \
    "the part of the parameters of attention and FFN (ResNet: of the convolutions within blocks) that is " \
    "left, both towers together: 50% or 0.5"
#define PARAMS_HELP "instead: the parameters that are left, without the token table: 20M"
#define MACS_HELP \
    "instead: the multiply-accumulates that are left, of one image and one text of full length: 2G"

/* ---- training */

#define TRAIN(field, kind_) FIELD(tc_train_options, field, kind_)
static const tc_setting train_settings[] = {
    {TRAIN(out, TEXT), OPTION("--out", "DIR"),
     .help = "the folder for the model (DIR/model; a ResNet: DIR/model.safetensors), the checkpoints and "
             "log.jsonl",
     .flags = TC_SETTING_CALL | TC_SETTING_FOLDER},
    {TRAIN(steps, WHOLE), .key = "steps", OPTION("--steps", "N"), .least = 1, .most = 1e12,
     .help = "steps in all; 0: from --epochs", .flags = TC_SETTING_RESUMED | TC_SETTING_IN_STAGE},
    {TRAIN(epochs, REAL), .key = "epochs", OPTION("--epochs", "X"), .most = 1e9, .above = true,
     .help = "passes over the data; --steps or --epochs is needed", .flags = TC_SETTING_IN_STAGE},
    {TRAIN(batch, INT), .key = "batch", OPTION("--batch", "N"), .fallback = 256, .least = 1, .most = 1 << 20,
     .help = "pairs a step", .flags = TC_SETTING_RESUMED},
    {TRAIN(lr, REAL), .key = "lr", OPTION("--lr", "X"), .fallback = 1e-4, .most = 1000,
     .help = "peak learning rate", .flags = TC_SETTING_RESUMED},
    {TRAIN(warmup_steps, REAL), .key = "warmup_steps", OPTION("--warmup", "N"), .fallback = -1, .most = 1e12,
     .help = "steps of linear warm-up before the cosine; -1: a tenth of the steps, at most 2000"},
    {TRAIN(weight_decay, REAL), .key = "weight_decay", OPTION("--wd", "X"), .fallback = 0.2, .most = 1000,
     .help = "weight decay of the matrices", .flags = TC_SETTING_RESUMED},
    {TRAIN(beta1, REAL), .key = "beta1", OPTION("--beta1", "X"), .fallback = 0.9, .most = 1, .below = true,
     .help = "AdamW's decay of the first moment", .flags = TC_SETTING_RESUMED},
    {TRAIN(beta2, REAL), .key = "beta2", OPTION("--beta2", "X"), .fallback = -1, .most = 1, .below = true,
     .help = "AdamW's decay of the second moment; -1: 0.98, with a ResNet as image tower 0.999",
     .flags = TC_SETTING_RESUMED},
    {TRAIN(eps, REAL), .key = "eps", OPTION("--eps", "X"), .most = 1, .above = true,
     .help = "AdamW's epsilon; 0: 1e-6, with a ResNet as image tower 1e-8", .flags = TC_SETTING_RESUMED},
    {TRAIN(clip, REAL), .key = "clip", OPTION("--clip", "X"), .fallback = 5, .most = 1e12,
     .help = "largest norm of the gradient; 0: any", .flags = TC_SETTING_RESUMED},
    {TRAIN(alpha, REAL), .key = "alpha", OPTION("--alpha", "X"), .fallback = 1, .most = 1,
     .help = "weight of the affinity loss; 1 - alpha goes to the contrastive loss",
     .flags = TC_SETTING_RESUMED | TC_SETTING_TEACHER},
    {TRAIN(logit_scale, REAL), .key = "logit_scale", OPTION("--logit-scale", "X"), .fallback = -1,
     .most = 1e4,
     .help = "fixed scale of the logits; 0: learnt, from 1/0.07 on; -1: 50, without a teacher learnt",
     .flags = TC_SETTING_RESUMED},
    {TRAIN(crop_scale_min, REAL), .key = "crop_scale_min", OPTION("--crop-scale-min", "X"), .fallback = 1,
     .most = 1, .above = true,
     .help = "random resized crop: the smallest part of the area that is kept; 1: no random crop",
     .flags = TC_SETTING_RESUMED},
    {TRAIN(flip, FLAG), .key = "flip", .option = "--flip", .most = 1, .help = "mirror half of the images",
     .flags = TC_SETTING_RESUMED},
    {TRAIN(teacher_cache, TEXT), OPTION("--teacher-cache", "C"),
     .help = "a folder that keeps the teacher's features, which later epochs and runs then take from it "
             "(C/teacher.cache, samples x augmentations x (8 E + 8) bytes); it belongs to this teacher, "
             "data, tokenizer and augmentation, and is refused with another",
     .flags = TC_SETTING_TEACHER | TC_SETTING_FOLDER},
    {TRAIN(cache_augmentations, INT), .key = "cache_augmentations", OPTION("--cache-augmentations", "N"),
     .most = 65536,
     .help = "augmentations (crop, mirror image, template) of a sample, one an epoch, then the first again; "
             "0: 4 with --teacher-cache, else a new one in every epoch",
     .flags = TC_SETTING_TEACHER | TC_SETTING_IN_RECIPE},
    {TRAIN(seed, WHOLE), OPTION("--seed", "N"), .most = 9e15,
     .help = "of the weights, the order and the augmentation", .flags = TC_SETTING_RESUMED},
    {TRAIN(workers, INT), OPTION("--workers", "N"), .most = 1024, .help = WORKERS_HELP},
    {TRAIN(checkpoint_every, WHOLE), .key = "checkpoint_every", OPTION("--checkpoint-every", "N"),
     .most = 1e12, .help = "steps between checkpoints; 0: only at the end and when stopped"},
    {TRAIN(eval_every, WHOLE), OPTION("--eval-every", "N"), .most = 1e12,
     .help = "steps between evaluations; 0: only at the end"},
    {TRAIN(eval_limit, WHOLE), OPTION("--eval-limit", "N"), .most = 1e15, .help = EVAL_LIMIT_HELP},
    {TRAIN(stop_after, WHOLE), OPTION("--stop-after", "N"), .most = 1e12, .help = STOP_AFTER_HELP,
     .flags = TC_SETTING_CALL}};

/* ---- masks; in a checkpoint all are compared */

#define MASK(field, kind_) FIELD(tc_mask_options, field, kind_)
static const tc_setting mask_settings[] = {
    {MASK(keep, PART), .key = "keep", OPTION("--keep", "PART"), .most = 1, .above = true,
     .help =
         "automatic inheritance: the student is the teacher (or --student) under masks that are learnt and "
         "then folded; " KEEP_HELP,
     .flags = TC_SETTING_IN_STAGE},
    {MASK(params, PARAMS), .key = "params", OPTION("--params", "N"), .least = 1, .most = 1e15,
     .help = PARAMS_HELP, .flags = TC_SETTING_IN_STAGE},
    {MASK(macs, MACS), .key = "macs", OPTION("--macs", "N"), .most = 1e18, .above = true, .help = MACS_HELP,
     .flags = TC_SETTING_IN_STAGE},
    {MASK(fold_step, WHOLE), .key = "fold_step", OPTION("--fold-step", "N"), .least = 1, .most = 1e12,
     .help = "steps before the masks are folded; 0: half of all", .flags = TC_SETTING_IN_STAGE},
    {MASK(target_warmup, REAL), .key = "target_warmup", OPTION("--target-warmup", "N"), .fallback = -1,
     .most = 1e12,
     .help = "steps in which the target goes from the whole model to the goal; -1: a third of those before "
             "the fold",
     .flags = TC_SETTING_IN_STAGE},
    {MASK(lr, REAL), .key = "mask_lr", OPTION("--mask-lr", "X"), .fallback = 0.02, .most = 1000,
     .help = "learning rate of the masks; a gate needs some 5 / X steps to close",
     .flags = TC_SETTING_IN_STAGE},
    {MASK(start, REAL), .fallback = 10, .least = -1e6, .most = 1e6,
     .help = "where the gates' log alpha and the multipliers start"}};

/* ---- compression */

#define COMPRESS(field, kind_) FIELD(tc_compress_options, field, kind_)
static const tc_setting compress_settings[] = {
    {COMPRESS(recipe, TEXT), OPTION("--recipe", "R"), .help = "the recipe, a JSON file: see above",
     .flags = TC_SETTING_FILE},
    {COMPRESS(out, TEXT), OPTION("--out", "DIR"),
     .help = "the folder for compress.json, the stages and the model",
     .flags = TC_SETTING_CALL | TC_SETTING_FOLDER},
    {COMPRESS(keep, PART), OPTION("--keep", "PART"), .most = 1, .above = true,
     .help = "goal of the last stage instead of the recipe's: " KEEP_HELP},
    {COMPRESS(params, PARAMS), OPTION("--params", "N"), .least = 1, .most = 1e15, .help = PARAMS_HELP},
    {COMPRESS(macs, MACS), OPTION("--macs", "N"), .most = 1e18, .above = true, .help = MACS_HELP},
    {COMPRESS(seed, WHOLE), OPTION("--seed", "N"), .most = 9e15,
     .help = "of the order, the augmentation and the masks", .flags = TC_SETTING_RESUMED},
    {COMPRESS(teacher_cache, TEXT), OPTION("--teacher-cache", "C"),
     .help = "the folder that keeps the teacher's features, if the recipe has cache_augmentations, for "
             "several compressions to share; without it DIR/teacher-cache",
     .flags = TC_SETTING_FOLDER},
    {COMPRESS(eval_every, WHOLE), OPTION("--eval-every", "N"), .most = 1e12,
     .help = "steps between evaluations within a stage, on labelled data; 0: only at its end"},
    {COMPRESS(eval_limit, WHOLE), OPTION("--eval-limit", "N"), .most = 1e15, .help = EVAL_LIMIT_HELP},
    {COMPRESS(speed_seconds, REAL), OPTION("--speed-seconds", "S"), .fallback = 1, .most = 600,
     .help = "time of each measurement of images and texts a second; 0: none"},
    {COMPRESS(stop_after, WHOLE), OPTION("--stop-after", "N"), .most = 1e12, .help = STOP_AFTER_HELP,
     .flags = TC_SETTING_CALL},
    {COMPRESS(workers, INT), OPTION("--workers", "N"), .most = 1024, .help = WORKERS_HELP}};

/* ---- the tables */

#define ENTRY(table, i) ((i) < sizeof(table) / sizeof *(table) ? &(table)[i] : NULL)

const tc_setting *tc_train_setting(size_t i) { return ENTRY(train_settings, i); }
const tc_setting *tc_mask_setting(size_t i) { return ENTRY(mask_settings, i); }
const tc_setting *tc_compress_setting(size_t i) { return ENTRY(compress_settings, i); }

tc_train_options tc_train_options_default(void) {
    tc_train_options o = {0};
    tc_settings_default(tc_train_setting, &o);
    return o;
}

tc_mask_options tc_mask_options_default(void) {
    tc_mask_options o = {0};
    tc_settings_default(tc_mask_setting, &o);
    return o;
}

tc_compress_options tc_compress_options_default(void) {
    tc_compress_options o = {0};
    tc_settings_default(tc_compress_setting, &o);
    return o;
}
