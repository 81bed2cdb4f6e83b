#!/bin/sh
# Install the shells whose completion the README tells of, and curl.
set -u
. "$(dirname "$0")/../install.sh"

wanted zsh zsh
wanted fish fish
wanted curl curl
install_wanted shells
