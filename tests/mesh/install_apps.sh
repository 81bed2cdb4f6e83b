#!/bin/sh
# Install apps that tests give to the gateway, unmodified: those of one kind into an environment of
# their own. They come from PyPI and npm.
#
#   install_apps.sh FOLDER PYTHON PACKAGE...     a virtual environment, with ffmpeg's program if
#                                                imageio-ffmpeg is among the packages
#   install_apps.sh FOLDER homeassistant PYTHON  Home Assistant, and all that its Wyoming
#                                                integration says it needs
#   install_apps.sh FOLDER npm PACKAGE...        node_modules
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1 kind=$2
shift 2
mkdir -p "$folder"
cd "$folder"

environment() {
    python=$1
    shift
    [ -x bin/python ] || "$python" -m venv .
    bin/python -m pip install --quiet --disable-pip-version-check "$@"
}

ffmpeg() {
    ln -sf "$(bin/python -c 'import imageio_ffmpeg as i; print(i.get_ffmpeg_exe())')" bin/ffmpeg
}

case $kind in
npm)
    npm install --silent --no-audit --no-fund "$@"
    cp "$here"/apps/*.mjs .
    ;;
homeassistant)
    environment "$1" homeassistant imageio-ffmpeg
    bin/python "$here/apps/home_assistant_needs.py" > needs.txt
    environment "$1" --requirement needs.txt
    ffmpeg
    ;;
*)
    environment "$kind" "$@"
    case " $* " in *" imageio-ffmpeg "*) ffmpeg ;; esac
    ;;
esac
