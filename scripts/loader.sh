#!/bin/sh
# loader.sh LIBDIR - after an installation: lets the loader look for new libraries, where that is allowed, and says so if it will not
# find libtinyclip.so in LIBDIR. Fails never: what is installed is installed.
libdir=$1
if command -v ldconfig >/dev/null; then
    [ "$(id -u)" -ne 0 ] || ldconfig
    ldconfig -p 2>/dev/null | grep -qF "=> $libdir/libtinyclip.so" && exit 0
fi
echo "note: the loader does not look into $libdir: link with -Wl,-rpath,$libdir, set LD_LIBRARY_PATH, or add it to /etc/ld.so.conf.d"
exit 0
