"""A generator's items, with a heartbeat while it is silent.

    async with with_heartbeats(source, 1.0) as batches:
        async for batch in batches:        what has come since the last one;
                                           an empty one whenever a second passed without anything

The source runs in a task of its own, a few items ahead of the reader.
Leaving the context, for whatever reason, cancels that task, closes the source, and returns when
nothing of it is left.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")
AHEAD = 4  # items made before they are taken: what comes together is sent together


class _End:
    """The source has ended."""


_END = _End()


@asynccontextmanager
async def with_heartbeats(
    source: AsyncGenerator[T], every: float
) -> AsyncIterator[AsyncIterator[list[T]]]:
    """Items of `source` as they come, and an empty list whenever `every` seconds brought none."""
    queue: asyncio.Queue[T | _End] = asyncio.Queue(AHEAD)
    pump = asyncio.create_task(_pump(source, queue))
    batches = _batches(pump, queue, every)
    try:
        yield batches
    finally:
        await batches.aclose()
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _pump(source: AsyncGenerator[T], queue: asyncio.Queue[T | _End]) -> None:
    try:
        async with aclosing(source):
            async for item in source:
                await queue.put(item)
    finally:
        if not _cancelled():
            await queue.put(_END)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _batches(
    pump: asyncio.Task[None], queue: asyncio.Queue[T | _End], every: float
) -> AsyncGenerator[list[T]]:
    while True:
        batch: list[T | _End] = []
        try:
            async with asyncio.timeout(every):
                batch.append(await queue.get())
        except TimeoutError:
            pass
        while not queue.empty():
            batch.append(queue.get_nowait())
        items = [item for item in batch if not isinstance(item, _End)]
        if items or not batch:
            yield items
        if len(items) < len(batch):
            await pump  # raises what the source raised
            return
