#!/bin/sh
# run.sh BUILD check|golden [GOLDENS] - runs the test programs, which print TAP, and adds their lines up. The last line is
# "N passed, N failed, N skipped"; the exit code is 1 if anything failed. A program that dies counts as one failure, and so does one whose plan names
# another number of checks.
#
# RUN is what runs programs of another machine, as in RUN="qemu-aarch64-static -L ROOT". The tests in shell then get scripts in place of
# the programs; those of the tree itself and those that compile for this machine are left out.
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
RUN=${RUN:-}
# shellcheck disable=SC2086
quiet() { name=$1; shift; run "$name" env GOMP_SPINCOUNT=30000 $RUN "$@"; }

for_shell=$build
if [ -n "$RUN" ]; then
    for_shell=$build/run
    mkdir -p "$for_shell/tests/cli"
    for p in tinyclip $(cd "$build" && ls tests/cli/*); do
        printf '#!/bin/sh\nexec env GOMP_SPINCOUNT=30000 %s "%s" "$@"\n' "$RUN" "$(cd "$build" && pwd)/$p" >"$for_shell/$p"
        chmod +x "$for_shell/$p"
    done
fi
shell_tests() {
    for t in tests/style/*.sh tests/cli/*.sh tests/portability/test_*.sh; do
        case $t in
        tests/style/* | tests/portability/* | tests/cli/install.sh | tests/cli/examples.sh) [ -z "$RUN" ] || continue ;;
        esac
        [ ! -f "$t" ] || echo "$t"
    done
}

golden() {
    for l in $(for l in ref avx2 avx512; do [ "$(TINYCLIP_CPU=$l "$for_shell/tinyclip" --cpu-level)" = $l ] && echo $l; done); do
        TINYCLIP_CPU=$l
        export TINYCLIP_CPU
        quiet "golden at $l" "$build/tests/golden-run" "$goldens"
        unset TINYCLIP_CPU
    done
}

if [ "$what" = golden ]; then
    golden
else
    for t in "$build"/tests/kern/test_* "$build"/tests/unit/test_* "$build"/f64/ops/test_*; do
        case $t in *.d) continue ;; esac
        [ -x "$t" ] && quiet "${t#"$build"/}" "$t"
    done
    golden
    for t in $(shell_tests); do run "$t" sh "$t" "$for_shell"; done
    for t in "$build"/tests/fuzz/replay_*; do
        [ -x "$t" ] && n=${t##*replay_} && quiet "fuzz corpus $n" "$t" "tests/fuzz/corpus/$n"
    done
fi
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
