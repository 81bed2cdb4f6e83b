"""Requests wait for their turn at the gateway; `queue` decides whose it is.

async with turns.enter(client, wait):     a turn, after `wait` seconds at most
    ...                                    held until the context is left
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from nodes.gateway.queue import JobQueue, QueuedRequest


class JobTurns:
    """Gives turns to the requests for one service.

    Args:
        capacity: returns how many jobs may run at a time, now.
    """

    def __init__(self, capacity: Callable[[], int]) -> None:
        self._capacity = capacity
        self._futures: dict[QueuedRequest, asyncio.Future[None]] = {}
        self.queue = JobQueue()

    def __repr__(self) -> str:
        return f"<JobTurns {self.queue!r} for {self._capacity()}>"

    @asynccontextmanager
    async def enter(self, client: str, wait: float) -> AsyncGenerator[None]:
        """A turn, held while the context is open.

        Raises:
            ProducerBusy: it was not its turn in time.
        """
        loop = asyncio.get_running_loop()
        ticket = self.queue.enter(client, self._capacity(), loop.time(), wait)
        turn = self._futures[ticket] = loop.create_future()
        try:
            self.capacity_changed()
            if not ticket.running:
                await asyncio.wait([turn], timeout=wait)
            if not ticket.running:
                raise self.queue.busy(self._capacity(), loop.time(), client)
            yield
        finally:
            del self._futures[ticket]
            self.queue.leave(ticket, loop.time())
            self.capacity_changed()

    def capacity_changed(self) -> None:
        """Start waiting requests if there is capacity."""
        for ticket in self.queue.start(self._capacity(), asyncio.get_running_loop().time()):
            turn = self._futures[ticket]
            if not turn.done():
                turn.set_result(None)
