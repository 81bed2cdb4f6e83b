"""What a caller uploads: made once, sent as often as it takes.

Body        bytes before, the recording (in memory, or read as it goes), bytes after
form(...)   a multipart form around a recording
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from privox_dht import limits
from privox_dht.errors import Refused

Source = bytes | Path | BinaryIO
BLOCK = 1 * limits.MIB  # bytes read from a file at once, off the loop


@dataclass(frozen=True, slots=True)
class Body:
    """One request body of known length."""

    content_type: str
    head: bytes
    source: Source
    tail: bytes
    source_size: int

    @property
    def size(self) -> int:
        return len(self.head) + self.source_size + len(self.tail)

    @property
    def asks_first(self) -> bool:
        """Whether it is large enough to ask before it is sent."""
        return self.size > limits.OFFER_ABOVE

    async def whole(self) -> bytes:
        """All of it, for what is small."""
        return b"".join([piece async for piece in self.pieces(lambda sent: None)])

    async def pieces(self, sent: Callable[[int], None]) -> AsyncGenerator[bytes]:
        """Small pieces; `sent` hears, before each, how many bytes of the recording have gone."""
        sent(0)
        yield self.head
        done = 0
        async for block in _blocks(self.source):
            for at in range(0, len(block), limits.UPLOAD_PIECE):
                piece = block[at : at + limits.UPLOAD_PIECE][: self.source_size - done]
                yield piece
                done += len(piece)
                sent(done)
        if done < self.source_size:
            raise Refused("the recording became shorter while it was sent", code="file_changed")
        yield self.tail


async def form(source: Source, fields: Sequence[tuple[str, str]], filename: str) -> Body:
    """A form with text fields first and the recording last.

    Raises:
        Refused: the recording cannot be read.
    """
    boundary = secrets.token_hex(16)
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    safe = "".join(c if c.isprintable() and c not in '"\\' else "_" for c in filename)
    lines.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{safe}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return Body(
        f"multipart/form-data; boundary={boundary}",
        "".join(lines).encode("utf-8", "replace"),
        source,
        f"\r\n--{boundary}--\r\n".encode(),
        await asyncio.to_thread(_size, source),
    )


def document(content: bytes) -> Body:
    """A JSON body."""
    return Body("application/json", content, b"", b"", 0)


def _size(source: Source) -> int:
    try:
        if isinstance(source, bytes):
            return len(source)
        if isinstance(source, Path):
            return source.stat().st_size
        return source.seek(0, os.SEEK_END)
    except (OSError, ValueError) as exc:
        raise _unreadable(exc) from exc


async def _blocks(source: Source) -> AsyncGenerator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    try:
        file = await asyncio.to_thread(_opened, source)
        try:
            while block := await asyncio.to_thread(file.read, BLOCK):
                yield block
        finally:
            if isinstance(source, Path):
                file.close()
    except (OSError, ValueError) as exc:
        raise _unreadable(exc) from exc


def _opened(source: Path | BinaryIO) -> BinaryIO:
    if isinstance(source, Path):
        return source.open("rb")
    source.seek(0)
    return source


def _unreadable(exc: Exception) -> Refused:
    why = getattr(exc, "strerror", None) or exc
    return Refused(f"the recording cannot be read: {why}", code="unreadable_file")
