#!/bin/sh
# exported.sh BUILD - symbols of the shared library that the public header does not declare.
public=$(sh tests/style/measure/public.sh)
nm -D --defined-only "$1/libtinyclip.so" | awk '{print $NF}' | sed 's/@.*//' |
    awk -v public="$public" 'BEGIN {n = split(public, p, "\n"); for (i = 1; i <= n; i++) is[p[i]]} !($0 in is)'
