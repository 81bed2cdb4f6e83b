#!/bin/sh
# Install the shells whose completion the README tells of, curl, and what `--play` plays with.
set -u
. "$(dirname "$0")/../install.sh"

wanted zsh zsh
wanted fish fish
wanted curl curl
wanted aplay alsa-utils
wanted_path "/usr/lib/$(uname -m)-linux-gnu/libportaudio.so.2" libportaudio2
install_wanted "shells and players"
