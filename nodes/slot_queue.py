"""Waiting for a slot: the shell around `admission`, which decides.

async with slots.enter(offer):     a slot, perhaps after a wait of `offer.wait` seconds
    ...                            held until the context is left
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from nodes.admission import Admission, Ticket
from privox_dht.errors import ProducerBusy
from privox_dht.offer import Offer

LOOK_AGAIN = 0.25  # seconds between two checks of uploads while jobs wait for their slots


class SlotQueue:
    """Gives out the slots of an `Admission`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}

    def __repr__(self) -> str:
        return f"<SlotQueue {self._admission!r}>"

    @property
    def waiting(self) -> int:
        """Jobs that wait for a slot."""
        return len(self._waiting)

    @asynccontextmanager
    async def enter(self, offer: Offer) -> AsyncGenerator[None]:
        """A slot for `offer`, held while the context is open.

        Raises:
            ProducerBusy: none was free in time.
        """
        loop = asyncio.get_running_loop()
        ticket = self._admission.enter(offer, loop.time())
        try:
            if not ticket.running:
                await self._wait(ticket)
            yield
        finally:
            self._tell(self._admission.leave(ticket, loop.time()))

    def lend(self, slots: int, retry_after: float) -> None:
        """From now on so many slots are lent; see `Admission.lend`."""
        now = asyncio.get_running_loop().time()
        for following in self._admission.lend(slots, retry_after, now):
            self._tell(following)

    def _tell(self, following: Ticket | None) -> None:
        """It is its turn."""
        turn = self._waiting.get(following) if following else None
        if turn is not None and not turn.done():
            turn.set_result(None)

    async def _wait(self, ticket: Ticket) -> None:
        """Return when it is the ticket's turn."""
        loop = asyncio.get_running_loop()
        turn = self._waiting[ticket] = loop.create_future()
        ends = loop.time() + ticket.offer.wait
        try:
            while not ticket.running:
                left = ends - loop.time()
                if left <= 0:
                    raise self._admission.turned_away(ticket, loop.time())
                self._end_what_is_in_the_way()
                await asyncio.wait([turn], timeout=min(left, LOOK_AGAIN))
        finally:
            del self._waiting[ticket]

    def _end_what_is_in_the_way(self) -> None:
        ticket = self._admission.to_preempt(asyncio.get_running_loop().time())
        if ticket is not None:
            ticket.offer.end_upload(
                ProducerBusy("others wait, and this upload is slow or one of many; send it again")
            )
