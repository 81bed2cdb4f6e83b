"""Sound files that cost whoever opens them far more than they cost to send."""

import io
import struct
import zlib
from collections.abc import Iterator

from privox_dht.audio import Encoder, wav

RATE = 16_000
SECOND = bytes(2 * RATE)
CLAIMED = 20_000_000  # samples in each track of the M4A


def m4a_of_claims(tracks: int = 8, samples: int = CLAIMED) -> bytes:
    """3.6 kB: tables that give a number of samples and one size for all of them, eight times over.
    FFmpeg makes an index of so many entries: 5.7 GB."""
    encoder = Encoder("m4a", RATE)
    encoder.feed(SECOND)
    file = encoder.finish()
    boxes = dict(_boxes(file))
    inside = list(_boxes(boxes[b"moov"]))
    track = next(body for kind, body in inside if kind == b"trak")
    claims = _box(b"trak", _with_claims(track, samples))
    others = b"".join(_box(kind, body) for kind, body in inside if kind != b"trak")
    moov = _box(b"moov", others + claims * tracks)
    return _box(b"ftyp", boxes[b"ftyp"]) + moov + _box(b"mdat", bytes(64))


def _with_claims(body: bytes, samples: int) -> bytes:
    """A box's inside with the tables of its samples replaced."""
    tables = {
        b"stsz": struct.pack(">III", 0, 1, samples),
        b"stts": struct.pack(">IIII", 0, 1, samples, 1024),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, samples, 1),
        b"stco": struct.pack(">III", 0, 1, 48),
    }
    return b"".join(
        _box(kind, _with_claims(inside, samples) if kind in HOLDERS else tables.get(kind, inside))
        for kind, inside in _boxes(body)
    )


HOLDERS = (b"mdia", b"minf", b"stbl")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        yield kind, data[8:size]
        data = data[size:]


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def flac_of_comments(count: int) -> bytes:
    """A FLAC file with so many comments of different names: FFmpeg compares each to all before."""
    encoder = Encoder("flac", RATE)
    encoder.feed(SECOND)
    file = encoder.finish()
    info = file[4 : 4 + 4 + 34]  # the first block says what the samples are
    comments = b"".join(
        struct.pack("<I", len(text)) + text for text in (b"%06x=1" % n for n in range(count))
    )
    body = struct.pack("<I", 0) + struct.pack("<I", count) + comments
    assert len(body) < 1 << 24
    return (
        b"fLaC" + b"\0" + info[1:] + b"\x84" + len(body).to_bytes(3, "big") + body + _frames(file)
    )


def _frames(file: bytes) -> bytes:
    at, last = 4, False
    while not last:
        last = bool(file[at] & 0x80)
        at += 4 + int.from_bytes(file[at + 1 : at + 4], "big")
    return file[at:]


def mp3_with_cover(side: int) -> bytes:
    """An MP3 whose cover is a PNG of so many pixels to a side, each of 16 bits and four colours."""
    encoder = Encoder("mp3", RATE)
    sound = encoder.feed(SECOND) + encoder.finish()
    picture = b"\0image/png\0\x03\0" + png(side)
    frame = b"APIC" + _syncsafe(len(picture)) + b"\0\0" + picture
    return b"ID3\x04\0\0" + _syncsafe(len(frame)) + frame + sound


def png(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", check)

    packer = zlib.compressobj(9)
    rows = io.BytesIO()
    row = bytes(1 + 8 * side)
    for _ in range(side):
        rows.write(packer.compress(row))
    rows.write(packer.flush())
    head = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", rows.getvalue())
        + chunk(b"IEND", b"")
    )


def _syncsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def honest() -> bytes:
    return wav(SECOND, RATE)
