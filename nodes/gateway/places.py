"""Waiting for one's turn at the gateway: the shell around `queue`, which decides.

async with places.enter(client, wait):     a place, perhaps after a wait of `wait` seconds
    ...                                    held until the context is left
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from nodes.gateway.queue import JobQueue, QueuedRequest


class Places:
    """Gives out the places of one service.

    Args:
        room: how many jobs may run at a time, just now.
    """

    def __init__(self, room: Callable[[], int]) -> None:
        self._room = room
        self._turns: dict[QueuedRequest, asyncio.Future[None]] = {}
        self.queue = JobQueue()

    def __repr__(self) -> str:
        return f"<Places {self.queue!r} for {self._room()}>"

    @asynccontextmanager
    async def enter(self, client: str, wait: float) -> AsyncGenerator[None]:
        """A place, held while the context is open.

        Raises:
            ProducerBusy: there was none in time.
        """
        loop = asyncio.get_running_loop()
        ticket = self.queue.enter(client, self._room(), loop.time(), wait)
        turn = self._turns[ticket] = loop.create_future()
        try:
            self.room_changed()
            if not ticket.running:
                await asyncio.wait([turn], timeout=wait)
            if not ticket.running:
                raise self.queue.busy(self._room(), loop.time(), client)
            yield
        finally:
            del self._turns[ticket]
            self.queue.leave(ticket, loop.time())
            self.room_changed()

    def room_changed(self) -> None:
        """There may be room for those that wait."""
        for ticket in self.queue.start(self._room(), asyncio.get_running_loop().time()):
            turn = self._turns[ticket]
            if not turn.done():
                turn.set_result(None)
