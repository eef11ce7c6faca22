#!/bin/sh
# examples.sh BUILD - every example of the help texts, run in a folder that has what they name, in small: steps are few, data sets of Debian and
# configurations are small ones of ours; the options and the order of arguments are as printed.
. tests/cli/tap.inc
top=$(pwd)
case $tinyclip in /*) ;; *) tinyclip=$top/$tinyclip ;; esac
goldens=$top/tests/data/goldens/models images=$top/tests/data/goldens/preprocess/images
mkdir "$scratch/bin" "$scratch/work"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$tinyclip" >"$scratch/bin/tinyclip"
chmod +x "$scratch/bin/tinyclip"
PATH=$scratch/bin:$PATH
cd "$scratch/work" || exit 1

# ---- what the examples name
data=idx:images.idx,labels.idx,classes.txt
printf '\0\0\010\003\0\0\0\050\0\0\0\002\0\0\0\002' >images.idx
printf '\0\0\010\001\0\0\0\050' >labels.idx
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    printf '\0\0\0\0\377\377\377\377' >>images.idx
    printf '\0\001' >>labels.idx
done
printf 'black\nwhite\n' >classes.txt
printf 'a photo of a {}.\n' >templates.txt
printf 'cat\ndog\nbird\n' >labels.txt
printf 'a cat\na dog\n' >captions.txt
cp "$images/jpg_gray.jpg" photo.jpg
cp photo.jpg cat.jpg
mkdir photos pairs
cp photo.jpg "$images/png_rgb.png" photos
printf 'image,caption\n' >pairs.csv
for i in 1 2 3 4 5 6 7 8; do
    cp photo.jpg pairs/$i.jpg
    echo "photo number $i" >pairs/$i.txt
    echo "pairs/$i.jpg,photo number $i" >>pairs.csv
done
config() {
    printf '{"embed_dim":16,"vision_cfg":{"image_size":8,"layers":%d,"width":16,"patch_size":4,"head_width":8},' "$1"
    printf '"text_cfg":{"context_length":16,"vocab_size":49408,"width":16,"heads":2,"layers":1}}\n'
}
config 2 >teacher.json
config 1 >student.json
printf '{"name":"r","train":{"batch":4},"stages":[{"name":"half","inheritance":"auto","keep":0.5,"fold_step":2,"steps":4}]}' >r.json
cp "$goldens/hf_vit/expected.safetensors" golden.safetensors
cp "$goldens/hf_vit_gelu/expected.safetensors" "$goldens/hf_vit_gelu/input.safetensors" .
{
    tinyclip train --config teacher.json --data $data --out build/demo/first --steps 2 --batch 4 --threads 1
    mkdir build/demo/teacher
    mv build/demo/first/model build/demo/teacher/model
    rm -r build/demo/first
    tinyclip compress build/demo/teacher/model --recipe r.json --data $data --out build/demo/in-two-steps --threads 1 --speed-seconds 0
    cp -r photos build/demo/images
    cp -r build/demo/teacher/model teacher
    cp teacher/model.safetensors teacher.safetensors
    for name in ViT-B-32 TinyCLIP-ViT-40M-32-Text-19M run1/model run2/model; do
        mkdir -p $name
        cp -r teacher/. $name
    done
} >"$out" 2>"$err" || { cat "$err"; exit 1; }

# ---- the examples
shrink() { # an example as it can be run here
    printf '%s\n' "$1" | sed -e "s/fashion-mnist/$data/g" -e 's/ tuxpaint/ pairs/' -e 's/--steps [0-9]*/--steps 4/; s/--fold-step [0-9]*/--fold-step 2/' \
        -e 's/--epochs [0-9]*/--epochs 1/' -e 's/--batch [0-9]*/--batch 4/' -e 's/--config TinyCLIP-[^ ]*/--config student.json/' \
        -e 's/--model-config ViT-B-32/--model-config teacher.json/' -e 's|recipes/[a-z0-9-]*\.json|r.json|' \
        -e '/tinyclip \(train\|distill\) --[a-z]* /{/--resume/!s/$/ --batch 4/;}' -e '/tinyclip compress/{/--resume/!s/$/ --speed-seconds 0/;}' \
        -e '/tinyclip bench/s/$/ --seconds 0.01/; /bench.*--teacher/s/$/ --steps 1/'
}
written() { # what an example writes, which must not be there
    printf '%s\n' "$1" | sed -n 's/.* --out \([^ ]*\).*/\1/p; s/^tinyclip convert [^ ]* \(--to [a-z]* \)*\([^ ]*\).*/\2/p'
}
number=0
for verb in $(tinyclip --help | sed -n 's/^  \([a-z]*\)  *.*/\1/p'); do
    tinyclip "$verb" --help | sed '1,/^examples:/d; s/^  //' >"$scratch/examples"
    holds "$verb has an example" test -s "$scratch/examples"
    while IFS= read -r example; do
        case $example in *"zoo pull"* | "tinyclip demo"*) continue ;; esac # a network and minutes: tests of their own
        case $example in *input.safetensors*) ln -sfn "$goldens/hf_vit_gelu/safetensors" model ;; *) ln -sfn "$goldens/hf_vit" model ;; esac
        for recipe in $(printf '%s\n' "$example" | grep -o 'recipes/[^ ]*'); do holds "$recipe is there" test -s "$top/$recipe"; done
        small=$(shrink "$example")
        for path in $(written "$small"); do rm -rf "$path"; done
        sh -c "$small" >"$out" 2>"$err" </dev/null
        code=$?
        case $example in "tinyclip diff "*) [ $code -eq 1 ] && code=0 ;; esac # they may differ
        code "$example" 0
    done <"$scratch/examples"
done
cd "$top" || exit 1
finish
