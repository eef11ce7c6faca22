#!/bin/sh
# examples.sh - the C examples, compiled against an installed copy of the library, shared and as an archive, and run: they give what the
# program gives, with models of any size, and say what is wrong.
. tests/cli/tap.inc
build=$1
root=$PWD
cc=${CC:-gcc}
GOMP_SPINCOUNT=30000
export GOMP_SPINCOUNT

make -s B="$build" install PREFIX="$scratch/shared" >"$scratch/install" 2>&1 &&
    make -s B="$build" install SHARED=0 PREFIX="$scratch/archive" >>"$scratch/install" 2>&1
holds "installed" test -f "$scratch/shared/lib/libtinyclip.so" -a -f "$scratch/archive/lib/libtinyclip.a"
# A library with sanitizers wants them in the program too.
sanitize=
nm -D "$build/libtinyclip.so" 2>/dev/null | grep -q __asan_init && sanitize=-fsanitize=address,undefined

compile() { # compile shared|archive NAME
    if [ "$1" = archive ]; then static=--static; else static=; fi
    # shellcheck disable=SC2046
    $cc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Wshadow -Werror $sanitize "$root/examples/$2.c" -o "$scratch/$2-$1" \
        $(PKG_CONFIG_PATH=$scratch/$1/lib/pkgconfig pkg-config $static --cflags --libs tinyclip) -lm \
        -Wl,-rpath,"$scratch/$1/lib"
}
example() { # example NAME-KIND ARG...
    program=$1
    shift
    "$scratch/$program" "$@" >"$out" 2>"$err" </dev/null
    code=$?
}

for file in classify embed_folder distil own_source; do
    holds "$file.c compiles with the shared library" compile shared $file
    holds "$file.c compiles with the archive" compile archive $file
done
[ -e "$scratch/failed" ] && { finish; exit 1; }
holds "distil.c has at most 60 lines" test "$(wc -l <examples/distil.c)" -le 60

# ---- models of two sizes

cat >"$scratch/small.json" <<'END'
{"embed_dim": 20,
 "vision_cfg": {"image_size": 48, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
 "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}
END
"$build/tests/cli/make_weights" "$scratch/small.json" "$scratch/small" || exit 1
"$build/tests/cli/make_weights" examples/demo-teacher.json "$scratch/teacher" || exit 1
pictures=tests/data/goldens/preprocess/images
mkdir "$scratch/folder"
cp $pictures/jpg_444.jpg $pictures/png_rgb.png $pictures/gif_anim.gif $pictures/bmp24.bmp "$scratch/folder"
echo "not a picture" >"$scratch/folder/notes.txt"

for model in small teacher; do
    run classify "$scratch/$model" $pictures/jpg_444.jpg --labels "cat,dog,apple,sports car" --top 5 \
        --template "a photo of a {}." --template "a drawing of a {}."
    tail -n +2 "$out" | sed 's/^ *//' >"$scratch/expected"
    for kind in shared archive; do
        example classify-$kind "$scratch/$model" $pictures/jpg_444.jpg cat dog apple "sports car"
        code "classify, $kind, $model: exit code" 0
        same "classify, $kind, $model: what the program says" "$scratch/expected" "$out"
    done
    holds "classify, $model: all labels" test "$(wc -l <"$out")" -eq 4

    run embed "$scratch/$model" --images "$scratch/folder" --normalize -o "$scratch/expected.npy"
    example embed_folder-shared "$scratch/$model" "$scratch/folder" "$scratch/got.npy"
    code "embed_folder, $model: exit code" 0
    same "embed_folder, $model: what the program writes" "$scratch/expected.npy" "$scratch/got.npy"
    prints "embed_folder, $model: the names of the rows" <<END
$scratch/folder/bmp24.bmp
$scratch/folder/gif_anim.gif
$scratch/folder/jpg_444.jpg
$scratch/folder/png_rgb.png
END
done

# ---- what is wrong is said

example classify-shared "$scratch/none" $pictures/jpg_444.jpg cat dog
code "classify, no model: exit code" 1
says "classify, no model" "classify: $scratch/none: no such file or folder"
example classify-shared "$scratch/small" "$scratch/none.jpg" cat dog
code "classify, no picture: exit code" 1
says "classify, no picture" "classify: $scratch/none.jpg: "
example classify-shared "$scratch/small" $pictures/jpg_444.jpg "$(printf 'very long %.0s' 1 2 3 4 5 6 7 8 9)" cat
code "classify, a label that does not fit: exit code" 0
says "classify, a label that does not fit" "2 prompts were longer than the context and were cut"
head -c 100 $pictures/jpg_444.jpg >"$scratch/folder/cut.jpg"
example embed_folder-shared "$scratch/small" "$scratch/folder" "$scratch/got.npy"
code "embed_folder, a damaged picture: exit code" 0
says "embed_folder, a damaged picture is told" "left out: $scratch/folder/cut.jpg: "
holds "embed_folder, a damaged picture has no row" test "$(wc -l <"$out")" -eq 4
example embed_folder-shared "$scratch/small" "$scratch" "$scratch/got.npy"
code "embed_folder, no pictures: exit code" 1
says "embed_folder, no pictures" "holds no picture"

# ---- a smaller model: the same weights as those of the program

. tests/cli/pairs.inc
example distil-shared "$scratch/teacher" examples/demo-student.json "$scratch/pairs" 3 "$scratch/distilled"
code "distil: exit code" 0
run distill --teacher "$scratch/teacher" --student examples/demo-student.json --inherit --data "$scratch/pairs" --steps 3 --batch 32 \
    --lr 1e-3 --out "$scratch/by-program"
code "distill by the program: exit code" 0
same "distil: the weights that the program makes" "$scratch/by-program/model/model.safetensors" "$scratch/distilled/model/model.safetensors"
holds "distil: a line a step" test "$(grep -c '"loss"' "$scratch/distilled/log.jsonl")" -eq 3
example distil-archive "$scratch/teacher" examples/demo-teacher.json "$scratch/none" 3 "$scratch/never"
code "distil, no data: exit code" 1
says "distil, no data" "distil: $scratch/none: not there"
example distil-archive "$scratch/small" examples/demo-teacher.json "$scratch/pairs" 3 "$scratch/never"
code "distil, a student that is larger: exit code" 1
holds "distil, a student that is larger: a message" test -s "$err"

# ---- data of one's own

example own_source-shared examples/demo-student.json 20 "$scratch/own"
code "own_source: exit code" 0
holds "own_source: it has learnt the colours" awk 'NR == 1 { exit !($1 >= 95) }' "$out"
holds "own_source: every class is counted" test "$(grep -c 'disc .* of ' "$out")" -eq 4
example own_source-archive "$scratch/none.json" 20 "$scratch/never"
code "own_source, no configuration: exit code" 1
says "own_source, no configuration" "own_source: $scratch/none.json"
finish
