"""A generator watched from outside: what it yields, and word that it is still thinking.

    async with steady(source, 1.0) as items:
        async for item in items:        None whenever a second passed without an item

The source runs in one task of its own from beginning to end. Leaving the context, for whatever
reason, cancels that task, closes the source, and returns when nothing of it is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


class _End:
    """The source is through."""


_END = _End()


@asynccontextmanager
async def steady(source: AsyncGenerator[T], every: float) -> AsyncIterator[AsyncIterator[T | None]]:
    """Items of `source`, and None whenever `every` seconds passed without one."""
    box: asyncio.Queue[T | _End] = asyncio.Queue(1)  # one ahead: it works while we send
    pump = asyncio.create_task(_pump(source, box))
    items = _unpack(pump, box, every)
    try:
        yield items
    finally:
        await items.aclose()
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _pump(source: AsyncGenerator[T], box: asyncio.Queue[T | _End]) -> None:
    try:
        async with aclosing(source):
            async for item in source:
                await box.put(item)
    finally:
        if not _cancelled():
            await box.put(_END)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _unpack(
    pump: asyncio.Task[None], box: asyncio.Queue[T | _End], every: float
) -> AsyncGenerator[T | None]:
    while True:
        item: T | _End | None = None
        try:
            async with asyncio.timeout(every):
                item = await box.get()
        except TimeoutError:
            pass
        if isinstance(item, _End):
            await pump  # raises what the source raised
            return
        yield item
