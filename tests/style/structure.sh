#!/bin/sh
# structure.sh BUILD - rules that hold the structure together, from the objects' symbols and the sources: who may call whom, what is exported, what
# stands in one place. counts.sh prints the same as figures.
set -u
build=$1
here=tests/style/measure
n=0
report() { # report NAME OFFENDERS
    n=$((n + 1))
    if [ -z "$2" ]; then echo "ok $n - structure: $1"; else
        echo "not ok $n - structure: $1"
        printf '%s\n' "$2" | head -n 20 | sed 's/^/# /'
    fi
}

# A folder calls those to its left only; folders of one number do not call each other.
order='base 0 kern 1 media 2 text 2 store 2 graph 3 net 4 model 5 format 6 data 7 zoo 7 eval 8 train 9 report 10'
calls=$(sh $here/calls.sh "$build")
report "folders call only folders to their left" "$(printf '%s\n' "$calls" | awk -v order="$order" '
    BEGIN { n = split(order, o, " "); for (i = 1; i < n; i += 2) rank[o[i]] = o[i + 1] }
    function folder(file) { sub(/^src\//, "", file); sub(/\/.*/, "", file); return file }
    $2 ~ /^src\// && $1 ~ /^src\// {
        from = folder($1); to = folder($2)
        if (!(from in rank)) print from "/ has no place in the order of folders"
        else if (from != to && rank[to] >= rank[from]) print $1 " calls " $3 " of " $2
    }' | sort -u)"
report "no circle of files" "$(printf '%s\n' "$calls" | awk -f $here/circles.awk)"


# What stands in one place.
report "nobody asks for the kind of a tower but its own files" "$(sh $here/towers.sh)"
report "defaults of settings stand in the table" "$(sh $here/defaults.sh)"
report "no function over 60 lines" "$(find src cli -name '*.[ch]' | xargs awk -f $here/functions.awk | awk '$1 > 60')"
report "no conditional expression within another" "$(find src cli -name '*.[ch]' | xargs awk -f $here/nested.awk)"
echo "1..$n"
