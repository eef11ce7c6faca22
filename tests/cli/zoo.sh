#!/bin/sh
# zoo.sh BUILD - the list of published models; pull from a server on 127.0.0.1 that cuts, lies and stalls; names of the zoo in the place of a MODEL.
. tests/cli/tap.inc
serve=$1/tests/cli/serve make_weights=$1/tests/cli/make_weights
model=TinyCLIP-ViT-8M-16-Text-3M
file=$model-YFCC15M.pt
cache=$XDG_CACHE_HOME/tinyclip

# A server for $1 with the steps that follow; its address is what TINYCLIP_ZOO_URL says then, its log $scratch/log.
server=""
serve() {
    stop
    rm -f "$scratch/port" "$scratch/log"
    content=$1
    shift
    "$serve" "$content" "$scratch/port" "$scratch/log" 60 "$@" &
    server=$!
    tries=0
    while [ ! -s "$scratch/port" ] && [ $tries -lt 200 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
    TINYCLIP_ZOO_URL=http://127.0.0.1:$(cat "$scratch/port")/models
    export TINYCLIP_ZOO_URL
}
stop() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    [ -z "$server" ] || wait "$server" 2>/dev/null
    server=""
}
trap 'stop; rm -rf "$scratch"' EXIT

# ---- the list
run zoo
code "zoo: exit code" 0
holds "zoo lists eleven models and five teachers" sh -c "[ \$(grep -c '|  *[0-9.]*[* ]  *[0-9.]* ' '$out') -eq 16 ]"
holds "zoo: counted beside published" grep -q '^TinyCLIP-ViT-40M-32-Text-19M  *84.21  39.69+19.22   3.49 |   3.5    59.8    4,641  manual   LAION-400M$' "$out"
holds "zoo says which published figure contradicts another" grep -q '^\* TinyCLIP-auto-ViT-45M-32-Text-18M-LAIONYFCC400M: the published MACs, 1.9 G, contradict' "$out"
holds "zoo says why automatic models are not counted" grep -q 'An automatic model has its structure in its weights' "$out"
run zoo --json
code "zoo --json: exit code" 0
holds "zoo --json: one object" grep -q '^{"models": \[{"name": "TinyCLIP-ViT-39M-16-Text-19M", ' "$out"
tr '{' '\n' <"$out" >"$scratch/lines"
holds "zoo --json: counts" grep -q '"name": "TinyCLIP-ViT-8M-16-Text-3M", .*"params": 23446017, "params_without_tokens": 10797569, .*"macs": 19' "$scratch/lines"
holds "zoo --json: null before the weights are there" grep -q '"name": "TinyCLIP-auto-ViT-22M-32-Text-10M-LAION400M", .*"params": null, .*"macs": null' "$scratch/lines"
holds "zoo --json: as published" grep -q '"name": "TinyCLIP-ViT-22M/32-Text-10M", "inheritance": "auto", "trained_on": "LAION-400M", "imagenet_top1": 0.537' "$scratch/lines"

# ---- names
run zoo frobnicate
code "zoo with another word: exit code" 2
run zoo pull
code "zoo pull without a name: exit code" 2
run zoo pull nothing
code "pull of an unknown name: exit code" 1
says "pull of an unknown name" "nothing: no model of the zoo has that name (\`tinyclip zoo\` lists them)"
run zoo pull TinyCLIP-ViT-8M-16-Txt-3M
says "pull of a name that is near one" "; did you mean 'TinyCLIP-ViT-8M-16-Text-3M'?"
run zoo pull ViT-B-32
code "pull of a teacher: exit code" 1
says "pull of a teacher" "the release page holds the students, not their teachers"
run zoo pull TinyCLIP-ViT-63M/32-Text-31M
code "pull of a name that two models share: exit code" 1
says "pull of a name that two models share" "say TinyCLIP-auto-ViT-63M-32-Text-31M-LAION400M or TinyCLIP-auto-ViT-63M-32-Text-31M-LAIONYFCC400M"
run embed TinyCLIP-ViT-8M/16-Text-3M --images x -o y.npy
code "a model whose weights are not here: exit code" 1
says "a model whose weights are not here" "\`tinyclip zoo pull $model\` fetches them"
run info $model
holds "info before the weights are here" grep -q '^from          configuration$' "$out"

# ---- what goes wrong
TINYCLIP_ZOO_URL=http://127.0.0.1:1 run zoo pull $model
code "pull without a network: exit code" 1
says "pull without a network" "there is no way to that host"
holds "pull without a network leaves no download" sh -c "! ls '$cache' | grep -q '\.pt'"
unset TINYCLIP_ZOO_URL
"$make_weights" $model "$scratch/good.safetensors" || exit 1
printf '{"embed_dim":16,"vision_cfg":{"image_size":8,"layers":1,"width":16,"patch_size":4,"head_width":8},
"text_cfg":{"context_length":8,"vocab_size":49408,"width":8,"heads":1,"layers":1}}' >"$scratch/other.json"
"$make_weights" "$scratch/other.json" "$scratch/other.safetensors" || exit 1
serve "$scratch/good.safetensors" status=404
run zoo pull $model
code "pull of a file that is not there: exit code" 1
says "pull of a file that is not there" "/models/$file: the server answers 404"
serve "$scratch/good.safetensors" short
run zoo pull $model
code "pull of half a file: exit code" 1
says "pull of half a file" "$model: the download is not what it should be and is removed: "
serve "$scratch/good.safetensors" flip
run zoo pull $model
code "pull of wrong bytes: exit code" 1
says "pull of wrong bytes" "$model: the download is not what it should be and is removed: "
serve "$scratch/other.safetensors" ok
run zoo pull $model
code "pull of another model: exit code" 1
says "pull of another model" "$model: the weights have 0.00 and 0.00 million parameters (image, text), which does not fit the name"
rm "$scratch/other.safetensors"
holds "what is no good does not stay" sh -c "[ \"\$(ls '$cache')\" = $model.lock ]"

# ---- a server that cuts; a process that is killed
serve "$scratch/good.safetensors" slow=40000 cut=30000000 ok
"$tinyclip" zoo pull $model >/dev/null 2>&1 &
puller=$!
tries=0
while [ $tries -lt 500 ] && [ "$(stat -c %s "$cache/$file.part" 2>/dev/null || echo 0)" -lt 500000 ]; do
    sleep 0.02
    tries=$((tries + 1))
done
kill -9 $puller
wait $puller 2>/dev/null
run zoo pull TinyCLIP-ViT-8M/16-Text-3M --wait 0.01
code "pull after kill -9, from a server that cuts: exit code" 0
echo "$cache/$model.safetensors" | prints "pull prints the path"
says "pull goes on" "$file: going on from "
says "pull tries again" "trying again in 0.01 s"
sum=$(sha256sum <"$scratch/good.safetensors" | cut -d ' ' -f 1)
says "pull records the checksum" "$file: SHA-256 $sum, recorded; later downloads are compared with it"
holds "the record is sha256sum's" sh -c "[ \"\$(cat '$cache/$file.sha256')\" = '$sum  $file' ]"
holds "the server was asked for the rest" sh -c "[ \$(grep -c 'range=bytes=[1-9][0-9]*- if-range=\"v1\"' '$scratch/log') -eq 2 ] && [ \$(wc -l <'$scratch/log') -eq 3 ]"
holds "only weights, record and lock stay" sh -c "[ \"\$(ls '$cache' | tr '\n' ' ')\" = '$file.sha256 $model.lock $model.safetensors ' ]"
run diff "$scratch/good.safetensors" "$cache/$model.safetensors"
code "the weights are those of the server" 0

# ---- once it is there
stop
run zoo pull $model
code "pull of what is there: exit code" 0
says "pull of what is there" "$model: already in the cache"
run info TinyCLIP-ViT-8M/16-Text-3M
holds "info of the weights" grep -q '^from          tinyclip file$' "$out"
holds "the weights say where they come from" sh -c "grep -q '^  .*trained_on  *YFCC-15M\|^  .*trained_on YFCC-15M' '$out' && grep -q '^  .*sha256  *$sum' '$out'"
run tokenize $file --text "a cat"
code "the name of the file is a name, too" 0
run zoo
holds "zoo shows what is in the cache" grep -q "^$model .*; in the cache$" "$out"
run bench $model --batch 1 --seconds 0.01 --threads 1 --json
holds "bench takes the weights" sh -c "! grep -q random '$err'"
serve "$scratch/good.safetensors" flip=50000000
run zoo pull $model --force
code "--force accepts another checksum: exit code" 0
run diff "$scratch/good.safetensors" $model
code "--force has other weights: exit code" 1
holds "diff finds the one tensor" grep -q '^1 of [0-9]* tensors and 0 settings differ$' "$out"
rm "$cache/$model.safetensors"
serve "$scratch/good.safetensors" ok
echo "$sum  $file" >"$cache/$file.sha256"
run zoo pull $model
code "pull of the recorded file: exit code" 0
says "pull of the recorded file" "$sum, as recorded"
rm "$cache/$model.safetensors"
serve "$scratch/good.safetensors" flip=50000000
run zoo pull $model
code "pull of another file than the recorded one: exit code" 1
says "pull of another file than the recorded one" "but $cache/$file.sha256 recorded $sum; it is removed; --force accepts it"
holds "another file than the recorded one does not stay" test ! -e "$cache/$model.safetensors" -a ! -e "$cache/$file"

# ---- two at once: one works, the other waits
serve "$scratch/good.safetensors" slow=1000000
"$tinyclip" zoo pull $model >"$scratch/first" 2>"$scratch/first.err" &
puller=$!
run zoo pull $model
code "two at once: exit code" 0
wait $puller
holds "two at once: the other exit code" test $? -eq 0
holds "two at once: one download" sh -c "[ \$(wc -l <'$scratch/log') -eq 1 ]"
cat "$err" "$scratch/first.err" >"$scratch/both"
holds "two at once: one waits" sh -c "[ \$(grep -c 'waiting for another process that is pulling it' '$scratch/both') -eq 1 ]"
holds "two at once: and finds the weights" sh -c "[ \$(grep -c 'already in the cache' '$scratch/both') -eq 1 ]"

# ---- a file that was put there by hand
stop
rm -r "$cache"
mkdir "$cache" && echo x >"$cache/$model.safetensors.tmp-123" && echo x >"$cache/other.safetensors.tmp-123" && mv "$scratch/good.safetensors" "$cache/$file"
TINYCLIP_ZOO_URL=http://127.0.0.1:1 run zoo pull $model --json
code "a file put there by hand: exit code" 0
holds "pull --json" grep -q "^{\"name\": \"$model\", \"path\": \"$cache/$model.safetensors\"}$" "$out"

holds "what killed conversions left is removed, others' work is not" sh -c "[ \"\$(ls '$cache' | grep tmp)\" = other.safetensors.tmp-123 ]"

# ---- damage
head -c 1000000 "$cache/$model.safetensors" >"$scratch/cut"
mv "$scratch/cut" "$cache/$model.safetensors"
run zoo pull $model
code "damaged weights: exit code" 1
says "damaged weights" "the cached weights are damaged; --force pulls them again: "
HOME="" XDG_CACHE_HOME="" run zoo pull $model
code "no folder for the cache: exit code" 1
says "no folder for the cache" "neither XDG_CACHE_HOME nor HOME is set"
mkdir "$scratch/home"
HOME=$scratch/home XDG_CACHE_HOME=relative TINYCLIP_ZOO_URL=http://127.0.0.1:1 run zoo pull $model
holds "a relative XDG_CACHE_HOME does not count" test -e "$scratch/home/.cache/tinyclip/$model.lock"
finish
