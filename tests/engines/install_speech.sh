#!/bin/sh
# Install people's recordings for the tests of real speech: Debian's pocketsphinx-testdata, 2 MB in
# /usr/share/pocketsphinx/test/data.
set -u
. "$(dirname "$0")/../install.sh"

wanted_path /usr/share/pocketsphinx/test/data/librivox pocketsphinx-testdata
install_wanted "people's recordings"
