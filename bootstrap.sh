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
case $what in
build) ;;
demo) packages="$packages dataset-fashion-mnist" ;;
check) packages="$packages dataset-fashion-mnist tuxpaint-stamps-default libcmocka-dev g++" ;;
*)
    echo "usage: sh bootstrap.sh [build|demo|check]" >&2
    exit 2
    ;;
esac

missing=""
for p in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $p"
done
if [ -n "$missing" ]; then
    echo "installing:$missing"
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >/dev/null
fi

jobs=$(getconf _NPROCESSORS_ONLN)
make -s -j"$jobs" all
case $what in
demo) exec build/tinyclip demo --out build/demo ;;
check) exec make -s -j"$jobs" check ;;
esac
