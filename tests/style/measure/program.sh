#!/bin/sh
# program.sh - files of the program that include a header of the library other than the public one.
grep -lE '^#include "[a-z0-9]+/' cli/*.[ch]
true
