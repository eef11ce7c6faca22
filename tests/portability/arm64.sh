#!/bin/sh
# arm64.sh BUILD - all tests of unit, operations, golden data, program and fuzz corpora for arm64; closes with "N passed, N failed,
# N skipped", or skips with what is missing.
set -u
. tests/portability/arm64.inc
missing=$(arm64_missing)
if [ -n "$missing" ]; then
    printf 'SKIP: %s\n' "$missing"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
on_arm64 B="$1" check
