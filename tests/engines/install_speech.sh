#!/bin/sh
# Install people's recordings for the tests of real speech: Debian's pocketsphinx-testdata, 2 MB in
# /usr/share/pocketsphinx/test/data.
#
# Never fails a test run: where it cannot install, it says why in one line and exits 0, and the tests
# that want them skip themselves with their own reason.
set -u

say() { echo "people's recordings: $*"; }

[ ! -d /usr/share/pocketsphinx/test/data/librivox ] || { say "everything is here"; exit 0; }
command -v apt-get >/dev/null 2>&1 || { say "not installed: no apt-get here"; exit 0; }
[ "$(id -u)" = 0 ] || {
    say "not installed: needs root; try: sudo apt-get install pocketsphinx-testdata"; exit 0
}

export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -qq -y --no-install-recommends pocketsphinx-testdata >/dev/null 2>&1; }
if install || { apt-get update -qq >/dev/null 2>&1 && install; }; then
    say "installed pocketsphinx-testdata"
else
    say "not installed: apt-get could not fetch pocketsphinx-testdata"
fi
exit 0
