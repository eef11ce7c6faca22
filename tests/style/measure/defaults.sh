#!/bin/sh
# defaults.sh - places outside the table of settings that give a setting a number of its own. What a batch of a measurement or of the
# demonstration is, is an option of those verbs; what of AdamW's differs between families of towers stands with them.
grep -nE '\.(lr|warmup_steps|warmup|weight_decay|wd|beta1|beta2|eps|clip|distill_weight|alpha|logit_scale|crop_scale_min|batch|start|target_warmup|keep) *= *-?[0-9.]+(e-?[0-9]+)?[,;}]' \
    -r src cli --include='*.[ch]' | grep -vE '^src/train/settings|^src/net/(vit|resnet)\.c:.*\.(beta2|eps) = |^cli/cmd_(bench|demo)\.c:.*\.batch = '
true
