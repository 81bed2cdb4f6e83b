"""Engines that release Python's lock work in a thread of this process.

    async for item in stream(executor, generator):      the thread makes one item at a time, when
                                                        it is asked for one

Whoever stops listening stops the work: the generator is closed at the next border, in its own
thread, and nobody waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Executor
from typing import TypeVar

from privox_dht import errors

Item = TypeVar("Item")


async def stream(executor: Executor, work: Generator[Item]) -> AsyncGenerator[Item]:
    """The items of `work`, each made in `executor`, which must have a single thread.

    Raises:
        Failed: the engine broke. What it said is not repeated: it could hold words.
    """
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                item = await loop.run_in_executor(executor, next, work, None)
            except (errors.PrivoxError, asyncio.CancelledError):
                raise
            except Exception as exc:
                raise errors.Failed(f"the engine broke ({type(exc).__name__})") from exc
            if item is None:
                return
            yield item
    finally:
        _close_later(executor, work)


def _close_later(executor: Executor, work: Generator[Item]) -> None:
    """Close `work` behind whatever its thread is doing now."""
    try:
        executor.submit(work.close)
    except RuntimeError:  # the engine is being closed, and its thread with it
        pass
