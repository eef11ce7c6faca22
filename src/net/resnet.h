/* resnet.h - the sizes of a ModifiedResNet, for its own two files and tests. */
#ifndef TC_RESNET_H
#define TC_RESNET_H

#include "net/config_read.h"
#include "net/seen.h"
#include "net/tower.h"

/* With a ModifiedResNet: width is the stem's, layers the blocks of all stages, head_dim and block[0].heads
 * those of the attention pooling. channels is what the stem's first and second convolution give, then the
 * first and second of each block: 2 + 2 * layers numbers, those of tc_resnet_channels unless it was pruned.
 */

/* An image's side over that of the last map; also the last map's channels over the stem's. */
enum { TC_RESNET_STRIDE = 32 };

/* Channels of a stage's result, 1 to TC_STAGES; 0: of the stem's. */
int tc_resnet_width(const tc_tower_config *t, int stage);
/* Inner channels number `number` of one that is not pruned. */
int tc_resnet_channels(const tc_tower_config *t, int number);
/* Sets t->channels to these. */
void tc_resnet_fill(tc_tower_config *t);

/* What resnet_config.c gives to the table. */
bool tc_resnet_claims(const json_t *json);
void tc_resnet_read(tc_config_reader *r, tc_config *c, const json_t *json);
void tc_resnet_write(const tc_config *c, json_t *json);
bool tc_resnet_difference(const tc_tower_config *a, const tc_tower_config *b, const char *tower, int *index,
                          tc_diff_setting *out);
bool tc_resnet_is_in(const tc_seen *s);
void tc_resnet_recognise(tc_seen *s, tc_config *c);
void tc_resnet_adjust(tc_seen *s, tc_config *c);
bool tc_resnet_is_pruned(const tc_tower_config *t);
bool tc_resnet_uneven(const tc_tower_config *t, const char *tower, char *buffer, size_t size);
int tc_resnet_source(const tc_tower_config *teacher, const tc_tower_config *student, int block);
void tc_resnet_describe(const tc_tower_config *t, char *out, size_t size);
bool tc_resnet_row(const tc_tower_config *t, int layer, char *out, size_t size);
void tc_resnet_record(const tc_tower_config *t, json_t *json);

#endif
