#!/bin/sh
# public.sh - the functions that the public header declares, one a line.
sed -n 's/^TC_API .*[ *]\(tc_[a-z0-9_]*\)(.*/\1/p' include/tinyclip.h | LC_ALL=C sort
