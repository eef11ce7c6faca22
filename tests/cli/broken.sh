#!/bin/sh
# broken.sh BUILD - broken inputs: one clear line on standard error, exit code 1, nothing on standard output, no file left behind.
. tests/cli/tap.inc
gelu=tests/data/goldens/models/hf_vit_gelu vit=tests/data/goldens/models/hf_vit broken=tests/data/goldens/preprocess/broken

fails() { # fails NAME TEXT ARG...: one line that holds TEXT
    name=$1 text=$2
    shift 2
    run "$@"
    if [ "$code" -eq 1 ] && [ ! -s "$out" ] && [ "$(wc -l <"$err")" -eq 1 ] && grep -qF -- "$text" "$err" && grep -q '^tinyclip: ' "$err"; then result "$name" 1; else
        echo "exit code $code, expected 1 and one line with: $text" | cat - "$err" "$out" >"$scratch/why"
        result "$name" 0 "$scratch/why"
    fi
}

# ---- images
for f in bad_crc.png bomb.png empty.jpg text.jpg truncated.jpg truncated.png; do
    fails "preprocess $f" "$broken/$f: " preprocess $broken/$f -o "$scratch/x.npy"
    fails "embed $f" "$broken/$f: " embed $vit --images $broken/$f -o "$scratch/x.npy"
done
holds "nothing was written" test ! -e "$scratch/x.npy"
fails "an image that is not there" "nowhere.png: " preprocess nowhere.png -o "$scratch/x.npy"
fails "an output folder that is not there" "$scratch/none" preprocess tests/data/goldens/preprocess/images/png_rgb.png -o "$scratch/none/x.npy"

mkfifo "$scratch/pipe.jpg"
fails "a pipe under the name of an image" "$scratch/pipe.jpg: not a regular file" preprocess "$scratch/pipe.jpg" -o "$scratch/x.npy"
fails "a pipe under the name of a model" "$scratch/pipe.jpg: not a regular file" info "$scratch/pipe.jpg" --model-config ViT-B-32
cp tests/data/goldens/preprocess/images/png_rgb.png "$scratch/photo.png"
fails "classify a picture that is not there" "$scratch/phtoo.png: cannot open: No such file or directory; did you mean '$scratch/photo.png'?" classify $vit "$scratch/phtoo.png" --labels a,b
fails "classify without one readable image" "$broken/text.jpg: " classify $vit $broken/text.jpg --labels a,b
run classify $vit $broken/text.jpg --labels a,b --json
code "classify --json without one readable image: exit code" 1
holds "classify --json without one readable image" grep -q '^{"results": \[{"image": "[^"]*text.jpg", "error": {"status": "format", "message": "' "$out"

# ---- models
fails "a model that is not there" "nowhere: no such file or folder" info nowhere
fails "a configuration that is not there" "ViT-B-23: no such file or folder; did you mean 'ViT-B-32'?" info ViT-B-23
fails "the beginning of a name" "; did you mean 'TinyCLIP-ViT-40M-32-Text-19M'?" embed TinyCLIP-ViT-40M --texts-file x -o y.npy
fails "a configuration to train" "ViT-B-61: neither a file nor a built-in configuration (\`tinyclip info\` lists them); did you mean 'ViT-B-16'?" train --config ViT-B-61 --data d --out o --steps 1
mkdir -p "$scratch/run" && cp -r $gelu/safetensors "$scratch/run/model"
fails "a file beside" "$scratch/rnu: no such file or folder; did you mean '$scratch/run'?" info "$scratch/rnu"
fails "the folder of a run" "did you mean '$scratch/run/model'?" info "$scratch/run"
fails "data of another name" "did you mean 'fashion-mnist'?" eval $vit zeroshot --data fashion_mnist
fails "a name of a place where models are published" "openai/clip-vit: no such file or folder; models are not downloaded by such names: give the file or folder of one" info openai/clip-vit
fails "a name that is known is not asked for" "vision layers, its teacher only" inherit $vit --config ViT-B-32 -o "$scratch/larger"
holds "a name that is known is not asked for: no guess" sh -c "! grep -q 'did you mean' '$err'"
fails "nothing is near" "nowhere: no such file or folder" info nowhere
holds "nothing is near: no guess" sh -c "! grep -q 'did you mean' '$err'"
fails "a configuration where weights are needed" "ViT-B-32: " classify ViT-B-32 x.png --labels a
mkdir "$scratch/empty"
fails "an empty folder" "$scratch/empty" info "$scratch/empty"
: >"$scratch/zero.safetensors"
fails "an empty file" "$scratch/zero.safetensors: " info "$scratch/zero.safetensors" --model-config ViT-B-32
echo "these are no weights" >"$scratch/text.pt"
fails "a text under the name of weights" "$scratch/text.pt: a text, not a model" info "$scratch/text.pt"
printf '\001\002\003\004\005\006\007\010\011\012' >"$scratch/bytes.pt"
kind() { # kind WHAT NAME: the file as a model, and as a picture
    fails "$1 as a model" "$scratch/$2: $1, not a model" info "$scratch/$2"
    fails "$1 as a picture" "$scratch/$2: $1, not a JPEG, PNG, WebP, GIF or BMP image" preprocess "$scratch/$2" -o "$scratch/x.npy"
}
printf 'GGUF\003\000\000\000\001\000\000\000\000\000\000\000' >"$scratch/m.gguf"
kind "a GGUF file" m.gguf
printf '\010\010\022\007pytorch\032\0052.1.0:\000\000\000' >"$scratch/m.onnx"
kind "an ONNX file" m.onnx
printf '<!DOCTYPE html>\n<html>not found</html>' >"$scratch/page.safetensors"
kind "a web page" page.safetensors
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\n' >"$scratch/pointer.bin"
kind "a pointer of Git LFS" pointer.bin
printf '\303\244 text \342\202\254' >"$scratch/utf8.pt"
kind "a text" utf8.pt
(cd "$scratch" && tar cf a.tar text.pt && gzip -c a.tar >a.tar.gz)
kind "a gzip file" a.tar.gz
kind "a tar archive" a.tar
fails "an empty file as a model" "$scratch/zero.safetensors: an empty file, not a model" info "$scratch/zero.safetensors"
fails "weights as a picture" "model.safetensors: a safetensors file, not a" preprocess $gelu/safetensors/model.safetensors -o "$scratch/x.npy"
fails "bytes that say nothing" "$scratch/bytes.pt: neither a PyTorch file nor safetensors" info "$scratch/bytes.pt"
printf '\002\000\000\000\000\000\000\000{}' >"$scratch/none.safetensors"
fails "a file without tensors" "$scratch/none.safetensors: it holds no tensors" info "$scratch/none.safetensors" --model-config ViT-B-32
cp $gelu/safetensors/model.safetensors "$scratch/alone.safetensors"
fails "no configuration beside the file" "name one with --model-config" info "$scratch/alone.safetensors"
run info "$scratch/alone.safetensors" --model-config $gelu/safetensors/config.json
code "with --model-config: exit code" 0
fails "another model's configuration" "$scratch/alone.safetensors: tensor '" info "$scratch/alone.safetensors" --model-config ViT-B-32

copy() { # a fresh copy of the model in $scratch/m
    rm -rf "$scratch/m"
    cp -r $gelu/safetensors "$scratch/m" && chmod -R u+w "$scratch/m"
}
copy
size=$(wc -c <"$scratch/m/model.safetensors")
head -c $((size - 2)) $gelu/safetensors/model.safetensors >"$scratch/m/model.safetensors"
fails "two bytes short" "model.safetensors: " info "$scratch/m"
copy
printf 'xx' >>"$scratch/m/model.safetensors"
fails "two bytes too many" "model.safetensors: " info "$scratch/m"
copy
printf '\377\377\377\377\377\377\377\377' | dd of="$scratch/m/model.safetensors" conv=notrunc 2>/dev/null
fails "a header longer than the file" "model.safetensors: " info "$scratch/m"
copy
sed 's/"hidden_size": [0-9]*/"hidden_size": 16/' $gelu/safetensors/config.json >"$scratch/m/config.json"
fails "a configuration of other sizes" "$scratch/m" info "$scratch/m"
copy
printf '{"a": 1, "a": 2}' >"$scratch/m/config.json"
fails "a duplicate key" "config.json" info "$scratch/m"
copy
printf '{' >"$scratch/m/config.json"
fails "unfinished JSON" "config.json" info "$scratch/m"
copy
rm "$scratch/m/config.json"
fails "no configuration in the folder" "config.json" info "$scratch/m"
rm -rf "$scratch/m" && cp -r $gelu/sharded "$scratch/m" && chmod -R u+w "$scratch/m"
sed 's|"model-00001-of-00005.safetensors"|"../model-00001-of-00005.safetensors"|' $gelu/sharded/model.safetensors.index.json >"$scratch/m/model.safetensors.index.json"
fails "an index that names a file outside" "model.safetensors.index.json" info "$scratch/m"
cp $gelu/sharded/model.safetensors.index.json "$scratch/m/" && rm "$scratch/m/model-00003-of-00005.safetensors"
fails "a missing shard" "model-00003-of-00005.safetensors" info "$scratch/m"

# ---- arrays, configurations, data
printf 'no array' >"$scratch/bad.npy"
fails "an array that is none" "$scratch/bad.npy: " embed $gelu/safetensors --pixel-values "$scratch/bad.npy" -o "$scratch/x.npy"
fails "a tensor without its name" "name the tensor too" embed $gelu/safetensors --pixel-values $gelu/input.safetensors -o "$scratch/x.npy"
printf '{"embed_dim": -1}' >"$scratch/bad.json"
fails "a configuration that makes no sense" "$scratch/bad.json" info "$scratch/bad.json"
fails "data that is not there" "nowhere: " eval $vit retrieval --data nowhere
fails "a folder without samples" "$scratch/empty: " eval $vit retrieval --data "$scratch/empty"
fails "a golden file that is not there" "nowhere.safetensors" verify $vit nowhere.safetensors
finish
