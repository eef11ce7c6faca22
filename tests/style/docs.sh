#!/bin/sh
# docs.sh BUILD - what the documents say that a machine can look up: links lead somewhere; commands have verbs
# and options that exist; functions, tests and files that are named are there. docs.awk finds what is to be
# looked up.
set -u
LC_ALL=C.UTF-8
export LC_ALL
build=$1
n=0
tab='	'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
report() { # report NAME OFFENDERS
    n=$((n + 1))
    if [ -z "$2" ]; then echo "ok $n - docs: $1"; else
        echo "not ok $n - docs: $1"
        printf '%s\n' "$2" | head -n 20 | sed 's/^/# /'
    fi
}

documents=$(find README.md data docs examples -name '*.md' | sort)
# shellcheck disable=SC2086
awk -f tests/style/docs.awk $documents >"$work/found"
of() { sed -n "s/^$1$tab//p" "$work/found"; } # of KIND: lines FILE:LINE <tab> what
missing() {                                   # missing KIND LIST: what is found and is no line of the list
    of "$1" | while IFS=$tab read -r at what; do grep -qxF -- "$what" "$work/$2" || echo "$at: $what"; done
}

report "the documents are read" "$(for kind in link verb option function where; do
    [ "$(of $kind | wc -l)" -gt 20 ] || echo "too little of kind $kind"
done)"
# shellcheck disable=SC2086
report "no line over 110 columns, tables and links aside" \
    "$(grep -nHE '^.{111,}' $documents | grep -vE ':[0-9]+:(\||<!--|.*\]\()' | cut -c1-80)"

# ---- links: the file is there, and so is the heading
of anchor | sed "s/:[0-9]*$tab/ /" >"$work/anchors"
report "links lead to files and headings" "$(of link | while IFS=$tab read -r at target; do
    file=${at%%:*} path=${target%%#*}
    to=$file
    [ -z "$path" ] || to=$(realpath -m --relative-to=. "$(dirname "$file")/$path")
    [ -e "$to" ] || { echo "$at: $target"; continue; }
    case $target in
    *'#'*) grep -qxF "$to ${target#*#}" "$work/anchors" || echo "$at: no heading for $target" ;;
    esac
done)"

# ---- the program's verbs and options; * stands for any verb
"$build/tinyclip" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p' >"$work/verbs"
for verb in $(cat "$work/verbs"); do
    "$build/tinyclip" "$verb" --help | sed -n 's/^  \(--*[a-z][a-z0-9-]*\).*/\1/p' | sed "s/.*/& $verb\n& */"
done | sort -u >"$work/options"
printf '%s *\n' --version --manual >>"$work/options"
printf '%s\n' help version >>"$work/verbs"
report "commands name verbs that there are" "$(missing verb verbs)"
report "commands name options that their verbs have" "$(missing option options)"

# ---- functions, tests and files of the tree
# A definition: the name and its bracket at the start of a line or behind a type; a declaration will do.
type='([a-zA-Z_][^;=]*[ *])?'
report "functions with a link are in the file of the link" "$(of where | while IFS=$tab read -r at what; do
    name=${what%% *} file=$(dirname "${at%%:*}")/${what#* }
    grep -qE "^$type$name\(" "$file" 2>/dev/null || echo "$at: $name() in ${what#* }"
done)"
find src cli include tests examples -name '*.[ch]' -exec cat {} + |
    sed -nE "s/^$type([a-zA-Z_][a-zA-Z0-9_]*)\(.*/\2/p" | sort -u >"$work/functions"
report "functions that are named are in the tree" "$(missing function functions)"
{ git ls-files 2>/dev/null | grep . || find . -type f | sed 's|^\./||'; } | sed 's|^|/|' >"$work/paths"
report "files that are named are in the tree" "$(of file | while IFS=$tab read -r at name; do
    name=${name##*../}
    grep -q -- "/$(printf '%s' "$name" | sed 's/[.]/[.]/g')\$" "$work/paths" || echo "$at: $name"
done)"
echo "1..$n"
