#!/bin/sh
# defaults.sh - places outside the table of settings that give a setting a number of its own. What a batch of a measurement or of the
# demonstration is, is an option of those verbs.
grep -nE '\.(lr|warmup_steps|warmup|weight_decay|wd|beta1|beta2|eps|clip|distill_weight|alpha|logit_scale|crop_scale_min|batch|start|target_warmup|keep) *= *-?[0-9.]+(e-?[0-9]+)?[,;}]' \
    -r src/train cli --include='*.[ch]' | grep -vE '^src/train/settings|^cli/cmd_(bench|demo)\.c:.*\.batch = '
true
