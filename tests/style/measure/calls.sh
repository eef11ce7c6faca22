#!/bin/sh
# calls.sh BUILD - who calls whom among the sources of the library and the program: "CALLER CALLEE SYMBOL", from the symbols of their objects. An
# object whose source is gone does not count.
find src cli -name '*.c' | sed "s|^|$1/obj/|; s|c\$|o|" | while read -r o; do [ ! -f "$o" ] || echo "$o"; done | xargs nm -A |
    awk -f tests/style/measure/calls.awk
