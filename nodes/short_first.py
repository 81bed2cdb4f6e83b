"""Short jobs before long ones, for engines in this process.

async with short_first.working(seconds) as at_border:    a job about so much sound
    await at_border()                                    at each border of a segment: a long job
                                                         waits while short ones are at work

Workers in processes of their own do the same by `engines.priority_lock`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from privox_dht import limits

AT_MOST = 10.0  # seconds that a long job waits at one border, or an engine that hangs would stop
# all


class ShortFirst:
    """The jobs at work, short and long."""

    def __init__(self) -> None:
        self._short = 0
        self._none_short = asyncio.Event()
        self._none_short.set()

    def __repr__(self) -> str:
        return f"<ShortFirst {self._short} short jobs at work>"

    @asynccontextmanager
    async def working(self, seconds: float) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """A job about so many seconds of sound, while the context is open; what it calls at each
        of its borders."""
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
            async with asyncio.timeout(AT_MOST):
                await self._none_short.wait()


async def _go_on() -> None:
    return
