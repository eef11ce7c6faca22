#!/bin/sh
# resume.sh BUILD - a training run that is stopped, killed or out of space goes on to the same model, bit for bit.
. tests/cli/tap.inc
. tests/cli/pairs.inc

weights=model/model.safetensors
steps=180
common="--data $scratch/pairs --batch 6 --threads 1 --workers 1 --lr 1e-3 --steps $steps --flip --crop-scale-min 0.5"
train="train --config $scratch/teacher.json $common"

run $train --out "$scratch/whole"
code "the undisturbed run: exit code" 0
run distill --teacher "$scratch/whole/model" --student "$scratch/student.json" --inherit $common --out "$scratch/whole-student"
code "the undisturbed distillation: exit code" 0
distill="distill --teacher $scratch/whole/model --student $scratch/student.json --inherit $common"

background() { # background ARG...: starts the program; its number is in $pid
    "$tinyclip" "$@" >"$out" 2>"$err" </dev/null &
    pid=$!
}
logged() { # logged DIR N: waits until N steps are in the log, or the program has ended
    tries=0
    while [ "$(cat "$1/log.jsonl" 2>"$scratch/why" | wc -l)" -lt "$2" ] && kill -0 $pid 2>/dev/null && [ $tries -lt 1000 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
}
whole_log() { # whole_log DIR: one line a step, in order
    [ "$(sed -n 's/^{"step":\([0-9]*\),.*}$/\1/p' "$1/log.jsonl" | tr '\n' ' ')" = "$(seq -s ' ' $steps) " ]
}
no_leftovers() { [ -z "$(find "$1" -name '*.tmp-*')" ]; }

# SIGTERM and SIGINT: the step is finished, a checkpoint saved, the exit code is 0; again and again.
for how in "TERM $train" "INT $distill"; do
    signal=${how%% *} verb=${how#* }
    what="${verb%% *}, SIG$signal" dir=$scratch/stopped-$signal wanted=5 resume= stops=0
    [ "$signal" = TERM ] && whole=$scratch/whole || whole=$scratch/whole-student
    while [ ! -e "$dir/$weights" ] && [ $wanted -lt $((steps + 60)) ]; do
        background $verb --out "$dir" $resume
        logged "$dir" $wanted
        kill -$signal $pid
        wait $pid
        code=$?
        grep -q "go on with resume" "$err" && stops=$((stops + 1))
        [ $code -eq 0 ] || break
        resume=--resume wanted=$(($(wc -l <"$dir/log.jsonl") + 40)) # so that the signal comes after the start
    done
    code "$what: exit code" 0
    holds "$what: it was stopped" [ $stops -gt 0 ]
    same "$what: the same model in the end" "$whole/$weights" "$dir/$weights"
    holds "$what: one line a step in the log" whole_log "$dir"
done

# kill -9, most of the time in the middle of a save, since there is one after every step.
resume= kills=0 k=0
while [ $k -lt 20 ]; do
    background $train --out "$scratch/killed" --checkpoint-every 1 $resume
    case $((k % 4)) in 0) sleep 0.10 ;; 1) sleep 0.15 ;; 2) sleep 0.20 ;; 3) sleep 0.25 ;; esac
    kill -9 $pid
    wait $pid
    [ $? -eq 137 ] && kills=$((kills + 1))
    ls "$scratch/killed"/checkpoint-*.safetensors >"$scratch/why" 2>&1 && resume=--resume
    k=$((k + 1))
done
holds "kill -9: it was killed" [ $kills -gt 0 ]
run $train --out "$scratch/killed" --checkpoint-every 1 $resume
code "kill -9: exit code in the end" 0
same "kill -9: the same model in the end" "$scratch/whole/$weights" "$scratch/killed/$weights"
holds "kill -9: one line a step in the log" whole_log "$scratch/killed"
holds "kill -9: no temporary files are left" no_leftovers "$scratch/killed"

# No space: files may not grow beyond half of a checkpoint.
run $train --out "$scratch/full" --stop-after 20
code "before the disk is full: exit code" 0
size=$(wc -c <"$scratch/full/checkpoint-000000000020.safetensors")
(
    trap '' XFSZ
    ulimit -f $((size / 1024 + 1)) # in units of 512 bytes
    "$tinyclip" $train --out "$scratch/full" --checkpoint-every 10 --resume
) >"$out" 2>"$err" </dev/null
code=$?
code "no space for a checkpoint: exit code" 1
says "no space for a checkpoint: the file is named" "$scratch/full/checkpoint-000000000030.safetensors: cannot write: File too large"
holds "no space for a checkpoint: the one before is there" test -s "$scratch/full/checkpoint-000000000020.safetensors"
holds "no space for a checkpoint: no temporary files are left" no_leftovers "$scratch/full"
run $train --out "$scratch/full" --resume
same "there is space again: the same model in the end" "$scratch/whole/$weights" "$scratch/full/$weights"

# A damaged newest checkpoint.
run $train --out "$scratch/damaged" --stop-after 40 --checkpoint-every 20
printf 'x' | dd of="$scratch/damaged/checkpoint-000000000040.safetensors" bs=1 seek=$((size / 2)) conv=notrunc 2>"$scratch/why"
run $train --out "$scratch/damaged" --resume
code "damaged checkpoint: exit code" 0
says "damaged checkpoint: it is said" "warning: $scratch/damaged/checkpoint-000000000040.safetensors: the checkpoint is damaged; trying the one before"
says "damaged checkpoint: the one before is taken" "resumed from $scratch/damaged/checkpoint-000000000020.safetensors"
same "damaged checkpoint: the same model in the end" "$scratch/whole/$weights" "$scratch/damaged/$weights"
for f in "$scratch/damaged"/checkpoint-*; do : >"$f"; done
run $train --out "$scratch/damaged" --resume
code "only damaged checkpoints: exit code" 1
says "only damaged checkpoints" "tinyclip: $scratch/damaged: no checkpoint in it is valid"

# Two runs on one folder; other settings.
background train --config "$scratch/teacher.json" --data "$scratch/pairs" --batch 6 --threads 1 --out "$scratch/busy" --steps 100000
logged "$scratch/busy" 1
"$tinyclip" $train --out "$scratch/busy" >"$scratch/out2" 2>"$scratch/err2" </dev/null
code=$?
kill $pid
wait $pid
err=$scratch/err2
code "a folder in use: exit code" 1
says "a folder in use" "tinyclip: $scratch/busy: another training run is using this folder"
err=$scratch/err
run $train --out "$scratch/full" --resume --lr 1e-4
code "resume with another learning rate: exit code" 1
says "resume with another learning rate" "cannot resume with other settings: lr was 0.001 and is now 0.0001"
run train --config "$scratch/student.json" $common --out "$scratch/full" --resume
code "resume with another model: exit code" 1
says "resume with another model" "cannot resume with other settings: model."
run $train --out "$scratch/nothing" --resume
code "resume without a checkpoint: exit code" 1
says "resume without a checkpoint" "there is no checkpoint to resume from"

# By the folder alone, from wherever: what the run was asked is in its run.json.
program=$(realpath "$tinyclip")
from() { # from FOLDER ARG...: runs the program there
    folder=$1
    shift
    (cd "$folder" && "$program" "$@") >"$out" 2>"$err" </dev/null
    code=$?
}
rest="--batch 6 --threads 1 --workers 1 --lr 1e-3 --steps $steps --flip --crop-scale-min 0.5"
from "$scratch" train --config teacher.json --data pairs $rest --out alone --stop-after 50
code "with relative places: exit code" 0
holds "what the run was asked is noted" grep -q '"crop_scale_min": 0.5' "$scratch/alone/run.json"
from / train --resume "$scratch/alone" --stop-after 30
code "--resume DIR: exit code" 0
says "--resume DIR goes on" "resumed from $scratch/alone/checkpoint-000000000050.safetensors"
from "$scratch/alone" train --resume .
code "--resume DIR, in it: exit code" 0
same "--resume DIR: the same model in the end" "$scratch/whole/$weights" "$scratch/alone/$weights"
holds "--resume DIR: one line a step in the log" whole_log "$scratch/alone"
run train --resume "$scratch/alone"
code "--resume DIR of what is complete: exit code" 0
run train --resume "$scratch/alone" --lr 1e-4
code "--resume DIR with another learning rate: exit code" 1
says "--resume DIR with another learning rate" "cannot resume with other settings: lr was 0.001 and is now 0.0001"
run train --resume "$scratch/alone" --out "$scratch/other"
code "--resume DIR and another --out: exit code" 2
says "--resume DIR and another --out" "--resume $scratch/alone and --out $scratch/other are two folders; name one"

# A teacher that lies elsewhere now.
cp -r "$scratch/whole/model" "$scratch/mentor"
cp -r "$scratch/pairs" "$scratch/pictures"
from "$scratch" distill --teacher mentor --student student.json --inherit --data pictures $rest --out pupil --stop-after 50
code "a distillation: exit code" 0
mv "$scratch/mentor" "$scratch/sage"
run distill --resume "$scratch/pupil"
code "its teacher is gone: exit code" 1
says "its teacher is gone" "tinyclip: --teacher $scratch/mentor is not there any more; say where it is now with --teacher"
run distill --resume "$scratch/pupil" --teacher "$scratch/sage" --stop-after 30
code "its teacher is named anew: exit code" 0
mv "$scratch/pictures" "$scratch/photos"
run distill --resume "$scratch/pupil"
code "its data is gone: exit code" 1
says "its data is gone" "tinyclip: --data $scratch/pictures is not there any more; say where it is now with --data"
run distill --resume "$scratch/pupil" --data "$scratch/photos"
code "all named anew: exit code" 0
same "all named anew: the same model in the end" "$scratch/whole-student/$weights" "$scratch/pupil/$weights"

# A run.json of another verb, or none, or none that is right.
run train --resume "$scratch/pupil"
code "--resume DIR of another verb: exit code" 1
says "--resume DIR of another verb" "$scratch/pupil: it is no run of train, but of distill"
run train --resume "$scratch/nothing"
code "--resume DIR of nothing: exit code" 1
says "--resume DIR of nothing" "$scratch/nothing/run.json: "
for text in '' '{' '[]' '{"restart":3}' '{"restart":["tinyclip",1]}' '{"restart":[]}' '{"restart":["tinyclip","train","--lr"]}'; do
    mkdir -p "$scratch/spoilt"
    printf '%s' "$text" >"$scratch/spoilt/run.json"
    run train --resume "$scratch/spoilt"
    holds "a run.json of '$text' is refused" [ $code -eq 1 -o $code -eq 2 ]
done
printf '{"settings":{}}' >"$scratch/spoilt/run.json"
run train --resume "$scratch/spoilt"
says "a run.json without words" "it does not say how the run was started; give its options again"
finish
