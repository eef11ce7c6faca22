#!/bin/sh
# install.sh - where `make install` puts things and what tinyclip.pc says of it; the README's C program against the installed copy, shared
# and as an archive; `make uninstall` leaves nothing.
. tests/cli/tap.inc
build=$1
root=$PWD
GOMP_SPINCOUNT=30000
export GOMP_SPINCOUNT
unset BINDIR LIBDIR INCLUDEDIR MANDIR DESTDIR
# A library with sanitizers wants them in the program too.
sanitize=
nm -D "$build/libtinyclip.so" 2>/dev/null | grep -q __asan_init && sanitize=-fsanitize=address,undefined

install_to() { # install_to TARGET SETTING...
    target=$1
    shift
    make -s B="$build" "$target" "$@" 2>>"$scratch/make"
}
files() { (cd "$1" && find . ! -type d | sort); }
config() { PKG_CONFIG_PATH=$1/pkgconfig pkg-config $2 tinyclip; }
says_config() { # says_config NAME LIBDIR OPTIONS EXPECTED
    config "$2" "$3" | sed 's/ *$//' >"$out"
    prints "$1" <<END
$4
END
}

# ---- a prefix and a folder of libraries that nobody looks into

prefix=$scratch/opt-1/usr libdir=$scratch/opt-1/usr/lib/x86_64-linux-gnu
install_to install PREFIX="$prefix" LIBDIR="$libdir" MANDIR="$prefix/man" >"$scratch/install"
holds "install tells that the loader does not look there" grep -qF "the loader does not look into $libdir" "$scratch/install"
version=$("$tinyclip" --version | sed 's/^tinyclip //; s/ .*//')
files "$prefix" >"$out"
prints "what is installed" <<END
./bin/tinyclip
./include/tinyclip.h
./lib/x86_64-linux-gnu/libtinyclip.a
./lib/x86_64-linux-gnu/libtinyclip.so
./lib/x86_64-linux-gnu/libtinyclip.so.${version%%.*}
./lib/x86_64-linux-gnu/libtinyclip.so.$version
./lib/x86_64-linux-gnu/pkgconfig/tinyclip.pc
./man/man1/tinyclip.1
END
holds "the installed program runs" test "$("$prefix/bin/tinyclip" --version)" = "$("$tinyclip" --version)"
says_config "tinyclip.pc: the version" "$libdir" --modversion "$version"
says_config "tinyclip.pc: the prefix" "$libdir" --variable=prefix "$prefix"
says_config "tinyclip.pc: what a program needs" "$libdir" "--cflags --libs" "-I$prefix/include -L$libdir -ltinyclip"

# ---- the README's program

cat >"$scratch/small.json" <<'END'
{"embed_dim": 20,
 "vision_cfg": {"image_size": 48, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
 "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}
END
"$build/tests/cli/make_weights" "$scratch/small.json" "$scratch/model" || exit 1
photo=$root/tests/data/goldens/preprocess/images/jpg_444.jpg
cc() { ${CC:-gcc} $sanitize "$@"; }
as_written() { # as_written FOLDER: the README's program, compiled there by the README's line
    awk '/^```/ { inside = $0 == "```c" && !seen++; next } inside' README.md >"$1/fits.c"
    line=$(grep '^cc fits\.c ' README.md | sed "s/pkg-config/pkg-config $2/")
    (cd "$1" && eval "$line")
}
mkdir "$scratch/shared" "$scratch/static"
"$tinyclip" score "$scratch/model" --image "$photo" --text "a photo of a cat" --json 2>"$err" |
    sed -n 's/.*"cosines": \[\[\([-0-9.e]*\).*/\1/p' | awk '{ printf "%.4f  a photo of a cat\n", $1 }' >"$scratch/expected"
holds "score gives a cosine" test -s "$scratch/expected"

PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
holds "the README's program compiles as written" as_written "$scratch/shared" ""
LD_LIBRARY_PATH=$libdir "$scratch/shared/fits" "$scratch/model" "$photo" "a photo of a cat" >"$out" 2>"$err"
same "the README's program gives the cosine of score" "$scratch/expected" "$out"

# ---- the archive alone

install_to install SHARED=0 PREFIX="$scratch/archive" >"$scratch/install"
holds "without the shared library nothing is said of the loader" test ! -s "$scratch/install"
holds "without the shared library" test "$(files "$scratch/archive/lib" | tr '\n' ' ')" = "./libtinyclip.a ./pkgconfig/tinyclip.pc "
PKG_CONFIG_PATH=$scratch/archive/lib/pkgconfig
holds "the README's program compiles with the archive" as_written "$scratch/static" --static
"$scratch/static/fits" "$scratch/model" "$photo" "a photo of a cat" >"$out" 2>"$err"
same "the README's program with the archive" "$scratch/expected" "$out"

# ---- packages, blanks, symbols; and everything away again

install_to install-strip DESTDIR="$scratch/package" PREFIX=/usr >"$scratch/install"
holds "DESTDIR: the loader is no matter" test ! -s "$scratch/install"
holds "DESTDIR: the same files, below it" test "$(files "$scratch/package/usr" | wc -l)" -eq 8
holds "DESTDIR: tinyclip.pc names the place of later" grep -qx 'prefix=/usr' "$scratch/package/usr/lib/pkgconfig/tinyclip.pc"
holds "install-strip: no symbols" test -z "$(nm "$scratch/package/usr/bin/tinyclip" 2>/dev/null)"
holds "install-strip: the program runs" "$scratch/package/usr/bin/tinyclip" --version
holds "a prefix with a blank" install_to install PREFIX="$scratch/with blank"
holds "a prefix with a blank: the program runs" "$scratch/with blank/bin/tinyclip" --version

install_to uninstall PREFIX="$prefix" LIBDIR="$libdir" MANDIR="$prefix/man" >"$scratch/install"
install_to uninstall PREFIX="$scratch/archive" >>"$scratch/install"
install_to uninstall DESTDIR="$scratch/package" PREFIX=/usr >>"$scratch/install"
install_to uninstall PREFIX="$scratch/with blank" >>"$scratch/install"
for folder in opt-1 archive package "with blank"; do
    holds "nothing is left: $folder" test -z "$(files "$scratch/$folder")"
done
finish
