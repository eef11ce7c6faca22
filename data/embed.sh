#!/bin/sh
# embed.sh PREFIX FILE... - an assembler file with the bytes of each FILE between PREFIX NAME and PREFIX NAME _end (without the blanks),
# where NAME is the path with every character that C does not allow replaced by _.
set -eu
prefix=$1
shift
echo '    .section .rodata'
for f in "$@"; do
    name=$prefix$(printf '%s' "$f" | tr -c 'A-Za-z0-9' '_')
    printf '    .global %s, %s_end\n    .hidden %s, %s_end\n    .balign 64\n%s:\n    .incbin "%s"\n%s_end:\n    .byte 0\n' "$name" "$name" "$name" "$name" "$name" "$f" "$name"
done
echo '    .section .note.GNU-stack,"",@progbits'
