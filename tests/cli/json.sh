#!/bin/sh
# json.sh BUILD - --json on every verb: one object on one line, whether it goes well or not; its keys are those of the manual page, each with one type
# and, for one model, one value whatever the verb.
. tests/cli/tap.inc
keys=$1/tests/cli/json_keys
gelu=tests/data/goldens/models/hf_vit_gelu/safetensors vit=tests/data/goldens/models/hf_vit picture=tests/data/goldens/preprocess/images/png_rgb.png
golden=tests/data/goldens/models/hf_vit_gelu
: >"$scratch/seen"

# The manual page's table: "key type" or "key type or null".
sed -n '/^\.SH JSON/,/^\.SH ENV/s/^\\fB\(.*\)\\fR (\(.*\))$/\1 \2/p' docs/tinyclip.1 | sed 's/\\e/\\/g; s/\\-/-/g' >"$scratch/known"
closed="config card command recipe inputs masks"

one_object() { # one_object NAME: the last output is one object; its keys are kept
    if "$keys" $closed <"$out" >"$scratch/keys" 2>"$scratch/why"; then result "$1: one object" 1; else result "$1: one object" 0 "$scratch/why"; fi
    sed "s/\$/ $verb/" "$scratch/keys" >>"$scratch/seen"
}
good() { # good VERB ARG...
    verb=$1
    run "$@" --json
    code "$verb --json: exit code" 0
    one_object "$verb --json"
    echo "$verb" >>"$scratch/tried"
}
bad() { # bad STATUS VERB ARG...: fails with an object that says so, and a line that says the same
    status=$1 verb=$2
    shift
    run "$@" --json
    holds "$verb --json fails: exit code" test "$code" -ne 0
    one_object "$verb --json fails"
    holds "$verb --json fails: $status" grep -q "^{\"error\": {\"status\": \"$status\", \"message\": \"..*\"}}\$" "$out"
    message=$(sed 's/.*"message": "\(.*\)"}}$/\1/' "$out")
    says "$verb --json fails: standard error says the same" "$message"
    echo "$verb" >>"$scratch/failed-verbs"
}
value() { # value KEY: of the last output
    tr ',{}' '\n\n\n' <"$out" | sed -n "s/^ *\"$1\": *//p" | head -n 1
}

# ---- what there is to work with: pairs, labelled pictures, a recipe
mkdir "$scratch/pairs"
i=0
while [ $i -lt 8 ]; do
    cp $picture "$scratch/pairs/$i.png" && echo "picture number $i" >"$scratch/pairs/$i.txt"
    i=$((i + 1))
done
printf '\0\0\010\003\0\0\0\050\0\0\0\002\0\0\0\002' >"$scratch/images.idx"
printf '\0\0\010\001\0\0\0\050' >"$scratch/labels.idx"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    printf '\0\0\0\0\377\377\377\377' >>"$scratch/images.idx"
    printf '\0\001' >>"$scratch/labels.idx"
done
printf 'black\nwhite\n' >"$scratch/classes"
data=idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes
config() {
    printf '{"embed_dim":16,"vision_cfg":{"image_size":8,"layers":%d,"width":16,"patch_size":4,"head_width":8},' "$1"
    printf '"text_cfg":{"context_length":8,"vocab_size":49408,"width":16,"heads":2,"layers":1}}\n'
}
config 2 >"$scratch/teacher.json"
config 1 >"$scratch/student.json"
printf '{"name":"r","train":{"batch":4},"stages":[{"name":"half","inheritance":"auto","keep":0.5,"fold_step":2,"steps":4}]}' >"$scratch/recipe.json"
common="--batch 4 --threads 1"

# ---- every verb, well and badly
good info
good info $gelu --tensors
params=$(value params) without=$(value params_without_tokens)
good info RN50
bad io info nowhere
bad usage info $picture
good convert $gelu "$scratch/converted.safetensors"
holds "convert counts as info does" test "$(value params)" = "$params"
bad argument convert $gelu "$scratch/converted.safetensors"
good inherit $gelu --config $gelu/config.json -o "$scratch/inherited"
holds "inherit counts as info does" test "$(value params)" = "$params" -a "$(value params_without_tokens)" = "$without"
bad usage inherit $gelu
good diff $gelu "$scratch/converted.safetensors" --all
run diff $vit $gelu --json
code "diff --json of two models that differ: exit code" 1
one_object "diff --json of two models that differ"
bad io diff $gelu nowhere
good classify $vit $picture --labels black,white
bad usage classify $vit $picture
good score $vit --image $picture --text black --text white
bad usage score $vit
good embed $vit --images $picture -o "$scratch/x.npy"
bad io embed $vit --images nowhere.png -o "$scratch/x.npy"
good tokenize --text black
bad io tokenize --texts-file nowhere
good preprocess $picture -o "$scratch/x.npy"
bad format preprocess $0 -o "$scratch/x.npy"
good verify $golden/safetensors $golden/expected.safetensors --input $golden/input.safetensors
bad io verify $golden/safetensors nowhere.safetensors
good bench $gelu --batch 2 --seconds 0.01 --threads 1
good bench $gelu --teacher $gelu --batch 2 --steps 1 --threads 1
bad io bench nowhere
good zoo
bad argument zoo pull nothing
good train --config "$scratch/teacher.json" --data "$data" --eval-data "$data" --out "$scratch/teacher" --steps 4 $common
bad usage train --config "$scratch/teacher.json"
teacher=$scratch/teacher/model
good distill --teacher "$teacher" --student "$scratch/student.json" --data "$scratch/pairs" --out "$scratch/student" --steps 2 $common
bad usage distill
good eval "$teacher" zeroshot --data "$data"
good eval "$teacher" retrieval --data "$scratch/pairs"
bad io eval "$teacher" retrieval --data nowhere
good compress "$teacher" --recipe "$scratch/recipe.json" --data "$data" --eval-data "$data" --out "$scratch/small" --threads 1 --speed-seconds 0.01
good compress "$teacher" --recipe "$scratch/recipe.json" --data "$scratch/pairs" --eval-data "$scratch/pairs" --out "$scratch/small2" --threads 1 --speed-seconds 0
good compress "$teacher" --recipe "$scratch/recipe.json" --data "$data" --out "$scratch/none" --dry-run
bad io compress "$teacher" --recipe nowhere.json --data "$data" --out "$scratch/none"
good report "$scratch/small"
bad io report "$scratch/nowhere"
good demo --quick --out "$scratch/demo" --data "$data" --batch 2 --teacher-steps 10 --stage-steps 20 --threads 1
bad io demo --quick --out "$scratch/demo2" --data nowhere

"$tinyclip" --help | sed -n 's/^  \([a-z]*\)  *.*/\1/p' >"$scratch/verbs"
for verb in $(cat "$scratch/verbs"); do
    holds "$verb was tried" grep -qx "$verb" "$scratch/tried"
    holds "$verb was tried badly" grep -qx "$verb" "$scratch/failed-verbs"
done

# ---- the keys
awk 'NR == FNR { key = $1; sub(/^[^ ]* /, ""); type[key] = $0; next }
    !($1 in type) { print "the manual page does not tell of " $1 " (" $2 ", " $3 ")"; next }
    $2 != type[$1] && !($2 == "null" && type[$1] ~ / or null$/) && $2 " or null" != type[$1] { print $1 " of " $3 " is " $2 ", not " type[$1] }' \
    "$scratch/known" "$scratch/seen" | sort -u >"$scratch/strange"
holds "the manual page has each key with its type" sh -c "cat '$scratch/strange'; [ ! -s '$scratch/strange' ]"
awk 'NR == FNR { seen[$1] = 1; next } !($1 in seen) { print "no verb gave " $1 }' "$scratch/seen" "$scratch/known" >"$scratch/strange"
holds "the manual page has no other keys" sh -c "cat '$scratch/strange'; [ ! -s '$scratch/strange' ]"
finish
