#!/bin/sh
# training.sh BUILD - train, inherit, distill, eval on a few small pictures made here; stop and resume.
. tests/cli/tap.inc

. tests/cli/pairs.inc

common="--data $scratch/pairs --batch 6 --threads 1 --lr 1e-3"
run train --config "$scratch/teacher.json" $common --out "$scratch/run" --steps 8
code "train: exit code" 0
for f in model/config.json model/model.safetensors model/preprocessor_config.json log.jsonl; do
    holds "train leaves $f" test -s "$scratch/run/$f"
done
holds "log.jsonl has a line a step" sh -c "[ \$(grep -c '\"step\":' '$scratch/run/log.jsonl') -eq 8 ]"
says "the data is told before the first step" "13 pairs of image and caption"
says "three examples are named" "example: "
says "the memory is told" "memory: "
run train --config "$scratch/teacher.json" $common --out "$scratch/run" --steps 8
code "train into the folder of another run: exit code" 1
says "train into the folder of another run" "there are checkpoints of another run in it"

run train --config "$scratch/teacher.json" $common --out "$scratch/again" --steps 8 --stop-after 3 --json
code "train --stop-after: exit code" 0
holds "train --json" grep -q '"steps": 3,' "$out"
holds "a run that was stopped leaves no model" test ! -e "$scratch/again/model"
run train --config "$scratch/teacher.json" $common --out "$scratch/again" --steps 8 --resume
code "train --resume: exit code" 0
same "stopped and resumed is never stopped" "$scratch/run/model/model.safetensors" "$scratch/again/model/model.safetensors"
run train --config "$scratch/teacher.json" $common --out "$scratch/again" --steps 9 --resume
code "resume with other settings: exit code" 1

mkdir "$scratch/long"
cp "$scratch/pairs/0.bmp" "$scratch/pairs/1.bmp" "$scratch/long"
echo "a caption of more words than the context of the model holds" >"$scratch/long/0.txt"
echo "short" >"$scratch/long/1.txt"
run train --config "$scratch/teacher.json" --data "$scratch/long" --batch 2 --out "$scratch/cut" --steps 3
says "captions that are cut are told" "captions longer than the context were cut, 3 times"

run train --init "$scratch/run/model" --config "$scratch/student.json" $common --out "$scratch/other" --steps 1
code "--init of another size than --config: exit code" 1
says "--init of another size than --config" "run/model is not of the configuration $scratch/student.json: vision width: 32 and 16"
run train --init "$scratch/run/model" --config "$scratch/teacher.json" $common --out "$scratch/sized" --steps 1
code "--init of the size of --config: exit code" 0
run train --init "$scratch/run/model" $common --out "$scratch/more" --epochs 0.5
code "train --init --epochs: exit code" 0

# A signal finishes the step, saves, and ends well.
: >"$err"
"$tinyclip" train --config "$scratch/teacher.json" $common --out "$scratch/stopped" --steps 1000000 >"$out" 2>"$err" </dev/null &
pid=$!
tries=0
while ! grep -q '^step ' "$err" && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -TERM $pid
wait $pid
code=$?
code "SIGTERM: exit code" 0
says "SIGTERM: it is said how to go on" "go on with resume"
holds "SIGTERM: a checkpoint is there" sh -c "ls '$scratch/stopped'/checkpoint-*"

run distill --teacher "$scratch/run/model" --student "$scratch/student.json" --inherit $common --out "$scratch/distilled" --steps 4
code "distill --inherit: exit code" 0
run inherit "$scratch/run/model" --config "$scratch/student.json" -o "$scratch/inherited"
run distill --teacher "$scratch/run/model" --student "$scratch/inherited" $common --out "$scratch/distilled2" --steps 4
same "distill --inherit is inherit, then distill" "$scratch/distilled/model/model.safetensors" "$scratch/distilled2/model/model.safetensors"
run distill --teacher "$scratch/run/model" --student "$scratch/inherited" --inherit $common --out "$scratch/x" --steps 4
code "--inherit with a model as the student: exit code" 1
says "--inherit with a model as the student" "--inherit needs a configuration as the student; this is a model"

# Automatic inheritance: the student is the teacher under masks.
auto="distill --teacher $scratch/run/model $common --steps 8 --fold-step 4 --mask-lr 1"
run $auto --keep 60% --out "$scratch/auto"
code "distill --keep: exit code" 0
says "distill --keep: the masks are told" "masks: "
says "distill --keep: the fold is told" "step 4: masks folded; "
holds "distill --keep: a file" test -s "$scratch/auto/model.safetensors"
holds "distill --keep: 60 % are left" sh -c "grep -q '\"step\":4,\"fold\":true,\"kept\":0\.\(59\|60\)' '$scratch/auto/log.jsonl'"
holds "distill --keep: sparsity in the log until the fold" sh -c "[ \$(grep -c '\"sparsity\":' '$scratch/auto/log.jsonl') -eq 4 ]"
run $auto --keep 60% --out "$scratch/auto2" --stop-after 4
code "distill --keep, stopped at the fold: exit code" 0
run $auto --keep 60% --out "$scratch/auto2" --resume
same "distill --keep: stopped at the fold and resumed is never stopped" "$scratch/auto/model.safetensors" "$scratch/auto2/model.safetensors"
run $auto --keep 60% --out "$scratch/auto4" --stop-after 2
run distill --resume "$scratch/auto4"
same "distill --keep: stopped and resumed by the folder alone is never stopped" "$scratch/auto/model.safetensors" "$scratch/auto4/model.safetensors"
run $auto --keep 0.001% --out "$scratch/auto3"
code "distill --keep of nearly nothing: exit code" 1
says "distill --keep of nearly nothing" "of the model with one head and one channel everywhere"
run $auto --params 1G --out "$scratch/auto3"
says "distill --params of more than there are" "is more than the model's"
holds "distill with a goal that cannot be met: nothing is begun" test ! -e "$scratch/auto3"

run eval "$scratch/run/model" retrieval --data "$scratch/pairs" --json
code "eval retrieval: exit code" 0
holds "eval retrieval: the bad picture is counted" grep -q '"pairs": 12, "skipped": 1,' "$out"
for key in r1 r5 r10 mean_rank median_rank; do
    holds "eval retrieval has $key both ways" grep -q "\"image_to_text\": {[^}]*\"$key\": .*\"text_to_image\": {[^}]*\"$key\": " "$out"
done
run eval "$scratch/run/model" zeroshot --data "$scratch/pairs"
code "zero-shot without labels: exit code" 1
says "zero-shot without labels" "zero-shot classification needs labelled data"

# Labelled pictures: two IDX files and a list of classes; class 0 is black, class 1 white.
printf '\0\0\010\003\0\0\0\004\0\0\0\001\0\0\0\001\0\377\0\377' >"$scratch/images.idx"
printf '\0\0\010\001\0\0\0\004\0\001\0\001' >"$scratch/labels.idx"
printf 'black\nwhite\n' >"$scratch/classes"
printf '{}\na picture of {}\n' >"$scratch/templates"
run eval "$scratch/run/model" zeroshot --data "idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes" --templates "$scratch/templates" --json
code "eval zeroshot: exit code" 0
holds "eval zeroshot: top-5 of two classes is all" grep -q '"images": 4, "skipped": 0, "top1": [0-9.]*, "top5": 1.0' "$out"
holds "eval zeroshot: each class is counted" sh -c "tr '{' '\n' <'$out' | grep -q '\"name\": \"white\", \"images\": 2'"
run train --config "$scratch/student.json" --data "idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes" --eval-data "idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes" \
    --eval-every 2 --out "$scratch/labelled" --steps 4 --batch 4 --threads 1 --flip --crop-scale-min 0.9 --json
code "train on labelled pictures: exit code" 0
holds "train on labelled pictures gives the accuracy" grep -q '"top1": [01]\.' "$out"

# The figures of pairs while training; they change nothing in what is learnt, and their last ones are those of the trained model.
run train --config "$scratch/teacher.json" $common --eval-data "$scratch/pairs" --eval-every 4 --out "$scratch/watched" --steps 8 --json
code "train with pairs to evaluate on: exit code" 0
holds "train with pairs to evaluate on: no accuracy" grep -q '"top1": null' "$out"
holds "train with pairs to evaluate on: retrieval twice" sh -c "[ \$(grep -c '\"retrieval\":{\"pairs\":12,' '$scratch/watched/log.jsonl') -eq 2 ]"
same "evaluation on pairs changes nothing" "$scratch/run/model/model.safetensors" "$scratch/watched/model/model.safetensors"
"$tinyclip" eval "$scratch/watched/model" retrieval --data "$scratch/pairs" --json 2>"$err" | tr '{},' '\n\n\n' | sed -n 's/ *"\(r1\|r5\|r10\|mean_rank\|median_rank\)": *//p' |
    awk '{printf "%.6f\n", $1}' >"$scratch/want"
tail -n 1 "$scratch/watched/log.jsonl" | tr '{},' '\n\n\n' | sed -n 's/"\(r1\|r5\|r10\|mean_rank\|median_rank\)"://p' | awk '{printf "%.6f\n", $1}' >"$scratch/got"
holds "the last evaluation on pairs has ten figures" sh -c "[ \$(wc -l <'$scratch/got') -eq 10 ]"
same "the last evaluation on pairs is that of the trained model" "$scratch/want" "$scratch/got"

# A pruned model is trained like any other, and comes out as the file that can hold it; images of another size for teacher and student.
printf '{"embed_dim":16,"vision_cfg":{"image_size":8,"layers":2,"width":19,"patch_size":4,"head_width":8,"heads":[1,0],"mlp":[0,9]},' >"$scratch/pruned.json"
printf '"text_cfg":{"context_length":8,"vocab_size":49408,"width":11,"head_width":8,"heads":[0,1],"layers":2,"mlp":[5,null]}}' >>"$scratch/pruned.json"
run train --config "$scratch/pruned.json" $common --out "$scratch/pruned" --steps 2
code "train a pruned model: exit code" 0
holds "train a pruned model: a file" sh -c "test -s '$scratch/pruned/model.safetensors' && test ! -e '$scratch/pruned/model'"
run distill --teacher "$scratch/run/model" --student "$scratch/pruned/model.safetensors" $common --image-size 12 --out "$scratch/further" --steps 2
code "distill a pruned model further, other images: exit code" 0
run info "$scratch/further/model.safetensors" --json
holds "distill a pruned model further: what it is" sh -c "grep -q '\"vision_layer_heads\": \[1, 0\]' '$out' && grep -q '\"image_size\": 12' '$out'"
finish
