#!/bin/sh
# style.sh - rules of the tree that a machine can check: direction of includes, sizes of files and lines, what the library must not do, the public
# header alone as C and as C++.
set -u
build=$1
n=0
report() { # report NAME OFFENDERS
    n=$((n + 1))
    if [ -z "$2" ]; then echo "ok $n - style: $1"; else
        echo "not ok $n - style: $1"
        printf '%s\n' "$2" | head -n 20 | sed 's/^/# /'
    fi
}

# base -> kern -> {media, text, store} -> graph -> net -> model -> format -> {data, zoo} -> eval -> train -> report -> cli
rank() {
    case $1 in base) echo 0 ;; kern) echo 1 ;; media | text | store) echo 2 ;; graph) echo 3 ;; net) echo 4 ;; model) echo 5 ;; format) echo 6 ;; data | zoo) echo 7 ;; eval) echo 8 ;; train) echo 9 ;; report) echo 10 ;; cli) echo 11 ;; *) echo 99 ;; esac
}
bad=""
for f in $(find src cli -name '*.[ch]'); do
    folder=$(printf '%s' "$f" | sed 's|^src/||; s|/.*||')
    for inc in $(sed -n 's|^#include "\([a-z]*\)/.*|\1|p' "$f" | sort -u); do
        [ "$inc" = "$folder" ] && continue
        [ "$(rank "$inc")" -lt "$(rank "$folder")" ] || bad="$bad
$f includes $inc/"
    done
done
report "folders include only folders to their left" "$bad"

report "no file over 800 lines (the public header is one on purpose)" "$(find src cli tests -name '*.[ch]' -exec wc -l {} + | awk '$2 != "total" && $1 > 800 {print $2": "$1}')"
report "no line over 110 columns" "$(find src cli tests include bench -name '*.[ch]' -exec env LC_ALL=C.UTF-8 grep -nE '^.{111,}' {} +)"
report "file names are unique" "$(find src cli tests -name '*.c' -exec basename {} \; | sort | uniq -d)"
report "the library does not print, exit or abort" "$(grep -nE '(^|[^a-z_])(printf|puts|perror|exit|abort|assert) *\(' -r src --include='*.c' | grep -vE '\* |//' )"
report "every file says what it does" "$(for f in $(find src cli tests include -name '*.[ch]'); do head -n 1 "$f" | grep -q '^/\*' || echo "$f"; done)"
report "no unfinished work" "$(grep -rnE '\b(TODO|FIXME|XXX|HACK)\b' src cli include tests bench --include='*.[ch]' --include='*.py')"
report "no instruction-set #ifdef" "$(grep -rnE '#if.*__(AVX|SSE|FMA)' src cli)"
report "only dnnl files know oneDNN" "$(grep -rlE '<(oneapi/dnnl/)?dnnl' src cli include | grep -v '^src/kern/dnnl')"

for compiler in "${CC:-gcc} -std=c11 -xc" "${CXX:-g++} -std=c++11 -xc++"; do
    if ! command -v "${compiler%% *}" >/dev/null; then
        n=$((n + 1))
        echo "ok $n - style: the public header compiles alone # SKIP no ${compiler%% *} here"
        continue
    fi
    report "the public header compiles alone: $compiler" "$(printf '#include "tinyclip.h"\n' | $compiler -Wall -Wextra -Werror -Iinclude -fsyntax-only - 2>&1)"
done
# The public functions are those of the header, and the header alone says which they are.
public=$(mktemp)
sh tests/style/measure/public.sh >"$public"
report "the shared library exports the public functions and nothing else" \
    "$(nm -D --defined-only "$build/libtinyclip.so" | awk '{print $3}' | LC_ALL=C sort | LC_ALL=C diff "$public" - | grep '^[<>]')"
# Whoever uses the library can do what the program does.
report "the program includes the public header and its own alone" "$(sh tests/style/measure/program.sh)"
report "the program calls public functions alone" "$(for f in cli/*.c; do nm -u "$build/obj/${f%.c}.o"; done |
    awk '$2 ~ /^tc_/ {print $2}' | LC_ALL=C sort -u | LC_ALL=C comm -13 "$public" -)"
report "each public function is used by the program, an example or a test" \
    "$(while read -r f; do grep -rqw --include='*.[ch]' "$f" cli examples tests || echo "$f"; done <"$public")"
rm -f "$public"
echo "1..$n"
