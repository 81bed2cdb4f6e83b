#!/bin/sh
# Makes a virtual environment with the first suitable Python. Usage: python.sh FOLDER
#
#   3.13 to 3.11    everything has wheels
#   3.14            where nothing older is found, and a C compiler and Python's headers are there:
#                   pocketsphinx has no wheel for it and is built
set -eu
folder=$1

# The minor version of a Python that can be started, or nothing.
minor() { "$1" -c 'import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)' 2>/dev/null || :; }

can_build() {
    command -v "${CC:-cc}" >/dev/null 2>&1 &&
        "$1" -c 'import os, sys, sysconfig as s; sys.exit(not os.path.exists(s.get_paths()["include"] + "/Python.h"))'
}

make_with() {
    if ! "$1" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$1 cannot make virtual environments. On Debian and Ubuntu:" >&2
        echo "    sudo apt-get install python3.$(minor "$1")-venv" >&2
        exit 1
    fi
    echo "setting up $folder with $("$1" --version)"
    "$1" -m venv "$folder"
    exit 0
}

newest=""
for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python python3.14; do
    [ -n "$name" ] || continue
    case $(minor "$name") in
        11 | 12 | 13) make_with "$name" ;;
        14) newest=${newest:-$name} ;;
        *) [ "$name" != "${PYTHON:-}" ] || echo "PYTHON=$name is not Python 3.11 to 3.14" >&2 ;;
    esac
    [ "$name" != "${PYTHON:-}" ] || [ -z "$newest" ] || break
done

if [ -n "$newest" ]; then
    if can_build "$newest"; then
        echo "building pocketsphinx for $("$newest" --version), which takes two minutes: it has no wheel for it"
        make_with "$newest"
    fi
    echo "$newest is Python 3.14, for which pocketsphinx has no wheel. To have it built, run this, then make again:" >&2
    echo "    Debian, Ubuntu:  sudo apt-get install build-essential python3.14-dev python3.14-venv" >&2
    echo "    macOS:           xcode-select --install" >&2
    echo "An older Python, which needs no compiler, does as well: make demo PYTHON=/path/to/python3.13" >&2
    exit 1
fi
echo "privox_dht needs Python 3.11 to 3.14, and none was found on the PATH." >&2
echo "    Debian, Ubuntu:  sudo apt-get install python3 python3-venv" >&2
echo "    macOS:           brew install python@3.13" >&2
echo "Or name one: make demo PYTHON=/path/to/python3.12" >&2
exit 1
