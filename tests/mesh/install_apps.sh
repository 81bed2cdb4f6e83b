#!/bin/sh
# Install the apps that tests give to the gateway, unmodified, each kind in an environment of its own
# under the folder $1: node_modules, and a Python environment. They come from npm and PyPI.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
cp "$here/apps.mjs" .
npm install --silent --no-audit --no-fund openai@6 @ai-sdk/openai@3 ai@6
[ -x python/bin/python ] || "${2:-python3}" -m venv python
python/bin/pip install --quiet --disable-pip-version-check openai
