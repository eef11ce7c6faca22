#!/bin/sh
# test_arm64.sh BUILD - the library, the program and the golden tests for arm64, cross-built and run by qemu-user. `make cross-check` runs
# all tests there.
. tests/portability/portability.inc
. tests/portability/arm64.inc
missing=$(arm64_missing | head -n 1)
[ -z "$missing" ] || skip "arm64" "$missing"
folder=$build/arm64
builds "gcc for arm64 builds the library, the program and the golden tests" \
    AR=aarch64-linux-gnu-ar CC="$arm64_cc" B="$folder" all "$folder/tests/golden-run"
golden "their golden tests" $arm64_run "$folder/tests/golden-run"
echo "1..$number"
