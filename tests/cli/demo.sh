#!/bin/sh
# demo.sh BUILD - the demonstration, in its quick form, on small pictures made here.
. tests/cli/tap.inc

# 200 pictures of 2x2 pixels, black or white, and their labels.
printf '\0\0\010\003\0\0\0\310\0\0\0\002\0\0\0\002' >"$scratch/images.idx"
printf '\0\0\010\001\0\0\0\310' >"$scratch/labels.idx"
i=0
while [ $i -lt 100 ]; do
    printf '\0\0\0\0\377\377\377\377' >>"$scratch/images.idx"
    printf '\0\001' >>"$scratch/labels.idx"
    i=$((i + 1))
done
printf 'black\nwhite\n' >"$scratch/classes"
printf '{}\na picture of something {}\n' >"$scratch/templates"
data=idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes

run demo --quick --out "$scratch/demo" --data "$data" --batch 8 --teacher-steps 40 --stage-steps 100 --threads 1
code "demo: exit code" 0
for f in teacher/model by-hand/model in-two-steps/model.safetensors in-one-step/model.safetensors report.html by-hand.json in-two-steps.json images/test-00.png; do
    holds "demo leaves $f" test -e "$scratch/demo/$f"
done
holds "demo: the table names teacher and students" sh -c "[ \$(grep -c '^teacher \|^50 % \|^25 % ' '$out') -eq 5 ]"
for d in by-hand in-two-steps in-one-step; do
    holds "demo: $d is finished" grep -q '"finished": *true' "$scratch/demo/$d/compress.json"
    holds "demo: $d is not measured by itself" grep -q '"images_per_second": *null' "$scratch/demo/$d/compress.json"
    holds "the report knows $d" grep -q "$d" "$scratch/demo/report.html"
done
holds "demo: teacher and stages are measured in one go" test "$(grep -c '"images_per_second": [1-9]' "$scratch/demo/speed.json")" -eq 5
holds "demo: the report says so" grep -q "all models in one go, taking turns" "$scratch/demo/report.html"
run report "$scratch/demo" -o "$scratch/again.html"
code "the report can be made again: exit code" 0
same "the report can be made again" "$scratch/demo/report.html" "$scratch/again.html"
run compress "$scratch/demo/teacher/model" --recipe "$scratch/demo/in-two-steps.json" --data "$data" --split train --out "$scratch/other" --seed 1 --threads 1
code "a recipe of the demonstration can be run again: exit code" 0
same "a recipe of the demonstration gives the same again" "$scratch/demo/in-two-steps/model.safetensors" "$scratch/other/model.safetensors"
run classify "$scratch/demo/in-two-steps/model.safetensors" "$scratch/demo/images" --labels "black,white"
code "the result classifies the test pictures: exit code" 0

run demo --quick --out "$scratch/demo" --data "$scratch/demo/images"
code "demo with pictures without labels: exit code" 1
finish
