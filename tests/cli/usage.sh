#!/bin/sh
# usage.sh BUILD - help, version, and wrong usage: exit code 2, nothing on standard output, one line that tells what is wrong.
. tests/cli/tap.inc

run --version
prints "--version" <<'END'
tinyclip 0.1.0
END
code "--version: exit code" 0

for word in version -V; do
    run $word
    prints "$word" <<'END'
tinyclip 0.1.0
END
done

run
code "no verb: exit code" 2
holds "no verb: nothing on standard output" test ! -s "$out"
run --help
code "--help: exit code" 0
for verb in classify score embed tokenize preprocess info train inherit distill eval bench verify demo zoo diff report; do
    holds "--help names $verb" grep -q "^  $verb " "$out"
done
cp "$out" "$scratch/overview"
holds "--help: at most 80 columns" sh -c "! grep '.\{81\}' '$out'"
for word in help -h; do
    run $word
    same "$word is --help" "$scratch/overview" "$out"
done
for verb in $(sed -n 's/^  \([a-z]*\)  *.*/\1/p' "$scratch/overview"); do
    run "$verb" --help
    code "$verb --help: exit code" 0
    holds "$verb --help: usage, options, examples" sh -c "grep -q '^usage: tinyclip $verb ' '$out' && grep -q '^options:' '$out' && grep -q '^  tinyclip\|^  find' '$out'"
    holds "$verb --help: at most 80 columns" sh -c "! sed '/^examples:/,\$d' '$out' | grep -v '^usage:\|^       tinyclip' | grep -q '.\{81\}'"
    cp "$out" "$scratch/help"
    run help "$verb"
    same "help $verb" "$scratch/help" "$out"
    run "$verb" -h
    same "$verb -h" "$scratch/help" "$out"
    run "$verb" --no-such-option
    code "$verb with an unknown option: exit code" 2
    printf "tinyclip %s: unknown option '--no-such-option'\nTry 'tinyclip %s --help'.\n" "$verb" "$verb" | complains "$verb with an unknown option"
done

run frobnicate
code "unknown verb: exit code" 2
complains "unknown verb" <<'END'
tinyclip: 'frobnicate' is not a verb
Try 'tinyclip --help'.
END
run help frobnicate
code "help for an unknown verb: exit code" 2
complains "help for an unknown verb" <<'END'
tinyclip: 'frobnicate' is not a verb
Try 'tinyclip --help'.
END

# ---- a word that is near a known one; a letter wrong, missing, too many, two exchanged; not one that only shares some letters
for pair in clasify:classify evla:eval scroe:score halp:help INFO:info tokenizer:tokenize compres:compress; do
    run "${pair%:*}" model
    printf "tinyclip: '%s' is not a verb; did you mean '%s'?\nTry 'tinyclip --help'.\n" "${pair%:*}" "${pair#*:}" | complains "did you mean ${pair#*:}"
    code "did you mean ${pair#*:}: exit code" 2
done
for word in cat no-verb x ""; do
    run "$word"
    holds "'$word' is near no verb" sh -c "! grep -q 'did you mean' '$err'"
done

wrong() { # wrong MESSAGE ARG...
    message=$1
    shift
    run "$@"
    if [ "$code" -eq 2 ] && [ ! -s "$out" ] && [ "$(head -n 1 "$err")" = "tinyclip $message" ]; then result "wrong usage: $message" 1; else result "wrong usage: $message" 0 "$err"; fi
}
wrong "classify: an argument is missing; usage: tinyclip classify MODEL IMAGE... --labels cat,dog [options]" classify model
wrong "classify: give the labels with --labels or with --labels-file" classify model image
wrong "classify: give the labels with --labels or with --labels-file" classify model image --labels a --labels-file b
wrong "classify: --top: '0' is not a whole number from 1 to 1000000000" classify model image --top 0
wrong "classify: --top: '3x' is not a whole number from 1 to 1000000000" classify model image --top 3x
wrong "classify: --top: '99999999999999999999' is not a whole number from 1 to 1000000000" classify model image --top 99999999999999999999
wrong "classify: --labels needs a value" classify model image --labels
wrong "classify: --json takes no value" classify model image --json=1
wrong "classify: --tokenizer: 'bert' is none of openclip|hf" classify model image --tokenizer bert
wrong "classify: --preprocess: 'h' is none of hf|openclip" classify model image --preprocess=h
wrong "classify: --tokenizer: 'opencilp' is none of openclip|hf; did you mean 'openclip'?" classify model image --tokenizer=opencilp
wrong "classify: unknown option '--lables'; did you mean '--labels'?" classify model image --lables a
wrong "classify: unknown option '--labels-fil'; did you mean '--labels-file'?" classify model image --labels-fil=a
wrong "classify: unknown option '-json'; did you mean '--json'?" classify model image -json
wrong "train: unknown option '--batch-size'; did you mean '--batch'?" train --batch-size 5
wrong "train: unknown option '--learning-rate'" train --learning-rate 1
wrong "eval: 'zero-shot' is none of zeroshot, retrieval; did you mean 'zeroshot'?" eval model zero-shot --data d
photo=tests/data/goldens/preprocess/images/jpg_gray.jpg
wrong "classify: $photo is a JPEG picture, not a model; usage: tinyclip classify MODEL IMAGE... --labels cat,dog [options]" classify $photo model --labels cat,dog
wrong "preprocess: $photo is a JPEG picture, not a model; usage: tinyclip preprocess [MODEL] IMAGE -o OUT.npy [--uint8] [options]" preprocess $photo model -o x.npy
wrong "info: $photo is a JPEG picture, not a model; usage: tinyclip info [MODEL] [--tensors] [--json]" info $photo
wrong "score: give at least one --image and one --text" score model --image x
wrong "embed: give one of --images, --texts-file, --pixel-values and --input-ids" embed model -o x.npy
wrong "embed: give one of --images, --texts-file, --pixel-values and --input-ids" embed model --images a b --texts-file t -o x.npy
wrong "embed: name the file to write with -o" embed model --images a
wrong "tokenize: give the texts with --text or with --texts-file" tokenize
wrong "tokenize: unexpected argument 'b'; usage: tinyclip tokenize [MODEL] --text T [--text T]... [options]" tokenize a b --text c
wrong "preprocess: name the file to write with -o" preprocess image
wrong "preprocess: --size is for images without a model; MODEL tells the size" preprocess model image -o x.npy --size 32
wrong "inherit: name the student's configuration with --config" inherit teacher -o student
wrong "inherit: --names openclip writes a file: student must end in .safetensors" inherit teacher --config c --names openclip -o student
wrong "inherit: --names hf writes a folder: s.safetensors must not end in .safetensors" inherit teacher --config c --names hf -o s.safetensors
wrong "convert: an argument is missing; usage: tinyclip convert MODEL OUT [--to hf|openclip|safetensors|onnx] [--dtype f32|f16|bf16] [--force]" convert model
wrong "convert: --to safetensors writes a file: out must end in .safetensors" convert model out --to safetensors
wrong "convert: --to onnx writes a folder: out.safetensors must not end in .safetensors" convert model out.safetensors --to onnx
wrong "convert: --to onnx writes a folder of three files: out.onnx must not end in .onnx" convert model out.onnx
wrong "convert: --dtype: 'f8' is none of f32|f16|bf16" convert model out --dtype f8
wrong "train: name a configuration with --config, or a model to start from with --init" train --data d --out o --steps 1
wrong "train: give one of --steps and --epochs" train --config c --data d --out o
wrong "train: give one of --steps and --epochs" train --config c --data d --out o --steps 1 --epochs 1
wrong "train: name the data with --data" train --config c --out o --steps 1
wrong "train: name the folder for the result with --out" train --config c --data d --steps 1
wrong "train: --beta2: '1' is not a number from 0 to below 1, or -1" train --config c --data d --out o --steps 1 --beta2 1
wrong "train: --lr: 'nan' is not a number from 0 to 1000" train --config c --data d --out o --steps 1 --lr nan
wrong "train: name the data to evaluate on with --eval-data" train --config c --data d --out o --steps 1 --eval-every 5
wrong "distill: name the models with --teacher and --student" distill --data d --out o --steps 1 --teacher t
wrong "distill: give one of --keep, --params and --macs" distill --teacher t --data d --out o --steps 1 --keep 50% --macs 2G
wrong "distill: --keep: '150%' is not a part such as 50% or 0.5, at most 100%" distill --teacher t --data d --out o --steps 1 --keep 150%
wrong "distill: --params: '20X' is not a number of parameters such as 20M" distill --teacher t --data d --out o --steps 1 --params 20X
wrong "distill: --macs: '-1' is not a number of multiply-accumulates such as 2G" distill --teacher t --data d --out o --steps 1 --macs=-1
wrong "distill: --fold-step needs one of --keep, --params and --macs" distill --teacher t --student s --data d --out o --steps 1 --fold-step 1
wrong "eval: 'both' is none of zeroshot, retrieval" eval model both --data d
wrong "eval: the model comes first: tinyclip eval model zeroshot" eval zeroshot model --data d
wrong "eval: name the data with --data" eval model zeroshot
wrong "verify: an argument is missing; usage: tinyclip verify MODEL GOLDEN.safetensors [--input F.safetensors] [--tolerance X] [options]" verify model

TINYCLIP_CPU=avx "$tinyclip" --version >"$out" 2>"$err"
code=$?
code "an unknown TINYCLIP_CPU: exit code" 2
complains "an unknown TINYCLIP_CPU" <<'END'
tinyclip: TINYCLIP_CPU: 'avx' is none of ref, avx2 and avx512
END

if [ -w /dev/full ]; then
    for form in "" --json; do
        "$tinyclip" info $form >/dev/full 2>"$err"
        code=$?
        code "a result that finds no room $form: exit code" 1
        complains "a result that finds no room $form" <<'END'
tinyclip: standard output: No space left on device
END
    done
fi

# The manual page is printed from the same tables: docs/tinyclip.1 is renewed with `tinyclip --manual >docs/tinyclip.1`.
run --manual
same "docs/tinyclip.1 is what the program says" docs/tinyclip.1 "$out"
# So is the page about recipes: `tinyclip --recipe-keys >docs/RECIPE.md`.
run --recipe-keys
same "docs/RECIPE.md is what the program says" docs/RECIPE.md "$out"

if [ -w /dev/full ]; then
    "$tinyclip" info >/dev/full 2>"$err"
    code=$?
    code "standard output cannot be written: exit code" 1
    says "standard output cannot be written" "standard output"
fi
finish
