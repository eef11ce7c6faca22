/* masked.c - training with masks: what a step needs beside an ordinary one, and the fold. */
#include "train/train.h"

tc_mask_options tc_mask_options_default(void) { return (tc_mask_options){.target_warmup = -1, .lr = 0.02, .start = 10}; }
