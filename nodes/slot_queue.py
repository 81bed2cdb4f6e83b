"""Waits for a slot; `admission` makes the decisions.

async with slots.enter(offer):     a slot, perhaps after a wait of `offer.wait` seconds
    ...                            held until the context is left
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from nodes.admission import Admission, Ticket
from privox_dht.errors import ProducerBusy
from privox_dht.offer import Offer

CHECK_INTERVAL = 0.25  # seconds between two checks for slow uploads while jobs wait for slots


class SlotQueue:
    """Hands out the slots of an `Admission`."""

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
            self._start(self._admission.leave(ticket, loop.time()))

    def lend(self, slots: int, retry_after: float) -> None:
        """Lend so many slots from now on; see `Admission.lend`."""
        now = asyncio.get_running_loop().time()
        for following in self._admission.lend(slots, retry_after, now):
            self._start(following)

    def _start(self, following: Ticket | None) -> None:
        """Wake the job whose turn it is, if there is one."""
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
                    raise self._admission.rejection(ticket, loop.time())
                self._preempt_upload()
                await asyncio.wait([turn], timeout=min(left, CHECK_INTERVAL))
        finally:
            del self._waiting[ticket]

    def _preempt_upload(self) -> None:
        ticket = self._admission.to_preempt(asyncio.get_running_loop().time())
        if ticket is not None:
            ticket.offer.end_upload(
                ProducerBusy("others wait, and this upload is slow or one of many; send it again")
            )
