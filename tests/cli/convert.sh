#!/bin/sh
# convert.sh - models in other forms: every form opens again and gives the same, what is there already is not overwritten, what a form cannot say is refused.
. tests/cli/tap.inc
models=tests/data/goldens/models
vit=$models/hf_vit gelu=$models/hf_vit_gelu
pixels=$gelu/input.safetensors:pixel_values

run convert $gelu/safetensors "$scratch/hf"
code "to hf, which is what a folder is: exit code" 0
printf '%s: a Hugging Face folder, 40,873 parameters in f32\n' "$scratch/hf" | prints "to hf"
run convert $gelu/safetensors "$scratch/m.safetensors"
code "to safetensors, by the name: exit code" 0
run convert "$scratch/m.safetensors" "$scratch/onnx" --to onnx --json
code "to onnx: exit code" 0
printf '{"output": "%s", "format": "onnx", "dtype": "f32", "params": 40873}\n' "$scratch/onnx" | prints "to onnx --json"
for file in vision_model.onnx text_model.onnx model.onnx preprocessor_config.json; do
    holds "to onnx writes $file" test -s "$scratch/onnx/$file"
done
says "a vocabulary without a tokenizer is said" "no tokenizer is written: there is none for this model's 321 ids"
run embed $gelu/safetensors --pixel-values $pixels -o "$scratch/source.npy"
for form in hf m.safetensors; do
    run embed "$scratch/$form" --pixel-values $pixels -o "$scratch/again.npy"
    same "$form gives the same embeddings" "$scratch/source.npy" "$scratch/again.npy"
done

run convert $vit "$scratch/openclip" --to openclip
code "to openclip: exit code" 0
for file in open_clip_model.safetensors open_clip_config.json; do
    holds "to openclip writes $file" test -s "$scratch/openclip/$file"
done
run convert $vit "$scratch/o.safetensors" --to openclip
holds "to openclip as a file writes the configuration beside it" test -s "$scratch/o.json"
holds "both are the same weights" cmp -s "$scratch/o.safetensors" "$scratch/openclip/open_clip_model.safetensors"
run embed $vit --images tests/data/goldens/preprocess/images/png_rgb.png --preprocess openclip -o "$scratch/source.npy"
for form in openclip o.safetensors; do
    run embed "$scratch/$form" --images tests/data/goldens/preprocess/images/png_rgb.png -o "$scratch/again.npy"
    same "$form gives the same embeddings" "$scratch/source.npy" "$scratch/again.npy"
done
run convert "$scratch/openclip" "$scratch/back"
code "from openclip to hf: exit code" 0
for file in vocab.json merges.txt tokenizer_config.json special_tokens_map.json preprocessor_config.json config.json; do
    holds "from openclip to hf writes $file" test -s "$scratch/back/$file"
done

for dtype in f16 bf16; do
    run convert $gelu/safetensors "$scratch/$dtype.safetensors" --dtype $dtype
    run info "$scratch/$dtype.safetensors" --json --tensors
    name=$(echo $dtype | tr 'a-z' 'A-Z')
    holds "--dtype $dtype: info shows it for every tensor" \
        sh -c "tr '{' '\n' <'$out' | grep '\"dtype\"' | grep -vc '\"dtype\": \"$name\"' | grep -qx 0 && grep -q '\"dtype\": \"$name\"' '$out'"
    run convert "$scratch/$dtype.safetensors" "$scratch/$dtype.hf" --dtype $dtype
    run convert "$scratch/$dtype.hf" "$scratch/$dtype-2.safetensors" --dtype $dtype
    run embed "$scratch/$dtype.safetensors" --pixel-values $pixels -o "$scratch/a.npy"
    run embed "$scratch/$dtype-2.safetensors" --pixel-values $pixels -o "$scratch/b.npy"
    same "--dtype $dtype loses nothing the second time" "$scratch/a.npy" "$scratch/b.npy"
done

# ---- a ResNet, from a checkpoint of training
rn=$models/openclip_rn.pt input=$models/openclip_rn_data/input.safetensors
run embed $rn --pixel-values $input:pixel_values -o "$scratch/source.npy"
for form in rn-openclip rn.safetensors; do
    run convert $rn "$scratch/$form" --to ${form#rn[-.]}
    code "a ResNet to ${form#rn[-.]}: exit code" 0
    run embed "$scratch/$form" --pixel-values $input:pixel_values -o "$scratch/again.npy"
    same "a ResNet in $form gives the same embeddings" "$scratch/source.npy" "$scratch/again.npy"
    run diff $rn "$scratch/$form"
    code "a ResNet in $form has the same tensors" 0
done
run convert $rn "$scratch/rn-onnx" --to onnx
code "a ResNet to onnx: exit code" 0
for file in vision_model.onnx text_model.onnx model.onnx; do
    holds "a ResNet to onnx writes $file" test -s "$scratch/rn-onnx/$file"
done
run convert $rn "$scratch/no"
code "a ResNet to hf: exit code" 1
says "a ResNet to hf" "a Hugging Face folder cannot hold a ModifiedResNet, since CLIPModel has none; write an OpenCLIP folder"

# ---- what is there already
cp "$scratch/m.safetensors" "$scratch/before"
run convert $vit "$scratch/m.safetensors"
code "over a file: exit code" 1
says "over a file" "m.safetensors: it is there already; --force writes over it"
same "over a file: it stays" "$scratch/m.safetensors" "$scratch/before"
run convert $vit "$scratch/hf"
code "into a folder with something in it: exit code" 1
run convert $vit "$scratch/hf" --force
code "into it with --force: exit code" 0
mkdir "$scratch/empty"
run convert $vit "$scratch/empty"
code "into an empty folder: exit code" 0
run convert "$scratch/m.safetensors" "$scratch/m.safetensors" --force --dtype f16
code "a file over itself: exit code" 0
run info "$scratch/m.safetensors"
code "a file over itself opens: exit code" 0

# ---- what a form cannot say
run convert $gelu/safetensors "$scratch/no" --to openclip
code "another end of text than OpenCLIP's: exit code" 1
says "another end of text than OpenCLIP's" "OpenCLIP ends a text at its largest id, this model at id 319 of 321"
holds "a refused conversion leaves nothing" test ! -e "$scratch/no"
run convert "$scratch/missing" "$scratch/no"
code "a model that is not there: exit code" 1
says "a model that is not there" "missing: no such file or folder"
run convert $gelu/safetensors "$scratch/before/no"
code "a place that cannot be: exit code" 1
says "a place that cannot be" "$scratch/before: cannot make the folder"
finish
