"""FFmpeg (through PyAV) in a process of its own, since it works on untrusted files.

parent -> {"decode": rate, "most": seconds, "timeout": seconds} + the upload, if it is small
          + the file for the samples, + the upload, if it is a file
worker -> {"opened": true}              the format is known
worker -> {"samples": count}

parent -> {"encode": format, "rate": rate}
parent -> {} + 16-bit PCM               any number, then {"end": true}
worker -> {} + bytes of the file        any number, then {"fed": true}; for each of the above
"""

from __future__ import annotations

import os
from typing import Any

from nodes.engines import worker_main
from nodes.engines.link import Link
from nodes.engines.sandbox import MIB, Sandbox
from privox_dht import errors, limits
from privox_dht.atomic_file import write_all
from privox_dht.audio import Encoder
from privox_dht.audio.decoding import check_for_pyav, decode_blocks

MEMORY = 512 * MIB  # bytes; a FLAC file is written as a whole, and half an hour of one is 170 MB
SECONDS = int(limits.DECODE_TIMEOUT)  # of processor time: at most the wall time it may take
# Bytes it may write to a file; the memory for the samples is smaller, and sealed
MAX_FILE_SIZE = int(limits.MAX_AUDIO_SECONDS) * 4 * limits.MAX_RATE
PIECE = 64 * limits.KIB  # bytes of an encoded file sent at a time
TRIAL_FORMAT, TRIAL_RATE = "mp3", 24_000  # encoded at the start, to check that PyAV works


def load() -> tuple[dict[str, Any], worker_main.Handler]:
    try:
        check_for_pyav()
        Encoder(TRIAL_FORMAT, TRIAL_RATE)
    except errors.RequestRejected as exc:
        return {"able": False, "why": exc.message}, answer
    return {"able": True}, answer


def answer(request: dict[str, Any], payload: bytes, link: Link) -> None:
    if "decode" in request:
        _decode(request, payload, link)
    else:
        _encode(request, link)


def _decode(request: dict[str, Any], payload: bytes, link: Link) -> None:
    room, *upload = link.files
    blocks = decode_blocks(
        os.fdopen(upload[0], "rb", closefd=False) if upload else payload,
        request["decode"],
        max_seconds=request["most"],
        timeout=request["timeout"],
        opened=lambda: link.send({"opened": True}),
    )
    count = 0
    for samples in blocks:
        write_all(room, memoryview(samples.data).cast("B"))
        count += samples.size
    link.send({"samples": count})


def _encode(request: dict[str, Any], link: Link) -> None:
    encoder = Encoder(request["encode"], request["rate"])
    ended = False
    while not ended:
        head, pcm = link.receive()
        ended = "end" in head
        written = encoder.finish() if ended else encoder.feed(pcm)
        for at in range(0, len(written), PIECE):
            link.send({}, written[at : at + PIECE])
        link.send({"fed": True})


if __name__ == "__main__":
    worker_main.serve(load, Sandbox(memory=MEMORY, seconds=SECONDS, file_size=MAX_FILE_SIZE))
