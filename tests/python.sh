#!/bin/sh
# Makes a virtual environment with the first suitable Python: 3.11 to 3.13 (pocketsphinx has no
# wheel for 3.14 yet). Usage: python.sh FOLDER
set -eu
folder=$1
for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
    [ -n "$name" ] || continue
    "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
    if ! "$name" -c 'import venv, ensurepip' 2>/dev/null; then
        version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "$name cannot make virtual environments. On Debian and Ubuntu:" >&2
        echo "    sudo apt-get install python$version-venv" >&2
        exit 1
    fi
    echo "setting up $folder with $("$name" --version)"
    "$name" -m venv "$folder"
    exit 0
done
echo "privox_dht needs Python 3.11, 3.12 or 3.13, and none was found on the PATH." >&2
echo "    Debian, Ubuntu:  sudo apt-get install python3 python3-venv" >&2
echo "    macOS:           brew install python@3.13" >&2
echo "Or name one: make demo PYTHON=/path/to/python3.12" >&2
exit 1
