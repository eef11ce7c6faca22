/* settings.h - what is done with a table of settings (tc_setting), whatever structure it describes: each
 * field of tc_train_options, tc_mask_options and tc_compress_options that is a number, a flag or a text is
 * declared once, in settings.c. */
#ifndef TC_SETTINGS_H
#define TC_SETTINGS_H

#include "net/net.h"
#include "store/json_reader.h"

/* tc_train_setting, tc_mask_setting or tc_compress_setting. */
typedef const tc_setting *(*tc_setting_list)(size_t i);

/* NULL if there is none of that name. */
const tc_setting *tc_setting_find(tc_setting_list list, const char *name);
/* The field as a number; of a text 0. */
double tc_setting_number(const tc_setting *s, const void *options);
void tc_setting_store(const tc_setting *s, void *options, double x);
tc_range tc_setting_range(const tc_setting *s);
/* Whether its default says that the run chooses. */
bool tc_setting_is_open(const tc_setting *s);

void tc_settings_default(tc_setting_list list, void *options);
/* TC_EARG: "WHAT: batch must be ...". */
tc_status tc_settings_check(tc_setting_list list, const void *options, const char *what, tc_error *err);

/* ---- as JSON */

/* Adds the settings that have the flag, or those that have it not, under their names. */
void tc_settings_note(tc_setting_list list, const void *options, unsigned flag, bool has, json_t *into);
/* Reads the key of a recipe, if it is there. */
void tc_setting_take(const tc_setting *s, const tc_json_object *from, void *options);
/* Writes it under its key, unless the run chooses. */
void tc_setting_give(const tc_setting *s, const void *options, json_t *into);

/* ---- what the run chooses */

/* Puts in what the options leave open and the student's image tower decides, or whether there is a teacher.
 */
void tc_train_choose(tc_train_options *o, const tc_tower_family *family, bool teacher);

#endif
