#!/bin/sh
# texts.sh BUILD - tokenize: ids, files, cutting, padding of both kinds.
. tests/cli/tap.inc

run tokenize --text "a photo of a cat" --text "  A  Photo&amp;amp; " --text ""
prints "ids without padding" <<'END'
49406 320 1125 539 320 2368 49407
49406 320 1125 261 49407
49406 49407
END
code "tokenize: exit code" 0

run tokenize --text "a cat" --json
holds "json: 77 ids, padded with 0" sh -c "tr -d '[:space:]' <'$out' | grep -q '^{\"input_ids\":\[\[49406,320,2368,49407\(,0\)\{73\}\]\]}\$'"
run tokenize --tokenizer hf --text "a cat" --json
holds "json: hf pads with the end" sh -c "tr -d '[:space:]' <'$out' | grep -q '^{\"input_ids\":\[\[49406,320,2368,49407\(,49407\)\{73\}\]\]}\$'"

long="a$(i=0; while [ $i -lt 99 ]; do printf ' cat'; i=$((i + 1)); done)"
run tokenize --text "$long"
code "a long text is cut: exit code" 0
holds "a long text is cut to 77 ids, the last the end" sh -c "[ \$(wc -w <'$out') -eq 77 ] && grep -q ' 49407\$' '$out'"
complains "a long text is cut, and it is said" <<'END'
tinyclip: text cut to 77 ids, 25 did not fit: "a cat cat cat cat cat cat cat cat cat cat cat cat cat cat ca..."
END

run tokenize --text "$(i=0; while [ $i -lt 90 ]; do echo cat; i=$((i + 1)); done)"
complains "a long text of many lines is told in one" <<'END'
tinyclip: text cut to 77 ids, 15 did not fit: "cat..."
END

printf '\357\273\277a cat\r\n\na dog' >"$scratch/texts"
run tokenize --texts-file "$scratch/texts"
prints "a file: mark and carriage returns are no text, an empty line is one" <<'END'
49406 320 2368 49407
49406 49407
49406 320 1929 49407
END
printf 'a cat\n' | "$tinyclip" tokenize --texts-file - >"$out" 2>"$err"
prints "standard input" <<'END'
49406 320 2368 49407
END
printf 'a \000 cat\n' >"$scratch/nul"
run tokenize --texts-file "$scratch/nul"
code "a NUL byte: exit code" 1
complains "a NUL byte" <<END
tinyclip: $scratch/nul: line 1 holds a NUL byte
END
printf 'a \377 cat\n' >"$scratch/bytes"
run tokenize --texts-file "$scratch/bytes" --json
code "bytes that are not UTF-8: exit code" 0
run tokenize --texts-file "$scratch/none"
code "no such file: exit code" 1
says "no such file" "$scratch/none: "

run tokenize tests/data/goldens/models/hf_vit_gelu/safetensors --text "a cat" --json
holds "a model's context" sh -c "[ \$(tr ',' '\n' <'$out' | wc -l) -eq 24 ]"
finish
