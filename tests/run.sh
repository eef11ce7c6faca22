#!/bin/sh
# run.sh BUILD check|golden [GOLDENS] - runs the test programs, which print TAP, and adds their lines up. The last line is
# "N passed, N failed, N skipped"; the exit code is 1 if anything failed. A program that dies counts as one failure, and so does one whose plan names
# another number of checks.
set -u
build=$1 what=$2 goldens=${3:-tests/data/goldens}
log=$build/tests/log
mkdir -p "$log"
passed=0 failed=0 skipped=0

run() { # run NAME COMMAND...
    name=$1; shift
    out=$log/$(printf '%s' "$name" | tr '/ ' '__').tap
    start=$(date +%s)
    "$@" >"$out" 2>"$out.err" </dev/null
    code=$?
    p=$(grep -ac '^ok ' "$out"); s=$(grep -aciE '^ok .*# *SKIP' "$out"); f=$(grep -ac '^not ok ' "$out")
    plan=$(awk -F'[.][.]' '/^1[.][.][0-9]+/ {n += $2} END {print n + 0}' "$out")
    [ "$plan" -eq $((p + f)) ] || {
        f=$((f + 1)); echo "  $name: $((p + f - 1)) checks, $plan planned; ended with code $code"; tail -n 15 "$out.err"
    }
    p=$((p - s))
    if [ $((p + s + f)) -eq 0 ] || { [ $code -ne 0 ] && [ "$f" -eq 0 ]; }; then
        f=$((f + 1)); echo "  $name: ended with code $code"; tail -n 15 "$out.err"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-44s %5d passed %3d failed %3d skipped %4d s\n' "$name" "$p" "$f" "$s" $(($(date +%s) - start))
    if [ "$f" -gt 0 ]; then grep -a -A 4 '^not ok' "$out" | head -n 60; fi
}

# Threads that wait do not spin, as in the program itself: on a busy machine they would take most of the time.
quiet() { name=$1; shift; run "$name" env GOMP_SPINCOUNT=30000 "$@"; }

levels=$(for l in ref avx2 avx512; do [ "$(TINYCLIP_CPU=$l "$build/tinyclip" --cpu-level)" = $l ] && echo $l; done)
if [ "$what" = golden ]; then
    for l in $levels; do quiet "golden at $l" TINYCLIP_CPU="$l" "$build/tests/golden-run" "$goldens"; done
else
    for t in "$build"/tests/kern/test_* "$build"/tests/unit/test_* "$build"/f64/ops/test_*; do
        case $t in *.d) continue ;; esac
        [ -x "$t" ] && quiet "${t#"$build"/}" "$t"
    done
    for l in $levels; do quiet "golden at $l" TINYCLIP_CPU="$l" "$build/tests/golden-run" "$goldens"; done
    for t in tests/style/*.sh tests/cli/*.sh; do [ -f "$t" ] && run "$t" sh "$t" "$build"; done
    for t in "$build"/tests/fuzz/replay_*; do
        [ -x "$t" ] && n=${t##*replay_} && run "fuzz corpus $n" "$t" "tests/fuzz/corpus/$n"
    done
fi
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
