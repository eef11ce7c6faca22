#!/bin/sh
# cache.sh BUILD - distill --teacher-cache: the same model with the cache empty and full, and one clear error for each cache that does not belong.
. tests/cli/tap.inc
. tests/cli/pairs.inc

weights=model/model.safetensors
run train --config "$scratch/teacher.json" --data "$scratch/pairs" --batch 6 --threads 1 --steps 2 --out "$scratch/t"
cp -R "$scratch/t/model" "$scratch/teacher"
common="--student $scratch/student.json --inherit --data $scratch/pairs --batch 6 --threads 1 --lr 1e-3 --steps 12 --crop-scale-min 0.5"
distill="distill --teacher $scratch/teacher $common"

run $distill --out "$scratch/plain" --cache-augmentations 2
code "without a cache: exit code" 0
run $distill --out "$scratch/first" --cache-augmentations 2 --teacher-cache "$scratch/cache-2"
code "an empty cache: exit code" 0
says "an empty cache: it is told" "teacher cache: $scratch/cache-2/teacher.cache, up to 1 MB"
says "an empty cache: what was computed is told" "taken from it, 24 computed"
same "an empty cache: the same model" "$scratch/plain/$weights" "$scratch/first/$weights"
run $distill --out "$scratch/second" --cache-augmentations 2 --teacher-cache "$scratch/cache-2"
says "a full cache: nothing is computed" "pairs taken from it, 0 computed"
same "a full cache: the same model" "$scratch/plain/$weights" "$scratch/second/$weights"
run $distill --out "$scratch/four" --stop-after 1 --teacher-cache "$scratch/cache-4"
holds "four augmentations unless told otherwise" [ "$(wc -c <"$scratch/cache-4/teacher.cache")" -eq $((4096 + 4 * 13 * (8 * 16 + 8))) ]

refused() { # refused NAME TEXT ARG...: the run is refused, with this text, before it leaves anything
    name=$1 text=$2
    shift 2
    rm -rf "$scratch/x"
    run "$@" --out "$scratch/x" --teacher-cache "$scratch/cache-2" --cache-augmentations 2
    code "$name: exit code" 1
    says "$name" "tinyclip: $scratch/cache-2/teacher.cache: $text"
    holds "$name: one line" [ "$(wc -l <"$err")" -eq 1 ]
    holds "$name: nothing was computed" test ! -e "$scratch/x/log.jsonl"
}
remedy="name another folder, or remove the file"
run train --init "$scratch/teacher" --data "$scratch/pairs" --batch 6 --threads 1 --lr 1e-3 --steps 1 --out "$scratch/u"
refused "another teacher's weights" "the teacher cache belongs to another teacher (its weights differ): " distill --teacher "$scratch/u/model" $common
refused "another teacher" "the teacher cache belongs to another teacher (its configuration differs): " distill --teacher "$scratch/plain/model" $common
refused "another seed" "the teacher cache belongs to another seed: 0 there, 5 here; $remedy" $distill --seed 5
refused "another crop" "the teacher cache belongs to another smallest crop: 0.5 there, 0.75 here; $remedy" $distill --crop-scale-min 0.75
refused "mirror images" "the teacher cache belongs to another choice of mirroring: off there, on here; $remedy" $distill --flip
refused "a part of the data" "the teacher cache belongs to another number of samples: 13 there, " $distill --split train
cp -p "$scratch/pairs/3.txt" "$scratch/3.txt"
echo "other words" >"$scratch/pairs/3.txt"
refused "a changed caption" "the teacher cache belongs to another set of data (names, captions, labels, or files that have changed): " $distill
cp -p "$scratch/3.txt" "$scratch/pairs/3.txt"
cp "$scratch/cache-2/teacher.cache" "$scratch/copy"
printf 'x' | dd of="$scratch/cache-2/teacher.cache" bs=1 conv=notrunc 2>"$scratch/why"
refused "no cache at all" "not a teacher cache; $remedy" $distill
cp "$scratch/copy" "$scratch/cache-2/teacher.cache"
printf 'x' | dd of="$scratch/cache-2/teacher.cache" bs=1 seek=40 conv=notrunc 2>"$scratch/why"
refused "a damaged header" "the header of the teacher cache is damaged, its checksum is wrong; $remedy" $distill
head -c 5000 "$scratch/copy" >"$scratch/cache-2/teacher.cache"
refused "a short file" "the teacher cache has 5000 bytes, expected $(wc -c <"$scratch/copy"); $remedy" $distill
cp "$scratch/copy" "$scratch/cache-2/teacher.cache"
printf 'x' | dd of="$scratch/cache-2/teacher.cache" bs=1 seek=5000 conv=notrunc 2>"$scratch/why"
run $distill --out "$scratch/third" --cache-augmentations 2 --teacher-cache "$scratch/cache-2"
says "a damaged row: it is said" "warning: $scratch/cache-2/teacher.cache: 1 damaged row computed again"
same "a damaged row: the same model" "$scratch/plain/$weights" "$scratch/third/$weights"

# Resuming asks for the same augmentation.
rm "$scratch/cache-2/teacher.cache"
run $distill --out "$scratch/part" --cache-augmentations 2 --teacher-cache "$scratch/cache-2" --stop-after 5
code "stopped: exit code" 0
run $distill --out "$scratch/part" --cache-augmentations 3 --teacher-cache "$scratch/cache-3" --resume
code "resumed with another number of augmentations: exit code" 1
says "resumed with another number of augmentations" "cannot resume with other settings: cache_augmentations was 2 and is now 3"
run $distill --out "$scratch/part" --resume
says "resumed without the cache" "cannot resume with other settings: cache_augmentations was 2 and is now absent"
run $distill --out "$scratch/part" --cache-augmentations 2 --teacher-cache "$scratch/cache-2" --resume
code "resumed: exit code" 0
same "resumed: the same model" "$scratch/plain/$weights" "$scratch/part/$weights"
finish
