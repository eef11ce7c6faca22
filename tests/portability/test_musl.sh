#!/bin/sh
# test_musl.sh BUILD - the library and the program compile with the headers of musl, another C library, without a warning. The other
# libraries' headers lie behind musl's; nothing is linked, since Debian has those libraries for glibc alone.
. tests/portability/portability.inc
need musl-gcc musl-tools
headers=$build/musl-headers
rm -rf "$headers"
mkdir -p "$headers"
# shellcheck disable=SC2046
for folder in $(${CC:-cc} -E -Wp,-v -xc /dev/null 2>&1 >/dev/null | sed -n 's/^ \(\/usr\/include.*\)/\1/p'); do
    for f in jansson.h jansson_config.h utf8proc.h zlib.h zconf.h zip.h zipconf.h png.h pngconf.h pnglibconf.h jpeglib.h jmorecfg.h \
        jerror.h jconfig.h gif_lib.h gmp.h webp nettle curl libpng16; do
        [ ! -e "$folder/$f" ] || ln -sf "$folder/$f" "$headers/"
    done
done
for folder in src cli; do
    sources=$(find $folder -name '*.c' ! -name 'dnnl*' ! -name 'avx*')
    : >"$log"
    for f in $sources; do
        musl-gcc -std=c11 -D_GNU_SOURCE -Iinclude -Isrc -Icli -I. -idirafter "$headers" -idirafter "$headers/libpng16" -Wall -Wextra -Wno-unknown-pragmas \
            -fsyntax-only "$f" 2>>"$log" || echo "$f: error: not compiled" >>"$log"
    done
    if [ -s "$log" ]; then bad "$folder compiles with musl"; else good "$folder compiles with musl"; fi
done
echo "1..$number"
