#!/bin/sh
# test_clang.sh BUILD - Clang, and a machine without oneDNN (and with that OpenMP): everything builds without a warning, and the numbers are
# the same.
. tests/portability/portability.inc
need clang clang
folder=$build/clang
builds "clang without oneDNN builds the library, the program and the golden tests" \
    B="$folder" CC=clang OPT=-O1 DNNL=0 all "$folder/tests/golden-run"
for level in ref avx2 avx512; do
    [ "$(TINYCLIP_CPU=$level "$folder/tinyclip" --cpu-level)" = $level ] || continue
    golden "its golden tests at $level" env TINYCLIP_CPU=$level "$folder/tests/golden-run"
done
echo "1..$number"
