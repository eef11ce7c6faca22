#!/bin/sh
# diff.sh BUILD - in what two models differ, between layouts and between models; exit codes 0, 1 and 2.
. tests/cli/tap.inc
gelu=tests/data/goldens/models/hf_vit_gelu vit=tests/data/goldens/models/hf_vit

run diff $gelu/safetensors $gelu/sharded
code "two layouts of one model: exit code" 0
prints "two layouts of one model" <<'END'
the same: 62 tensors and all settings
END
run diff $gelu/safetensors $gelu/safetensors --json
code "a model and itself: exit code" 0
prints "a model and itself, as JSON" <<'END'
{"equal": true, "tensors_compared": 62, "tensors_different": 0, "settings": [], "tensors": []}
END
run diff $gelu/safetensors $vit
code "two models: exit code" 1
holds "two models: settings" grep -qx 'vision activation: gelu and quick_gelu' "$out"
holds "two models: blocks" grep -qx 'text block 1: 3 heads, 56 FFN channels and 2 heads, 80 FFN channels' "$out"
holds "two models: shapes" grep -qx 'token_embedding.weight  *shape  *\[321,24\] and \[49408,20\]' "$out"
holds "two models: the table is limited" grep -qx '... and 42 more; --all prints them' "$out"
holds "two models: sum" grep -qx '62 of 62 tensors and 18 settings differ' "$out"
run diff $vit tests/data/goldens/models/openclip_rn.pt
holds "a ViT and a ResNet" grep -qx 'image tower: ViT and ModifiedResNet' "$out"
run diff $gelu/safetensors $vit --all --json
holds "two models: --all --json" sh -c "tr '{' '\n' <'$out' | grep -c '\"kind\": \"shape\"' | grep -qx 61"
holds "two models: values" grep -q '"name": "logit_scale", "kind": "values", "shape_a": \[\], "shape_b": \[\], "max_difference": [0-9.e-]*, "relative_l2": [0-9.e-]*, "cosine": 1.0' "$out"

config='{"embed_dim":20,"vision_cfg":{"image_size":32,"layers":1,"width":28,"patch_size":8,"head_width":4,"mlp_ratio":2},
"text_cfg":{"context_length":24,"vocab_size":321,"width":24,"heads":3,"layers":1,"mlp_ratio":2}}'
printf '%s' "$config" >"$scratch/student.json"
"$tinyclip" inherit $gelu/safetensors --config "$scratch/student.json" -o "$scratch/a" >/dev/null 2>&1
"$tinyclip" inherit $gelu/safetensors --config "$scratch/student.json" -o "$scratch/b.safetensors" >/dev/null 2>&1
run diff "$scratch/a" "$scratch/b.safetensors"
code "a folder and a file: exit code" 0
run diff $gelu/safetensors "$scratch/a" --tolerance 1e30
code "beyond any tolerance: exit code" 1
holds "tensors of one side only" grep -qx 'transformer.resblocks.1.ln_1.bias  *only in A \[24\]' "$out"

run diff $gelu/safetensors
code "one model: exit code" 2
run diff $gelu/safetensors nothing
code "a model that is not there: exit code" 2
says "a model that is not there" "tinyclip: nothing: no such file or folder"
holds "a model that is not there: no result" test ! -s "$out"
finish
