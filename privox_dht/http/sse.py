"""Server-sent events, both ways, and heartbeats between them. No I/O.

    server -> client   event(...)          `event: TYPE`, `data: {JSON}`, a blank line
                       HEARTBEAT_COMMENT   a comment line: alive, without a result yet
    client             Events.feed         bytes as they come -> the JSON objects in them

A stream is complete only if its last event is of a type `... .done`.

    async with with_heartbeats(source, 1.0) as batches:
        async for batch in batches:        the items since the last batch; an empty one whenever
                                           a second passed without any

The source runs in a task of its own, a few items ahead of the reader. Leaving the context cancels
that task, closes the source, and waits for both.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from privox_dht import limits
from privox_dht.errors import BadMessage

T = TypeVar("T")
AHEAD = 4  # items made before they are read: those that come together are sent together
CONTENT_TYPE = "text/event-stream"
HEARTBEAT_COMMENT = b":\n\n"

ERROR = "error"  # the type of an event that ends a stream without a result


def event(kind: str, **fields: Any) -> bytes:
    """One event; `type` is in its data too, where OpenAI's clients look for it."""
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode("utf-8", "replace")


class Events:
    """A stranger's stream: lines of bounded length, each event one JSON object with a type."""

    def __init__(self, most: int = limits.MAX_EVENT) -> None:
        self._most = most
        self._rest = bytearray()
        self._searched = 0  # bytes of the rest without a line end
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """The events that `piece` completes.

        Raises:
            BadMessage: an event is too long or malformed.
        """
        self._rest += piece
        found: list[dict[str, Any]] = []
        start = 0
        while (end := self._rest.find(b"\n", max(start, self._searched))) >= 0:
            self._line(bytes(self._rest[start:end]).rstrip(b"\r"), found)
            start = end + 1
        del self._rest[:start]
        self._searched = len(self._rest)
        if len(self._rest) > self._most:
            raise BadMessage("size", "an event is too long")
        return found

    def _line(self, line: bytes, found: list[dict[str, Any]]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:])
            if sum(map(len, self._data)) > self._most or len(self._data) > limits.MAX_FIELDS:
                raise BadMessage("size", "an event is too long")
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            if data.strip() != b"[DONE]":  # how some OpenAI-style servers end
                found.append(_object(data))


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("shape", "an event is not JSON") from exc
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise BadMessage("shape", "an event has no type")
    return value


@asynccontextmanager
async def with_heartbeats(
    source: AsyncGenerator[T], every: float
) -> AsyncIterator[AsyncIterator[list[T]]]:
    """Items of `source` as they come; an empty list after every `every` seconds without one."""
    queue: asyncio.Queue[T | None] = asyncio.Queue(AHEAD)
    pump = asyncio.create_task(_pump(source, queue))
    batches = _batches(pump, queue, every)
    try:
        yield batches
    finally:
        await batches.aclose()
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _pump(source: AsyncGenerator[T], queue: asyncio.Queue[T | None]) -> None:
    try:
        async with aclosing(source):
            async for item in source:
                await queue.put(item)
    finally:
        if not _cancelled():
            await queue.put(None)  # the end


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _batches(
    pump: asyncio.Task[None], queue: asyncio.Queue[T | None], every: float
) -> AsyncGenerator[list[T]]:
    while True:
        batch: list[T | None] = []
        try:
            async with asyncio.timeout(every):
                batch.append(await queue.get())
        except TimeoutError:
            pass
        while not queue.empty():
            batch.append(queue.get_nowait())
        items = [item for item in batch if item is not None]
        if items or not batch:
            yield items
        if len(items) < len(batch):
            await pump  # raises what the source raised
            return
