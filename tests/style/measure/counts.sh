#!/bin/sh
# counts.sh BUILD - figures of the tree's structure, one a line: how long, how tangled, how much stands in more than one place. docs/DESIGN.md shows
# them; structure.sh refuses those that must stay 0.
set -u
build=$1
here=tests/style/measure
count() { printf '%6d  %s\n' "$1" "$2"; }
lines() { wc -l | tr -d ' '; }

code=$(find src cli -name '*.[ch]')
# shellcheck disable=SC2086
{
    count "$(cat $code | lines)" "lines of src and cli"
    count "$(cat include/*.h | lines)" "lines of the public header"
    count "$(awk -f $here/functions.awk $code | lines)" "functions"
    count "$(awk -f $here/functions.awk $code | sort -n | awk '{n[NR] = $1} END {print n[int((NR + 1) / 2)]}')" "lines of the median function"
    count "$(awk -f $here/functions.awk $code | awk '$1 > 60' | lines)" "functions over 60 lines"
    count "$(LC_ALL=C.UTF-8 grep -hE '^.{111,}' $code include/*.h | lines)" "lines over 110 columns"
    count "$(sh $here/towers.sh | lines)" "files that ask for the kind of a tower outside its own"
    count "$(sh $here/defaults.sh | lines)" "declarations of a setting's default outside the table"
    count "$(sh $here/exported.sh "$build" | lines)" "exported symbols that are not public"
    count "$(sh $here/calls.sh "$build" | awk -f $here/circles.awk | lines)" "circles of files"
    count "$(sh $here/program.sh | lines)" "files of cli that include anything but the public header"
}
