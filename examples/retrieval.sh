#!/bin/sh
# retrieval.sh [TINYCLIP] [OUT] - the method on image-caption pairs: a teacher on the stamps of Debian's package tuxpaint-stamps-default, and a student that
# inherits from it, both evaluated by retrieval on the tenth of the pairs that neither has seen. About two minutes on two cores.
set -eu
tinyclip=${1:-build/tinyclip} out=${2:-build/retrieval}
here=$(dirname "$0")
rm -rf "$out"
mkdir -p "$out"

"$tinyclip" train --config "$here/tuxpaint-teacher.json" --data tuxpaint --split train --out "$out/teacher" \
    --steps 240 --batch 96 --lr 1e-3 --crop-scale-min 0.5 --flip
"$tinyclip" distill --teacher "$out/teacher/model" --student "$here/tuxpaint-student.json" --inherit --data tuxpaint --split train --out "$out/student" \
    --steps 120 --batch 96 --lr 1e-3 --crop-scale-min 0.5 --flip

for m in teacher student; do
    echo "$m, on pairs that it has not seen:"
    "$tinyclip" eval "$out/$m/model" retrieval --data tuxpaint --split test
done
