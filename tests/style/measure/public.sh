#!/bin/sh
# public.sh - the functions that the public header declares, one a line.
${CC:-gcc} -E -P -Iinclude include/tinyclip.h | tr '\n' ' ' | tr ';' '\n' |
    sed -nE '/typedef/d; s/^.*[ *](tc_[a-z0-9_]+) *\(.*$/\1/p' | sort -u
