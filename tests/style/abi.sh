#!/bin/sh
# abi.sh BUILD [record] - a program that was compiled with an older header must find every field where it was: compares the places of all
# fields of public structs, and the sizes of these, with those in abi.txt. New fields take their room from `reserved`. `record` writes
# abi.txt anew: for a new field, or a new major version.
set -u
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# "STRUCT FIELD" for each field of each struct of the header.
fields() {
    sed 's|/\*[^*]*\*/||g' include/tinyclip.h | awk '
        /\/\*/ { comment = 1 }
        comment { if (/\*\//) comment = 0; next }
        /^typedef struct tc_[a-z0-9_]* \{/ { inside = $3; next }
        inside && /^}/ { inside = ""; next }
        inside {
            text = text " " $0
            if (text !~ /;/) next
            sub(/;.*/, "", text)
            if (match(text, /\(\*[a-z0-9_]+\)/)) print inside, substr(text, RSTART + 2, RLENGTH - 3)
            else {
                n = split(text, part, ",")
                for (i = 1; i <= n; i++) {
                    sub(/\[.*/, "", part[i])
                    match(part[i], /[a-z0-9_]+ *$/)
                    print inside, substr(part[i], RSTART, RLENGTH)
                }
            }
            text = ""
        }'
}
{
    echo '#include "tinyclip.h"'
    echo '#include <stdio.h>'
    echo 'int main(void) {'
    fields | awk '
        $1 != last { printf "printf(\"%s %%zu bytes\\n\", sizeof(%s));\n", $1, $1; last = $1 }
        $2 != "reserved" { printf "printf(\"%s.%s %%zu\\n\", offsetof(%s, %s));\n", $1, $2, $1, $2 }
        $2 == "reserved" {
            printf "if (offsetof(%s, reserved) + sizeof(((%s *)0)->reserved) != sizeof(%s)) printf(\"%s.reserved is not last\\n\");\n", $1, $1, $1, $1
        }'
    echo '    return sizeof(void *) != 8; }'
} >"$work/abi.c"
${CC:-gcc} -std=c11 -Iinclude -o "$work/abi" "$work/abi.c" 2>"$work/log" && "$work/abi" >"$work/now"
code=$?
[ "${2-}" = record ] && cp "$work/now" "$here/abi.txt"
if [ $code -ne 0 ]; then
    echo "not ok 1 - style: fields of public structs stay where they are"
    sed 's/^/# /' "$work/log"
    echo "1..1"
    exit
fi
# What only the library makes grows at its end, so its size is its own affair.
lost=$(grep -vE '^tc_(model_info|diff|zoo_model|zoo_published|setting) [0-9]+ bytes' "$here/abi.txt" | grep -vxFf "$work/now")
wrong=$(grep 'not last' "$work/now")
room=$(fields | awk '{ has[$1] = has[$1] || $2 == "reserved" } END { for (s in has) if (!has[s]) print s }' | sort | tr '\n' ' ')
new=$(grep -vxFf "$here/abi.txt" "$work/now" | grep -v bytes)
n=0
report() {
    n=$((n + 1))
    if [ -z "$2" ]; then echo "ok $n - style: $1"; else
        echo "not ok $n - style: $1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}
report "fields of public structs stay where they are" "$lost$wrong"
report "new fields of public structs are recorded (sh tests/style/abi.sh $1 record)" "$new"
report "each public struct that a program owns has reserved room" "$(printf '%s' "$room" | sed 's/^tc_diff tc_error tc_model_info tc_setting tc_zoo_model tc_zoo_published $//')"
echo "1..$n"
