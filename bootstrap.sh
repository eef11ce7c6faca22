#!/bin/sh
# bootstrap.sh [build|demo|check] - installs the Debian packages that are missing, builds, and runs what was asked for.
#
#   sh bootstrap.sh demo     trains a teacher on Fashion-MNIST, makes it smaller in several ways and compares them
#   sh bootstrap.sh check    builds and runs all tests
set -eu
cd "$(dirname "$0")"
what=${1:-build}

packages="gcc libc6-dev make pkg-config libdnnl-dev libjpeg-dev libpng-dev libwebp-dev libgif-dev libutf8proc-dev libjansson-dev zlib1g-dev"
packages="$packages libzip-dev libcurl4-openssl-dev nettle-dev"
# oneDNN serves the kernels of x86 alone, and Debian does not have it everywhere.
[ "$(uname -m)" = x86_64 ] || packages=$(echo "$packages" | sed 's/ libdnnl-dev//')
case $what in
build) ;;
demo) packages="$packages dataset-fashion-mnist" ;;
check) packages="$packages dataset-fashion-mnist tuxpaint-stamps-default libcmocka-dev g++" ;;
*)
    echo "usage: sh bootstrap.sh [build|demo|check]" >&2
    exit 2
    ;;
esac

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else
        echo "bootstrap.sh: installing needs root and there is no sudo: as root, apt-get install$missing" >&2
        exit 1
    fi
}

if command -v apt-get >/dev/null; then
    missing=""
    for p in $packages; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
        [ "$state" = installed ] || missing="$missing $p"
    done
    if [ -n "$missing" ]; then
        echo "installing:$missing"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
        # shellcheck disable=SC2086
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >/dev/null
    fi
else
    echo "bootstrap.sh: no apt-get here, so nothing is installed; in Debian's names this needs: $packages" >&2
    echo "bootstrap.sh: docs/INSTALL.md has the libraries by name, and how to build without oneDNN or OpenMP" >&2
    command -v make >/dev/null || exit 1
fi

jobs=$(getconf _NPROCESSORS_ONLN)
make -s -j"$jobs" all
case $what in
demo) exec build/tinyclip demo --out build/demo ;;
check) exec make -s -j"$jobs" check ;;
esac
