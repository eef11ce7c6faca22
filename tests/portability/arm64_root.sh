#!/bin/sh
# arm64_root.sh ROOT - a folder with Debian's libraries of arm64 for building and running there. Nothing of it is executed: the packages
# are fetched by debootstrap and unpacked. Needs root, for debootstrap.
set -eu
root=$1
[ ! -e "$root/usr/include/zip.h" ] || exit 0
command -v debootstrap >/dev/null || { echo "arm64_root.sh: no debootstrap here (Debian: debootstrap)" >&2; exit 1; }
packages=libc6-dev,libgcc-12-dev,libgomp1,libjpeg-dev,libpng-dev,libwebp-dev,libgif-dev,libutf8proc-dev,libjansson-dev,zlib1g-dev
packages=$packages,libzip-dev,libcurl4-openssl-dev,nettle-dev,libcmocka-dev,dataset-fashion-mnist,tuxpaint-stamps-default
debootstrap --foreign --arch=arm64 --variant=minbase --include="$packages" bookworm "$root"
for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
rm -f "$root"/var/cache/apt/archives/*.deb
