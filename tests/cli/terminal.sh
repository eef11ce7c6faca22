#!/bin/sh
# terminal.sh BUILD - lines of progress: on a terminal one line that is written over and never wraps; plain lines where there is none, where it is
# called dumb, and where NO_COLOR is set.
. tests/cli/tap.inc
if ! script -qec true /dev/null >/dev/null 2>&1; then
    echo "ok 1 - terminal # SKIP there is no script(1) (Debian: bsdutils)"
    echo "1..1"
    exit 0
fi
printf '\0\0\010\003\0\0\0\004\0\0\0\001\0\0\0\001\0\377\0\377' >"$scratch/images.idx"
printf '\0\0\010\001\0\0\0\004\0\001\0\001' >"$scratch/labels.idx"
printf 'black\nwhite\n' >"$scratch/classes"
printf '{"embed_dim":16,"vision_cfg":{"image_size":8,"layers":1,"width":16,"patch_size":4,"head_width":8},
"text_cfg":{"context_length":8,"vocab_size":49408,"width":16,"heads":2,"layers":1}}' >"$scratch/c.json"

# terminal COLUMNS [NAME=VALUE]...: a training run on a terminal of that width; what it wrote there is in $out.
terminal() {
    width=$1
    shift
    script -qec "stty cols $width; exec env $* '$tinyclip' train --config '$scratch/c.json' --data 'idx:$scratch/images.idx,$scratch/labels.idx,$scratch/classes' --out '$scratch/run' --steps 3 --batch 4 --threads 1" \
        /dev/null >"$out" 2>"$err" </dev/null
    rm -rf "$scratch/run"
}
escapes() { tr -dc '\033' <"$out" | wc -c; }
# The lines of progress, which begin with a return and end with a sequence that clears the rest.
progress() { tr '\r' '\n' <"$out" | sed -n "s/$(printf '\033')\[K.*//p" | grep .; }

for width in 30 50 80 200; do
    terminal $width TERM=xterm
    holds "$width columns: there is progress" sh -c "[ $(progress | wc -l) -ge 1 ]"
    progress >"$scratch/lines"
    holds "$width columns: no line wraps" awk -v w=$width 'length($0) > w - 1 { print; bad = 1 } END { exit bad }' "$scratch/lines"
    holds "$width columns: what it begins with is there" grep -q '^step [0-9]*/3' "$scratch/lines"
done
holds "200 columns: all of it" grep -q 'pairs/s$' "$scratch/lines"
for setting in TERM=dumb NO_COLOR=1; do
    terminal 80 TERM=xterm $setting
    holds "$setting: no control sequences" test "$(escapes)" -eq 0
    holds "$setting: plain lines" grep -q '^step [0-9]/3 .*pairs/s' "$out"
done
finish
