"""The 44 bytes in front of a WAV file.

    RIFF <size> WAVE | fmt <16> PCM, 1 channel, rate, bytes/s, 2, 16 bits | data <size> samples ...

A stream does not know its size when it starts: both sizes are then 0xFFFFFFFF, which players and
decoders take as "until the end", and `mend_wav` fills them in once the file is complete.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

SAMPLE = 2  # bytes: 16 bits, one channel
UNKNOWN = 0xFFFFFFFF  # a size that is not known yet
HEADER = struct.Struct("<4sI4s 4sIHHIIHH 4sI")
PCM_CODE, FMT_SIZE = 1, 16  # the plain kind of `fmt ` chunk
AFTER_RIFF_SIZE = 36  # bytes between the first size and the samples
RIFF_SIZE_AT, DATA_SIZE_AT = 4, 40  # offsets of the two sizes
OPEN_ENDED = 0x7FFFF000  # sizes from here on are what programs write that do not know theirs
MOST_CHUNKS = 64  # chunks looked at in search of the samples


def header(rate: int, size: int = UNKNOWN) -> bytes:
    """What stands before `size` bytes of 16-bit mono PCM."""
    riff_size = UNKNOWN if size + AFTER_RIFF_SIZE >= UNKNOWN else size + AFTER_RIFF_SIZE
    return HEADER.pack(
        *(b"RIFF", riff_size, b"WAVE"),
        *(b"fmt ", FMT_SIZE, PCM_CODE, 1, rate, rate * SAMPLE, SAMPLE, SAMPLE * 8),
        *(b"data", min(size, UNKNOWN)),
    )


def wav(pcm: bytes, rate: int) -> bytes:
    """`pcm` as a complete WAV file."""
    return header(rate, len(pcm)) + pcm


def mend_wav(file: BinaryIO) -> None:
    """Fill in the sizes of a WAV file that `Encoder` wrote into `file`, which can seek."""
    end = file.seek(0, os.SEEK_END)
    file.seek(RIFF_SIZE_AT)
    file.write(struct.pack("<I", min(end - 8, UNKNOWN)))
    file.seek(DATA_SIZE_AT)
    file.write(struct.pack("<I", min(end - HEADER.size, UNKNOWN)))
    file.seek(0, os.SEEK_END)


def promised_seconds(file: BinaryIO) -> float:
    """How much sound the header of a WAV file promises; 0 when it promises nothing."""
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0.0
    bytes_per_second = 0
    for _ in range(MOST_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8:
            return 0.0
        kind, size = struct.unpack("<4sI", chunk)
        if kind == b"data":
            known = 0 < size < OPEN_ENDED and bytes_per_second
            return size / bytes_per_second if known else 0.0
        body = file.read(min(size, FMT_SIZE))
        if kind == b"fmt " and len(body) == FMT_SIZE:
            bytes_per_second = int.from_bytes(body[8:12], "little")
        file.seek(size - len(body) + size % 2, os.SEEK_CUR)
    return 0.0
