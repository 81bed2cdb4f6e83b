"""The 44-byte header of a WAV file.

    RIFF <size> WAVE | fmt <16> PCM, 1 channel, rate, bytes/s, 2, 16 bits | data <size> samples ...

The size of a stream is not known when it starts: both sizes are then 0xFFFFFFFF, which players and
decoders take as "until the end", and `patch_sizes` fills them in once the file is complete.
"""

import io
import math
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

SAMPLE = 2  # bytes: 16 bits, one channel
UNKNOWN = 0xFFFFFFFF  # a size that is not known yet
HEADER = struct.Struct("<4sI4s 4sIHHIIHH 4sI")
PCM_CODE, FMT_SIZE = 1, 16  # the plain kind of `fmt ` chunk
AFTER_RIFF_SIZE = 36  # bytes between the first size and the samples
RIFF_SIZE_AT, DATA_SIZE_AT = 4, 40  # offsets of the two sizes
OPEN_ENDED = 0x7FFFF000  # sizes from here on are written by programs that do not know the size
MAX_CHUNKS = 64  # chunks up to the samples; recorders write a few, an attacker might write millions
LONGEST_HEADER = 1 << 16  # bytes searched for the start of the samples; tags may come before it


def header(rate: int, size: int = UNKNOWN) -> bytes:
    """The header for `size` bytes of 16-bit mono PCM."""
    riff_size = UNKNOWN if size + AFTER_RIFF_SIZE >= UNKNOWN else size + AFTER_RIFF_SIZE
    return HEADER.pack(
        *(b"RIFF", riff_size, b"WAVE"),
        *(b"fmt ", FMT_SIZE, PCM_CODE, 1, rate, rate * SAMPLE, SAMPLE, SAMPLE * 8),
        *(b"data", min(size, UNKNOWN)),
    )


def wav(pcm: bytes, rate: int) -> bytes:
    """`pcm` as a complete WAV file."""
    return header(rate, len(pcm)) + pcm


def patch_sizes(file: BinaryIO) -> None:
    """Fill in the sizes of a WAV file that `Encoder` wrote into `file`, which must be seekable. A
    device that stores nothing, such as /dev/null, is left unchanged."""
    end = file.seek(0, os.SEEK_END)
    if end < HEADER.size:
        return
    file.seek(RIFF_SIZE_AT)
    file.write(struct.pack("<I", min(end - 8, UNKNOWN)))
    file.seek(DATA_SIZE_AT)
    file.write(struct.pack("<I", min(end - HEADER.size, UNKNOWN)))
    file.seek(0, os.SEEK_END)


def with_sizes(streamed: bytes | bytearray) -> bytes:
    """A WAV file that `Encoder` wrote, with the sizes filled in."""
    file = io.BytesIO(streamed)
    patch_sizes(file)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class WavFormat:
    """What the header of a WAV file states."""

    rate: int  # Hz
    channels: int
    bits: int  # per sample
    size: int  # bytes of samples; 0: unknown
    begins: int  # offset of the samples, in bytes
    code: int = PCM_CODE  # the encoding
    block: int = SAMPLE  # bytes of a sample of all channels; of compressed sound, of many

    @property
    def is_plain(self) -> bool:
        """Whether the samples are 16-bit mono PCM."""
        return (self.code, self.channels, self.bits) == (PCM_CODE, 1, SAMPLE * 8)

    @property
    def seconds(self) -> float:
        """The length of the sound; 0: unknown, as that of compressed sound always is."""
        if not self.rate or self.block != self.channels * math.ceil(self.bits / 8):
            return 0.0
        return self.size / self.block / self.rate


def parse_header(head: bytes) -> WavFormat | None:
    """The format of a WAV file that begins with `head`; None: it is no WAV file, `head` ends before
    the samples, or there is too much before them."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at, fmt = 12, b""
    for _ in range(MAX_CHUNKS):
        if len(chunk := head[at : at + 8]) < 8:
            break
        kind, size = struct.unpack("<4sI", chunk)
        at += 8
        if kind == b"data" and fmt:
            code, channels, rate, _, block, bits = struct.unpack("<HHIIHH", fmt)
            size = size if size < OPEN_ENDED else 0
            return WavFormat(rate, channels, bits, size, at, code, block)
        if kind == b"fmt " and size >= FMT_SIZE and len(head) >= at + FMT_SIZE:
            fmt = head[at : at + FMT_SIZE]
        at += size + size % 2
    return None


def stated_seconds(file: BinaryIO) -> float:
    """The length that the header of a WAV file states, in seconds; 0 if it states none."""
    file.seek(0)
    form = parse_header(file.read(LONGEST_HEADER))
    return form.seconds if form else 0.0
