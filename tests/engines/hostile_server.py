"""A speech server elsewhere that does not mean well: raw sockets, which say what a test wants.

async with hostile(says) as server:     every request is read and answered by `says(writer)`
    server.port, server.callers         where it listens; how many connections came
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

HOST = "127.0.0.1"
Says = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Hostile:
    """One listener."""

    def __init__(self, says: Says) -> None:
        self._says = says
        self.callers = 0
        self.sent = 0  # bytes

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        reading = asyncio.create_task(_read(reader))
        try:
            await asyncio.sleep(0)
            await self._says(writer)
            writer.write_eof()
            await asyncio.wait([reading], timeout=10)
        except OSError:
            pass  # it was hung up on
        finally:
            reading.cancel()
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65_536):
            pass


@contextlib.asynccontextmanager
async def hostile(says: Says) -> AsyncIterator[Hostile]:
    one = Hostile(says)
    server = await asyncio.start_server(one.serve, HOST, 0)
    one.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield one
    finally:
        server.close()


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def bytes_once(data: bytes, hang_up: bool = True) -> Says:
    """Say this, and hang up, or then say nothing."""

    async def says(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if not hang_up:
            await asyncio.Event().wait()

    return says


def without_end(first: bytes, again: bytes, pause: float = 0.0) -> Says:
    """Say this, and then that for ever."""

    async def says(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)  # the pace of the attack

    return says


def answer(body: bytes, *lines: str) -> bytes:
    """A whole answer."""
    return head(*lines, f"Content-Length: {len(body)}") + body


def transcript(**parts: object) -> bytes:
    return json.dumps({"text": "hello", **parts}).encode()
