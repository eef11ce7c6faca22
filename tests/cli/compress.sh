#!/bin/sh
# compress.sh BUILD - compressions in stages: what they leave; stopped and killed anywhere they go on to the same model, bit for bit; what is wrong
# is told before anything is written.
. tests/cli/tap.inc

# 60 pictures of 8x8 in three classes, each with its half or corner lighter, in two IDX files.
pixels() { # pixels CLASS NUMBER
    awk -v c="$1" -v n="$2" 'BEGIN { for (y = 0; y < 8; y++) for (x = 0; x < 8; x++) {
        on = c == 0 && x < 4 || c == 1 && y < 4 || c == 2 && x + y < 8
        printf "\\%03o", (on ? 180 : 30) + (x * 7 + y * 13 + n * 29) % 40 } }'
}
printf '\0\0\010\003\0\0\0\074\0\0\0\010\0\0\0\010' >"$scratch/images.idx"
printf '\0\0\010\001\0\0\0\074' >"$scratch/labels.idx"
i=0
while [ $i -lt 60 ]; do
    printf "$(pixels $((i % 3)) $i)" >>"$scratch/images.idx"
    printf "\\00$((i % 3))" >>"$scratch/labels.idx"
    i=$((i + 1))
done
printf 'left\ntop\ncorner\n' >"$scratch/classes"
data=idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes

config() { # config LAYERS WIDTH TEXT_LAYERS TEXT_WIDTH
    printf '{"embed_dim":16,"vision_cfg":{"image_size":8,"layers":%d,"width":%d,"patch_size":4,"head_width":8},' "$1" "$2"
    printf '"text_cfg":{"context_length":8,"vocab_size":49408,"width":%d,"heads":%d,"layers":%d}}\n' "$4" $(($4 / 8)) "$3"
}
automatic() { printf '{"name":"%s","inheritance":"auto","keep":%s,"fold_step":%d,"mask_lr":0.3,"steps":%d}' "$1" "$2" "$3" "$4"; }
manual() { printf '{"name":"%s","inheritance":"manual","student":%s,"steps":%d}' "$1" "$2" "$3"; }
recipe() { printf '{"name":"%s","train":{"batch":12,"lr":1e-3,"checkpoint_every":2,"crop_scale_min":0.8},"cache_augmentations":%d,"stages":[%s,%s,%s]}\n' "$@"; }
config 2 32 2 16 >"$scratch/teacher.json"
recipe three 0 "$(automatic 75 0.75 12 24)" "$(automatic 50 0.5 12 24)" "$(automatic 25 0.25 12 24)" >"$scratch/three.json"
recipe mixed 2 "$(manual half "$(config 2 24 2 16)" 20)" "$(manual less "$(config 2 16 2 16)" 20)" "$(automatic rest 0.2 10 20)" >"$scratch/mixed.json"

run train --config "$scratch/teacher.json" --data "$data" --out "$scratch/teacher" --steps 60 --batch 12 --threads 1 --lr 1e-3
code "the teacher: exit code" 0
teacher=$scratch/teacher/model
common="--data $data --eval-data $data --threads 1 --workers 1 --speed-seconds 0"
compress="compress $teacher --recipe $scratch/three.json $common"

# ---- what a compression leaves
run $compress --out "$scratch/whole" --seed 5
code "three automatic stages: exit code" 0
says "the stages are told" 'stage 2 of 3, "50": automatic inheritance, to 50 % of the teacher'
holds "the table has the teacher and each stage" sh -c "grep -q '^teacher ' '$out' && grep -q '^75 ' '$out' && grep -q '^25 ' '$out'"
for f in compress.json stage-1/log.jsonl stage-2/log.jsonl stage-3/log.jsonl stage-3/model.safetensors model.safetensors; do
    holds "a compression leaves $f" test -s "$scratch/whole/$f"
done
same "the model is that of the last stage" "$scratch/whole/stage-3/model.safetensors" "$scratch/whole/model.safetensors"
# The N-th largest count; the largest is the teacher's.
prunable() { tr -d ' \n' <"$scratch/whole/compress.json" | grep -o '"params_prunable":[0-9]*' | sed 's/.*://' | sort -rn | sed -n "$1p"; }
near() { # near PERCENT N: the N-th largest is that part of the largest within 1 %, which is more than one channel of these towers
    awk -v whole="$(prunable 1)" -v part="$(prunable "$2")" -v goal="$1" 'BEGIN { d = 100 * part / whole - goal; exit !(d > -1 && d < 1) }'
}
holds "stage 1 leaves 75 %" near 75 2
holds "stage 2 leaves 50 %" near 50 3
holds "stage 3 leaves 25 %" near 25 4
holds "compress.json: finished" sh -c "tr -d ' \n' <'$scratch/whole/compress.json' | grep -q '\"finished\":true'"
run info "$scratch/whole/model.safetensors" --json
holds "the card names the recipe and the stages" sh -c "grep -q '\"recipe\": \"three\"' '$out' && grep -q '\"name\": \"75\"' '$out' && grep -q '\"name\": \"25\"' '$out'"
holds "the card has no folder and no time" sh -c "! grep -q 'stage-\|$scratch/whole\|second' '$out'"
run $compress --out "$scratch/whole" --seed 5
code "into the folder of another compression: exit code" 1
says "into the folder of another compression" "$scratch/whole: there is a compression in it; resume that one or choose another folder"
run $compress --out "$scratch/whole" --seed 5 --resume
code "resume what is complete: exit code" 0
run $compress --out "$scratch/whole" --seed 5 --resume --json
holds "--json prints the record" grep -q '"finished": true' "$out"

mixed="compress $teacher --recipe $scratch/mixed.json $common"
run $mixed --out "$scratch/mixed"
code "manual stages, then an automatic one, with a teacher cache: exit code" 0
says "the cache is filled by the first stage" "stage 1 of 3"
holds "the cache is there" test -s "$scratch/mixed/teacher-cache/teacher.cache"

# ---- stopped
run $compress --out "$scratch/stopped" --seed 5 --stop-after 7
code "--stop-after: exit code" 0
holds "--stop-after: it is said how to go on" grep -q "0 of 3 stages are done; go on with --resume" "$out"
holds "--stop-after: no model" test ! -e "$scratch/stopped/model.safetensors"
for n in 5 12 1 11 24; do run $compress --out "$scratch/stopped" --seed 5 --resume --stop-after $n; done
run $compress --out "$scratch/stopped" --seed 5 --resume
code "stopped six times and resumed: exit code" 0
same "stopped six times and resumed: the same model" "$scratch/whole/model.safetensors" "$scratch/stopped/model.safetensors"

# By the folder alone, from wherever.
program=$(realpath "$tinyclip")
cp "$scratch/three.json" "$scratch/copy.json"
(cd "$scratch" && "$program" compress teacher/model --recipe copy.json --data idx:images.idx,labels.idx,classes --eval-data "$data" --threads 1 --workers 1 \
    --speed-seconds 0 --seed 5 --out alone --stop-after 30) >"$out" 2>"$err" </dev/null
code=$?
code "with relative places: exit code" 0
holds "it is said how to go on by the folder alone" grep -q "go on with --resume alone" "$out"
(cd / && "$program" compress --resume "$scratch/alone" --stop-after 10) >"$out" 2>"$err" </dev/null
code=$?
code "--resume DIR: exit code" 0
mv "$scratch/copy.json" "$scratch/moved.json"
run compress --resume "$scratch/alone"
code "--resume DIR, the recipe is gone: exit code" 1
says "--resume DIR, the recipe is gone" "--recipe $scratch/copy.json is not there any more; say where it is now with --recipe"
run compress "$teacher" --resume "$scratch/alone" --recipe "$scratch/moved.json"
code "--resume DIR with teacher and recipe: exit code" 0
same "--resume DIR: the same model" "$scratch/whole/model.safetensors" "$scratch/alone/model.safetensors"
run compress --resume
code "--resume alone: exit code" 2
says "--resume alone" "an argument is missing"

# Killed at places that are hard to meet: after the last step before it is noted, before the model is put in its place, in the middle of that.
undone() { # undone DIR N: a copy of the whole compression in which stage N and those after it, and the end, are not noted
    cp -r "$scratch/whole" "$1"
    awk -v from="$2" '/"teacher_loss"/ { k++ } k >= from && /"done": true/ { sub("true", "false") } /"finished"/ { sub("true", "false") } { print }' \
        "$scratch/whole/compress.json" >"$1/compress.json"
}
undone "$scratch/unnoted" 3
rm "$scratch/unnoted/model.safetensors"
run $compress --out "$scratch/unnoted" --seed 5 --resume
code "a last stage that was not noted: exit code" 0
same "a last stage that was not noted: the same model" "$scratch/whole/model.safetensors" "$scratch/unnoted/model.safetensors"
undone "$scratch/unplaced" 4
mv "$scratch/unplaced/model.safetensors" "$scratch/unplaced/model.tmp-partial"
run $compress --out "$scratch/unplaced" --seed 5 --resume
same "a model that was not in its place: the same model" "$scratch/whole/model.safetensors" "$scratch/unplaced/model.safetensors"
holds "a model that was not in its place: nothing is left over" test ! -e "$scratch/unplaced/model.tmp-partial"
undone "$scratch/unwritten" 2
rm -r "$scratch/unwritten/model.safetensors" "$scratch/unwritten/stage-2/model.safetensors" "$scratch/unwritten/stage-3"
run $compress --out "$scratch/unwritten" --seed 5 --resume
same "a stage without its model: the same model" "$scratch/whole/model.safetensors" "$scratch/unwritten/model.safetensors"

# ---- killed at random, 20 times; and a few times with manual stages and a cache
seed=$(awk 'BEGIN { srand(); print int(rand() * 100000) }')
echo "# seed $seed"
awk -v seed="$seed" 'BEGIN { srand(seed); for (i = 0; i < 400; i++) printf "%.3f\n", 0.03 + 0.25 * rand() }' >"$scratch/numbers"
next() { # the next random number of seconds
    sed -n 1p "$scratch/numbers"
    sed -i 1d "$scratch/numbers"
}
killed() { # killed DIR MOST COMMAND...: runs it until it ends by itself, killing it up to MOST times before; $kills gets how often
    dir=$1 most=$2 kills=0
    shift 2
    while :; do
        [ -e "$dir/compress.json" ] && resume=--resume || resume=
        "$tinyclip" "$@" --out "$dir" $resume >"$out" 2>"$err" </dev/null &
        pid=$!
        [ $kills -lt "$most" ] || break
        sleep "$(next)"
        kill -9 $pid 2>"$scratch/why"
        wait $pid 2>"$scratch/why"
        code=$?
        [ $code -eq 137 ] || return
        kills=$((kills + 1))
    done
    wait $pid
    code=$?
}
total=0
while [ $total -lt 20 ]; do
    rm -rf "$scratch/killed"
    killed "$scratch/killed" $((20 - total)) $compress --seed 5
    total=$((total + kills))
    [ $code -eq 0 ] || break
    cmp -s "$scratch/whole/model.safetensors" "$scratch/killed/model.safetensors" || break
done
code "kill -9: exit code in the end" 0
holds "kill -9: 20 times" [ $total -ge 20 ]
same "kill -9: the same model in the end" "$scratch/whole/model.safetensors" "$scratch/killed/model.safetensors"
steps() { sed -n 's/^{"step":\([0-9]*\),"epoch".*/\1/p' "$1" | tr '\n' ' '; }
for k in 1 2 3; do holds "kill -9: one line a step in the log of stage $k" [ "$(steps "$scratch/killed/stage-$k/log.jsonl")" = "$(seq -s ' ' 24) " ]; done
holds "kill -9: nothing is left over" sh -c "[ -z \"\$(find '$scratch/killed' -name '*.tmp-*')\" ]"
killed "$scratch/killed-mixed" 6 $mixed
code "kill -9, manual stages and cache: exit code in the end" 0
same "kill -9, manual stages and cache: the same model in the end" "$scratch/mixed/model.safetensors" "$scratch/killed-mixed/model.safetensors"

# ---- another compression in the folder
refused() { # refused NAME TEXT ARG...: exit code 1, that message alone, and no folder $scratch/new
    name=$1 text=$2
    shift 2
    run "$@"
    code "$name: exit code" 1
    says "$name" "$text"
    holds "$name: one line" [ "$(wc -l <"$err")" -eq 1 ]
    holds "$name: nothing is written" test ! -e "$scratch/new"
}
refused "resume with another seed" "cannot resume another compression: seed was 5 and is now 6" $compress --out "$scratch/whole" --resume --seed 6
refused "resume with another goal" "cannot resume another compression: recipe.stages[2].keep was 0.25 and is now 0.3" \
    $compress --out "$scratch/whole" --resume --seed 5 --keep 30%
refused "resume with another teacher" "cannot resume another compression: teacher." \
    compress "$scratch/mixed/stage-1/model" --recipe "$scratch/three.json" $common --out "$scratch/whole" --resume --seed 5
printf 'links\ntop\ncorner\n' >"$scratch/classes2"
refused "resume with other data" "cannot resume another compression: data.hash was" compress "$teacher" --recipe "$scratch/three.json" --threads 1 \
    --data "idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes2" --eval-data "$data" --out "$scratch/whole" --resume --seed 5
refused "resume what is not there" "$scratch/new: there is no compression to resume in it" $compress --out "$scratch/new" --resume
undone "$scratch/changed" 2
printf 'x' | dd of="$scratch/changed/stage-1/model.safetensors" bs=1 seek=40000 conv=notrunc 2>"$scratch/why"
run $compress --out "$scratch/changed" --seed 5 --resume
code "a stage's model was changed: exit code" 1
says "a stage's model was changed" "the weights of stage-1 are not those that stage 1 ended with"
for text in '' '{' '[]' '{"teacher":{},"recipe":{}}'; do
    printf '%s' "$text" >"$scratch/changed/compress.json"
    run $compress --out "$scratch/changed" --seed 5 --resume
    code "a damaged record '$text': exit code" 1
    says "a damaged record '$text': it is named" "$scratch/changed/compress.json: "
done

# ---- what is wrong is told before anything is written
wrong() { # wrong NAME TEXT RECIPE ARG...
    name=$1 text=$2
    printf '%s' "$3" >"$scratch/wrong.json"
    shift 3
    refused "$name" "$text" compress "$teacher" --recipe "$scratch/wrong.json" $common --out "$scratch/new" "$@"
}
stages() { printf '{"name":"x","train":{"batch":12},"stages":[%s]}' "$1"; }
wrong "a wrong key" "wrong.json: stages[0].keeps: there is no such key in an automatic stage; known are" \
    "$(stages "$(automatic a 0.5 5 10 | sed 's/"keep"/"keeps"/')")"
wrong "an impossible target" "wrong.json: stages[0].keep: must be a number above 0 to 1" "$(stages "$(automatic a 0 5 10)")"
wrong "stages that grow" "wrong.json: stages[1].keep: 0.6 is more than the 0.5 of a stage before; stages must not grow" \
    "$(stages "$(automatic a 0.5 5 10),$(automatic b 0.6 5 10)")"
wrong "a student larger than the teacher" \
    "wrong.json: stages[0].student: inherit: visual.class_embedding is [40] in the student, larger than the teacher's [32]; stages must not grow" \
    "$(stages "$(manual a "$(config 2 40 2 16)" 5)")"
wrong "a student with more blocks than the teacher" "the student has 3 vision layers, its teacher only 2; stages must not grow" \
    "$(stages "$(manual a "$(config 3 32 2 16)" 5)")"
wrong "a manual stage larger than what an automatic one leaves" "stages[1].student: it has" \
    "$(stages "$(automatic a 0.2 5 10),$(manual b "$(config 2 24 2 16)" 5)")"
wrong "an automatic stage larger than a manual one before" "stages[1].keep: the goal is" \
    "$(stages "$(manual b "$(config 1 16 1 8)" 5),$(automatic a 0.9 5 10)")"
wrong "too few parameters" "wrong.json: stages[0].params: the goal of 100 parameters without the token table is impossible" \
    "$(stages "$(automatic a 0.5 5 10)")" --params 100
wrong "too few multiply-accumulates" "wrong.json: stages[0].macs: the goal of 100 multiply-accumulates is impossible" \
    "$(stages "$(automatic a 0.5 5 10)")" --macs 100
wrong "more parameters than there are" "stages must not grow" "$(stages "$(automatic a 0.5 5 10)")" --params 20M
wrong "a fold after the end of the epochs" "wrong.json: stages[0].fold_step: 50 is not before the end of the stage's 10 steps (2 epochs of 60 samples)" \
    "$(stages "$(automatic a 0.5 50 10 | sed 's/"steps":10/"epochs":2/')")"
wrong "a goal for a manual stage" "a goal can be set for an automatic stage only, and the last one, \"a\", is manual" \
    "$(stages "$(manual a "$(config 1 16 1 8)" 5)")" --keep 50%
sed 's/"cache_augmentations":0/"cache_augmentations":2/' "$scratch/three.json" >"$scratch/cached.json"
refused "another teacher's cache" "teacher-cache/teacher.cache: the teacher cache belongs to another teacher" compress "$scratch/whole/model.safetensors" \
    --recipe "$scratch/cached.json" $common --teacher-cache "$scratch/mixed/teacher-cache" --out "$scratch/new"
wrong "a cache that the recipe does not want" "wrong.json: cache_augmentations: it must be set for a teacher cache to be used" \
    "$(stages "$(automatic a 0.5 5 10)")" --teacher-cache "$scratch/mixed/teacher-cache"
refused "no such recipe" "no-such.json: cannot open" compress "$teacher" --recipe no-such.json $common --out "$scratch/new"

# ---- dry run
run $compress --out "$scratch/new" --dry-run
code "--dry-run: exit code" 0
holds "--dry-run: nothing is written" test ! -e "$scratch/new"
holds "--dry-run: the stages" sh -c "grep -q '^3   25 ' '$out' && grep -q '^stage 3, \"25\": automatic inheritance, 24 steps of 12 pairs, masks folded after 12' '$out'"
holds "--dry-run: memory and time" sh -c "grep -q 'memory [0-9]* MB' '$out' && grep -q '^all stages: about ' '$out'"
run $mixed --out "$scratch/new" --dry-run --json
code "--dry-run --json: exit code" 0
for key in recipe_name params_prunable memory seconds keep; do holds "--dry-run --json has $key" grep -q "\"$key\":" "$out"; done
holds "--dry-run --json: a manual stage is what it will be" grep -q '"vision_summary": "2 blocks, width 16, 2 heads, 64 FFN channels"' "$out"
finish
