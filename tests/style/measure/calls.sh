#!/bin/sh
# calls.sh BUILD - who calls whom among the objects of the library and the program: "CALLER CALLEE SYMBOL", from their symbols.
find "$1/obj/src" "$1/obj/cli" -name '*.o' -exec nm -A {} + | awk -f tests/style/measure/calls.awk
