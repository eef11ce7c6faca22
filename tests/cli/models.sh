#!/bin/sh
# models.sh BUILD - info, verify, score, embed, classify, preprocess, inherit on the golden models and images.
. tests/cli/tap.inc
gelu=tests/data/goldens/models/hf_vit_gelu vit=tests/data/goldens/models/hf_vit images=tests/data/goldens/preprocess/images
rn=tests/data/goldens/models/openclip_rn

# ---- info
run info
prints "info lists the built-in configurations" <<'END'
TinyCLIP-ViT-39M-16-Text-19M
TinyCLIP-ViT-8M-16-Text-3M
TinyCLIP-ViT-61M-32-Text-29M
TinyCLIP-ViT-40M-32-Text-19M
ViT-B-32
ViT-B-16
ViT-B-32-quickgelu
ViT-B-16-quickgelu
TinyCLIP-ResNet-30M-Text-29M
TinyCLIP-ResNet-19M-Text-19M
RN50
RN50-quickgelu
END
run info TinyCLIP-ViT-8M-16-Text-3M
prints "info of a configuration" <<'END'
architecture  ViT
from          configuration
embedding     512

              image tower                 text tower
input         224 px, patches of 16       77 ids of 49,408
layers        10                          3
width         256                         256
heads         4                           4
activation    gelu                        gelu
parameters    8,276,992                   2,520,576
MACs          1.79 G                      191 M
  computed    1.64 G                      17.9 M (text of 10 tokens)

parameters    23,446,017; without the token table 10,797,569
activation    gelu (configuration)
preprocess    hf: resize 224, crop 224, mean 0.4815 0.4578 0.4082, std 0.2686 0.2613 0.2758
tokenizer     hf
logit scale   2.65926, a factor of 14.29
END
run info RN50
sed -n '5,9p' "$out" >"$scratch/lines"
mv "$scratch/lines" "$out"
prints "info of a ResNet" <<'END'
              image tower                 text tower
input         224 px                      77 ids of 49,408
layers        16: 3, 4, 6, 3 in stages    12
width (stem)  64                          512
heads         32                          8
END
run info $gelu/safetensors
holds "info: no tensors unless they are asked for" sh -c "! grep -q 'ln_pre' '$out'"
cp "$out" "$scratch/table"
run info $gelu/safetensors --tensors
holds "info --tensors" grep -qx 'visual.ln_pre.weight  *F32  \[[0-9]*\]' "$out"
tail -n "$(wc -l <"$scratch/table")" "$out" >"$scratch/tail"
same "info --tensors ends with the table" "$scratch/table" "$scratch/tail"
run info $gelu/safetensors --json
holds "info --json: no tensors unless they are asked for" sh -c "! grep -q '\"tensors\"' '$out'"
run info $gelu/safetensors --json --tensors
code "info --json: exit code" 0
for key in architecture params params_without_tokens params_prunable macs_image macs_text activation tensors; do
    holds "info --json has $key" grep -q "\"$key\":" "$out"
done
holds "info --json: the activation of the file" grep -q '"activation": "gelu"' "$out"
run info $vit --json
holds "info --json: the other activation" grep -q '"activation": "quick_gelu"' "$out"
run info RN50-quickgelu --json
for pair in '"activation": "quick_gelu"' '"vision_activation": "relu"' '"text_activation": "quick_gelu"' '"params": 102007137'; do
    holds "info --json of a ResNet: $pair" grep -qF "$pair" "$out"
done

# ---- verify
run verify $gelu/safetensors $gelu/expected.safetensors --input $gelu/input.safetensors --tolerance 1e-4
code "verify: exit code" 0
sed 's/ .*//' "$out" >"$scratch/names"
mv "$scratch/names" "$out"
prints "verify compares every output" <<'END'
output
image_embeds
image_embeds_norm
logit_scale_exp
logits_per_image
logits_per_text
probs_per_image
probs_per_text
text_embeds
text_embeds_norm
END
run verify $gelu/sharded $gelu/expected.safetensors --input $gelu/input.safetensors --tolerance 1e-4 --json
code "verify a sharded model: exit code" 0
holds "verify --json" grep -q '"passed": true' "$out"
run verify $gelu/safetensors $gelu/expected.safetensors --input $gelu/input.safetensors --tolerance 1e-12
code "verify beyond the tolerance: exit code" 1
says "verify beyond the tolerance" "an output differs by more than 1e-12"
run verify $gelu/safetensors $gelu/expected.safetensors
code "verify without inputs: exit code" 1
says "verify without inputs" "there is neither pixel_values nor input_ids; name the file that holds them with --input"
run verify $vit $vit/expected.safetensors --tolerance 1e-4
code "verify with texts only: exit code" 0
says "verify with texts only says what is left out" "image_embeds: not compared"

# ---- embed: tensors, files, lists; the same rows whatever the way
run embed $gelu/safetensors --pixel-values $gelu/input.safetensors:pixel_values -o "$scratch/pixels.npy"
printf '%s: [4,20] float32\n' "$scratch/pixels.npy" | prints "embed pixel values"
run embed $gelu/safetensors --input-ids $gelu/input.safetensors:input_ids -o "$scratch/ids.npy" --normalize --json
code "embed ids: exit code" 0
holds "embed --json" grep -q '"shape": \[5, 20\]' "$out"
run embed $gelu/safetensors --pixel-values $gelu/input.safetensors:nothing -o "$scratch/x.npy"
code "embed a tensor that is not there: exit code" 1
says "embed a tensor that is not there" "input.safetensors: there is no tensor 'nothing'"
run embed $gelu/safetensors --pixel-values $gelu/input.safetensors:input_ids -o "$scratch/x.npy"
code "embed ids as pixels: exit code" 1
says "embed ids as pixels" "the tensor is [5,24], expected [n,3,32,32]"
run embed $vit --images $images/png_rgb.png $images/jpg_gray.jpg -o "$scratch/two.npy"
code "embed images: exit code" 0
printf '%s\n%s\n' $images/png_rgb.png $images/jpg_gray.jpg | "$tinyclip" embed $vit --images - -o "$scratch/list.npy" >/dev/null 2>"$err"
same "embed a list on standard input" "$scratch/two.npy" "$scratch/list.npy"
mkdir -p "$scratch/folder/b/c" && cp $images/jpg_gray.jpg "$scratch/folder/b/c/2.JPG" && cp $images/png_rgb.png "$scratch/folder/b/1.png" && echo no >"$scratch/folder/note.txt"
run embed $vit --images "$scratch/folder" -o "$scratch/folder.npy"
same "embed a folder: below, sorted, images only" "$scratch/two.npy" "$scratch/folder.npy"
run preprocess $vit $images/png_rgb.png -o "$scratch/pixel_values.npy"
printf '%s: [3,224,224] float32\n' "$scratch/pixel_values.npy" | prints "preprocess"
run embed $vit --pixel-values "$scratch/pixel_values.npy" -o "$scratch/one.npy"
run embed $vit --images $images/png_rgb.png -o "$scratch/direct.npy"
same "preprocess, then embed, is embed" "$scratch/one.npy" "$scratch/direct.npy"
run preprocess $images/png_rgb.png -o "$scratch/crop.npy" --uint8 --size 32
printf '%s: [32,32,3] uint8\n' "$scratch/crop.npy" | prints "preprocess --uint8 --size"
run preprocess $images/jpg_exif6.jpg -o "$scratch/plain.npy" --uint8
run preprocess $images/jpg_exif6.jpg -o "$scratch/turned.npy" --uint8 --exif
holds "--exif turns" sh -c "! cmp -s '$scratch/plain.npy' '$scratch/turned.npy'"

# ---- score and classify
run score $vit --image $images/png_rgb.png --image $images/jpg_gray.jpg --text "a cat" --text "a dog" --text "a bird" --json
code "score: exit code" 0
for key in image_embeds text_embeds cosines logits_per_image logits_per_text probs; do
    holds "score --json has $key" grep -q "\"$key\": \[\[" "$out"
done
run score $vit --image $images/png_rgb.png --image $images/jpg_gray.jpg --text "a cat" --text "a dog" --text "a bird"
holds "score: images in their order" sh -c "[ \"\$(grep -v '^  ' '$out' | tr '\n' ' ')\" = '$images/png_rgb.png $images/jpg_gray.jpg ' ]"
holds "score: the best text first, logits are cosines times one scale, probabilities add up to 1" awk '
    !/^  / { if (NR > 1 && (sum < 0.9997 || sum > 1.0003)) exit 1; sum = 0; last = 2; next }
    { if ($2 > last) exit 1; last = $2; sum += $2; if (NF < 7) exit 1
      scale = $6 / $4; if (n++ && (scale / first > 1.01 || scale / first < 0.99)) exit 1; if (n == 1) first = scale }
    END { if (n != 6) exit 1 }' "$out"
run classify $vit $images/png_rgb.png --labels "a cat, a dog,a bird" --top 2
code "classify: exit code" 0
holds "classify prints the image and two labels" sh -c "[ \$(wc -l <'$out') -eq 3 ] && head -n 1 '$out' | grep -qx '$images/png_rgb.png'"
printf 'a cat\n\na dog\na bird\n' >"$scratch/labels"
cp "$out" "$scratch/first"
run classify $vit $images/png_rgb.png --labels-file "$scratch/labels" --top 2
same "labels from a file" "$out" "$scratch/first"
run classify $vit $images/png_rgb.png --labels-file "$scratch/labels" --top 2 --template "a photo of a {}." --threads 1
same "the default template; one thread" "$out" "$scratch/first"
complains "the article of a label: told" <<'END'
"a cat" has an article, so that of the template "a photo of a {}." is left out: "a photo of a cat."
END
run classify $vit $images/png_rgb.png --labels "a cat,an apple,the dog" --top 3
sed 's/  an* /  /; s/  the /  /' "$out" >"$scratch/first"
run score $vit --image $images/png_rgb.png --text "a photo of a cat." --text "a photo of an apple." --text "a photo of the dog."
sed -n 's/.*probability \([0-9.]*\).*a photo of [a-z]* \(.*\)\.$/    \1  \2/p' "$out" >"$scratch/scored"
sed 1d "$scratch/first" | sed 's/^ */    /' >"$scratch/classified"
same "the prompts of labels with articles" "$scratch/classified" "$scratch/scored"
run classify $vit $images/png_rgb.png --labels "cat,dog"
complains "plain labels: nothing to tell" </dev/null
run classify $vit $images/png_rgb.png --labels-file "$scratch/labels" --template "a photo"
code "a template without a place: exit code" 1
says "a template without a place" "--template 'a photo': there is no {} in it"
run classify $vit $images/png_rgb.png tests/data/goldens/preprocess/broken/text.jpg $images/jpg_gray.jpg --labels-file "$scratch/labels" --top 1 --json
code "classify goes on after a bad image, and fails: exit code" 1
holds "classify goes on after a bad image" sh -c "tr '{' '\n' <'$out' | grep -c '\"image\":' | grep -qx 3 && grep -q '\"error\":' '$out'"
run classify $vit "$scratch/folder/b/c" --labels ,
code "no labels: exit code" 1
says "no labels" "--labels: there are no labels"
mkdir "$scratch/empty"
run classify $vit "$scratch/empty" --labels a
code "a folder without images: exit code" 1
says "a folder without images" "$scratch/empty: the folder holds no image"

# ---- inherit
config='{"embed_dim":20,"vision_cfg":{"image_size":32,"layers":1,"width":12,"patch_size":8,"head_width":4,"mlp_ratio":2},
"text_cfg":{"context_length":24,"vocab_size":321,"width":8,"heads":1,"layers":1}}'
printf '%s' "$config" >"$scratch/student.json"
run inherit $gelu/safetensors --config "$scratch/student.json" -o "$scratch/student"
code "inherit: exit code" 0
run inherit $gelu/safetensors --config "$scratch/student.json" -o "$scratch/student.safetensors"
code "inherit into a file: exit code" 0
run embed "$scratch/student" --pixel-values $gelu/input.safetensors:pixel_values -o "$scratch/a.npy"
run embed "$scratch/student.safetensors" --pixel-values $gelu/input.safetensors:pixel_values -o "$scratch/b.npy"
same "a folder and a file of one model give the same" "$scratch/a.npy" "$scratch/b.npy"
run info "$scratch/student.safetensors" --json
holds "the file carries a card" grep -q '"method": "manual weight inheritance' "$out"
run inherit $gelu/safetensors --config ViT-B-32 -o "$scratch/larger"
code "inherit a larger student: exit code" 1
holds "inherit a larger student writes nothing" test ! -e "$scratch/larger"

# ---- bench
run bench "$scratch/student" --batch 2 --seconds 0.01 --threads 1 --json
code "bench: exit code" 0
for key in images_per_second texts_per_second pairs_per_second image_latency_ms peak_gmacs peak_fraction batch threads cpu_level; do
    holds "bench --json has $key" grep -q "\"$key\":" "$out"
done
mkdir "$scratch/tmp"
TMPDIR=$scratch/tmp run bench "$scratch/student" --teacher $gelu/safetensors --batch 2 --steps 1 --threads 1 --json
code "bench of a step: exit code" 0
for key in plain_step_ms distill_step_ms cached_step_ms; do
    holds "bench of a step has $key" grep -q "\"$key\":" "$out"
done
holds "bench of a step leaves no files" [ -z "$(find "$scratch/tmp" -mindepth 1)" ]

# ---- pruned models: made by inheritance from lists of what is left, run, looked at, trained further
config='{"embed_dim":20,"vision_cfg":{"image_size":32,"layers":2,"width":13,"patch_size":8,"head_width":4,"heads":[2,0],"mlp":[0,7]},
"text_cfg":{"context_length":24,"vocab_size":321,"width":7,"head_width":8,"heads":[1,0],"layers":2,"mlp":[null,9]}}'
printf '%s' "$config" >"$scratch/pruned.json"
run inherit $gelu/safetensors --config "$scratch/pruned.json" -o "$scratch/pruned.safetensors"
code "inherit a pruned student: exit code" 0
run inherit $gelu/safetensors --config "$scratch/pruned.json" -o "$scratch/pruned"
code "a pruned model in a folder: exit code" 1
says "a pruned model in a folder" ".safetensors"
run info "$scratch/pruned.safetensors"
sed -n '6,9p;15,18p' "$out" >"$scratch/lines"
mv "$scratch/lines" "$out"
prints "info of a pruned model" <<'END'
input         32 px, patches of 8         24 ids of 321
layers        2                           2
width         13                          7
heads at most 2                           1
pruned, layer by layer
  layer   image: heads   FFN    text: heads   FFN
      0              2     0              1  none
      1              0     7              0     9
END
run info "$scratch/pruned.safetensors" --json
holds "info --json of a pruned model" sh -c "grep -q '\"vision_layer_heads\": \[2, 0\]' '$out' && grep -q '\"vision_layer_ffn\": \[0, 7\]' '$out' && grep -q '\"text_layer_ffn\": \[null, 9\]' '$out' && grep -q '\"pruned\": true' '$out'"
run embed "$scratch/pruned.safetensors" --pixel-values $gelu/input.safetensors:pixel_values -o "$scratch/p.npy"
code "embed with a pruned model: exit code" 0
run bench "$scratch/pruned.json" --batch 2 --seconds 0.01 --threads 1 --json
code "bench of a pruned configuration: exit code" 0
run inherit "$scratch/pruned.safetensors" --config "$scratch/pruned.json" -o "$scratch/again.safetensors"
code "inherit from a pruned teacher: exit code" 0
run embed "$scratch/again.safetensors" --pixel-values $gelu/input.safetensors:pixel_values -o "$scratch/q.npy"
same "inherit everything from a pruned teacher" "$scratch/p.npy" "$scratch/q.npy"

cat >"$scratch/resnet.json" <<'END'
{"embed_dim":9,"vision_cfg":{"image_size":32,"layers":[1,2,1,1],"width":4,"head_width":16,"channels":[1,2,3,4,1,8,7,5,16,9,31,1]},
"text_cfg":{"context_length":8,"vocab_size":20,"width":8,"heads":2,"layers":2}}
END
run info "$scratch/resnet.json"
sed -n '15,22p' "$out" >"$scratch/lines"
mv "$scratch/lines" "$out"
prints "info of a pruned ResNet" <<'END'
pruned, layer by layer
  layer   image: channels    text: heads   FFN
   stem       1     2
      0       3     4              2    32
      1       1     8              2    32
      2       7     5
      3      16     9
      4      31     1
END
run info "$scratch/resnet.json" --json
holds "info --json of a pruned ResNet" grep -q '"vision_channels": \[1, 2, 3, 4, 1, 8, 7, 5, 16, 9, 31, 1\]' "$out"

# ---- activation and image size
run info "$scratch/pruned.safetensors" --activation quick_gelu --json
holds "--activation" sh -c "grep -q '\"activation\": \"quick_gelu\"' '$out' && grep -q '\"activation_source\": \"option: chosen with --activation\"' '$out'"
run embed "$scratch/pruned.safetensors" --activation quick_gelu --pixel-values $gelu/input.safetensors:pixel_values -o "$scratch/q.npy"
holds "--activation changes the result" sh -c "! cmp -s '$scratch/p.npy' '$scratch/q.npy'"
run info $rn.pt
holds "info of a ResNet: the activation that was decided" grep -qx "activation    gelu (configuration $rn.config.json)" "$out"
run info $rn.pt --activation quick_gelu --json
holds "--activation of a ResNet" grep -q '"activation": "quick_gelu", "vision_activation": "relu", "text_activation": "quick_gelu"' "$out"
run info $vit --image-size 112 --json --tensors
holds "--image-size" sh -c "grep -q '\"image_size\": 112' '$out' && grep -q '\"crop\": 112' '$out' && grep -q '\"shape\": \[50, 36\]' '$out'"
run preprocess $vit $images/png_rgb.png --image-size 112 -o "$scratch/small.npy"
printf '%s: [3,112,112] float32\n' "$scratch/small.npy" | prints "preprocess for another image size"
run embed $vit --image-size 112 --pixel-values "$scratch/small.npy" -o "$scratch/a.npy"
run embed $vit --image-size 112 --images $images/png_rgb.png -o "$scratch/b.npy"
same "embed for another image size" "$scratch/a.npy" "$scratch/b.npy"
run info $vit --image-size 8
code "an image smaller than a patch: exit code" 1
says "an image smaller than a patch" "image_size 8: the model needs at least one patch of 16 pixels"
config='{"embed_dim":4,"vision_cfg":{"image_size":16,"layers":1,"width":64,"patch_size":8},"text_cfg":{"context_length":8,"vocab_size":20,"width":64,"heads":1,"layers":1}}'
printf '%s' "$config" >"$scratch/usual.json"
run bench "$scratch/usual.json" --image-size 24 --batch 1 --seconds 0.01
code "bench of a configuration for another image size: exit code" 0
run info "$scratch/usual.json" --image-size 24 --json --tensors
holds "a configuration for another image size" grep -q '"shape": \[10, 64\]' "$out"
finish
