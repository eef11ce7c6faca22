/* run_settings.c - everything that a resumed run must share with the first one, as JSON: what a checkpoint
 * holds and compares. Numbers and flags come from the settings that have TC_SETTING_RESUMED. */
#include "train/settings.h"
#include "train/training.h"
#include "format/preprocess_json.h"

#include <stdlib.h>

tc_status tc_training_settings(tc_training *t, tc_error *err) {
    const tc_train_options *o = t->o;
    json_t *json = json_pack("{s:o, s:f, s:I, s:i, s:i, s:b, s:o, s:i, s:b}", "model",
                             tc_config_full_json(&o->init->config), "warmup", o->warmup_steps, "samples",
                             (json_int_t)tc_data_count(o->data), "classes", tc_data_classes(o->data),
                             "templates", tc_data_templates(o->data), "teacher", o->teacher != NULL,
                             "preprocess", tc_preprocess_json(&o->preprocess), "image_order",
                             (int)o->preprocess.order, "exif", o->preprocess.exif);
    if (json) tc_settings_note(tc_train_setting, o, TC_SETTING_RESUMED, true, json);
    if (json && o->cache_augmentations) {
        json_object_set_new(json, "cache_augmentations", json_integer(o->cache_augmentations));
        json_object_set_new(json, "teacher_cache", json_boolean(o->teacher_cache != NULL));
    }
    if (json && o->teacher) {
        char text[32];
        tc_status status = tc_model_hash(o->teacher, &t->teacher_hash, err);
        if (status != TC_OK) {
            json_decref(json);
            return status;
        }
        snprintf(text, sizeof text, "%016llx", (unsigned long long)t->teacher_hash);
        json_object_set_new(json, "teacher_model", tc_config_full_json(&o->teacher->config));
        json_object_set_new(json, "teacher_weights", json_string(text));
    }
    if (json) tc_auto_settings(t, json);
    t->settings = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    return t->settings ? TC_OK : tc_fail_memory(err, 1024);
}
