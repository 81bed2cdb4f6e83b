"""Short jobs before long ones, for engines in this process.

async with short_first.working(seconds) as give_way:    a job of so many seconds of sound
    await give_way()                                    after each segment: a long job waits while
                                                        short ones run

Engines in worker processes do the same by `engines.priority_lock`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from privox_dht import limits

MAX_WAIT = 10.0  # seconds that a long job waits after a segment, in case a short one hangs


class ShortFirst:
    """Makes long jobs wait while short ones run."""

    def __init__(self) -> None:
        self._short = 0
        self._none_short = asyncio.Event()
        self._none_short.set()

    def __repr__(self) -> str:
        return f"<ShortFirst {self._short} short jobs at work>"

    @asynccontextmanager
    async def working(self, seconds: float) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Register a job of so many seconds of sound while the context is open. Yields the function
        that the job calls after each segment."""
        if seconds > limits.SHORT_JOB_SECONDS:
            yield self._give_way
            return
        self._short += 1
        self._none_short.clear()
        try:
            yield _go_on
        finally:
            self._short -= 1
            if not self._short:
                self._none_short.set()

    async def _give_way(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_WAIT):
                await self._none_short.wait()


async def _go_on() -> None:
    return
