#!/bin/sh
# Fetch promtool, which checks what Prometheus is told, out of Debian's package `prometheus` into the
# folder $1. The package is not installed: it would start a server on this machine.
set -u
mkdir -p "$1"
cd "$1" || exit 0
[ ! -x promtool ] || exit 0
command -v apt-get >/dev/null 2>&1 || { echo "promtool: not here: no apt-get"; exit 0; }
if apt-get -qq download prometheus >/dev/null 2>&1 || {
    apt-get -qq update >/dev/null 2>&1 && apt-get -qq download prometheus >/dev/null 2>&1
}; then
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -O ./usr/bin/promtool >promtool &&
        chmod +x promtool && rm -f prometheus_*.deb
else
    echo "promtool: not here: apt-get could not fetch prometheus"
fi
