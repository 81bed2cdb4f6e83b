"""The body of a client's request: made once, sent to any number of servers.

RequestBody         head, recording (in memory, or read as it is sent), tail
multipart_body(...) a multipart form around a recording
"""

import asyncio
import io
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from privox_dht import limits
from privox_dht.errors import RequestRejected

T = TypeVar("T")
Source = bytes | Path | BinaryIO
BLOCK = 1 * limits.MIB  # bytes read from a file at once, in a thread


@dataclass(frozen=True, slots=True)
class RequestBody:
    """One request body of known length."""

    content_type: str
    head: bytes
    recording: BinaryIO
    recording_size: int
    tail: bytes

    @property
    def size(self) -> int:
        return len(self.head) + self.recording_size + len(self.tail)

    @property
    def large(self) -> bool:
        """Whether it is sent with `Expect: 100-continue`."""
        return self.size > limits.OFFER_ABOVE

    async def whole(self) -> bytes:
        """The whole of a small body."""
        return b"".join([piece async for piece in self.pieces(lambda sent: None)])

    async def pieces(self, sent: Callable[[int], None]) -> AsyncGenerator[bytes]:
        """From the beginning, in small pieces; before each, `sent` is called with the number of
        bytes of the recording sent so far.

        Raises:
            RequestRejected: the recording can no longer be read, or became shorter.
        """
        sent(0)
        yield self.head
        done = 0
        while done < self.recording_size:
            block = await self._block(done)
            for at in range(0, len(block), limits.UPLOAD_PIECE):
                piece = block[at : at + limits.UPLOAD_PIECE]
                yield piece
                done += len(piece)
                sent(done)
        yield self.tail

    async def _block(self, at: int) -> bytes:
        most = min(BLOCK, self.recording_size - at)
        try:
            block = await _in_thread_if_slow(self.recording, _read, self.recording, at, most)
        except (OSError, ValueError) as exc:
            raise _unreadable(exc) from exc
        if not block:
            raise RequestRejected(
                "the recording became shorter while it was sent", code="file_changed", local=True
            )
        return block


@asynccontextmanager
async def multipart_body(
    source: Source, fields: Sequence[tuple[str, str]], filename: str
) -> AsyncIterator[RequestBody]:
    """A form with text fields first and the recording last. Closes what it opened.

    Raises:
        RequestRejected: the recording cannot be read.
    """
    boundary = secrets.token_hex(16)
    head = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    safe = "".join(c if c.isprintable() and c not in '"\\' else "_" for c in filename)
    head.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{safe}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    try:
        recording, size = await _in_thread_if_slow(source, _open, source)
    except (OSError, ValueError) as exc:
        raise _unreadable(exc) from exc
    try:
        yield RequestBody(
            f"multipart/form-data; boundary={boundary}",
            "".join(head).encode("utf-8", "replace"),
            recording,
            size,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    finally:
        if recording is not source:
            recording.close()


def json_body(content: bytes) -> RequestBody:
    """A JSON body."""
    return RequestBody("application/json", content, io.BytesIO(), 0, b"")


async def _in_thread_if_slow(source: Source, work: Callable[..., T], *args: Any) -> T:
    """Call `work`, in a thread unless the source is in memory."""
    if isinstance(source, bytes | io.BytesIO):
        return work(*args)
    return await asyncio.to_thread(work, *args)


def _open(source: Source) -> tuple[BinaryIO, int]:
    if isinstance(source, bytes):
        return io.BytesIO(source), len(source)
    recording = source.open("rb") if isinstance(source, Path) else source
    try:
        return recording, recording.seek(0, os.SEEK_END)
    except (OSError, ValueError):
        if recording is not source:
            recording.close()
        raise


def _read(recording: BinaryIO, at: int, most: int) -> bytes:
    recording.seek(at)
    return recording.read(most)


def _unreadable(exc: Exception) -> RequestRejected:
    why = getattr(exc, "strerror", None) or exc
    message = f"the recording cannot be read: {why}"
    return RequestRejected(message, code="unreadable_file", local=True)
