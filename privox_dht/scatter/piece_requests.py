"""The requests for pieces of one long job. Each is a job of its own, dispatched like any other.

refresh     look up candidates        at once, then every few seconds beside the work
start       request a piece           discover, offer, pin, fail over, as for any job
straggler   a piece that takes long   another producer may get it too (see `stragglers`)
finished    jobs that have ended
cancel      another producer was quicker
"""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.job_events import Dialing, Emit, Waiting
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.sibling_slots import SiblingSlots
from privox_dht.dispatch.work import Work
from privox_dht.errors import NoProducer
from privox_dht.records import Record
from privox_dht.scatter.stragglers import Stragglers

REFRESH_EVERY = 5.0  # seconds between two look-ups of candidates
CHECK_EVERY = 1.0  # seconds between two checks for stragglers and idle producers


class NumberedPiece(Protocol):
    """A piece of something long, with its number."""

    @property
    def number(self) -> int:
        """From 0, in order."""

    @property
    def seconds(self) -> float:
        """Of sound; of a text, estimated."""


P = TypeVar("P", bound=NumberedPiece)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PieceRequest(Generic[P]):
    """A request for a piece."""

    piece: P
    ticket: int
    needs: Requirements
    last_try: bool
    duplicate: bool  # another producer has the piece too
    settled_before: int  # pieces that were settled when it was started


class PieceRequests(Generic[P, R]):
    """The requests of one recording, or of one text.

    Args:
        needs: what a producer of any piece must meet.
        wait: seconds for which each goes on while all producers are busy.
        emit: gets `Waiting` when all requests wait.
    """

    def __init__(
        self, dispatcher: Dispatcher, needs: Requirements, wait: float, emit: Emit
    ) -> None:
        assert isinstance(needs.slots, SiblingSlots)
        self.slots = needs.slots
        self.stragglers = Stragglers()
        self.candidates: list[Record] = []  # of producers that fit
        self._dispatcher = dispatcher
        self._needs = needs
        self._wait = wait
        self._emit = emit
        self._refreshed_at = float("-inf")
        self._refreshing: asyncio.Task[list[Record]] | None = None
        self._tasks: dict[asyncio.Task[Done[R]], PieceRequest[P]] = {}
        self._cancelled: set[asyncio.Task[Done[R]]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[PieceRequest[P]]:
        """The requests under way."""
        return iter([*self._tasks.values()])

    def set_candidates(self, records: list[Record]) -> None:
        """Use these records, which were looked up just now."""
        self.candidates, self._refreshed_at = records, time.monotonic()

    async def refresh(self) -> None:
        """Look up candidates: the first time wait for them, later in the background."""
        if self._refreshing is None and time.monotonic() >= self._refreshed_at + REFRESH_EVERY:
            self._refreshing = asyncio.create_task(self._dispatcher.candidates(self._needs))
            if not self.candidates:
                await asyncio.wait([self._refreshing])
        if self._refreshing is not None and self._refreshing.done():
            with suppress(NoProducer):
                self.candidates = self._refreshing.result() or self.candidates
            self._refreshing, self._refreshed_at = None, time.monotonic()

    @property
    def room(self) -> int:
        """How many more pieces could be started now."""
        return self._dispatcher.idle_slots(self.candidates, self._needs) - self.stragglers.waiting

    def straggler(self) -> PieceRequest[P] | None:
        """The worst straggler, if another producer is idle; else None."""
        ticket = self.stragglers.worst(time.monotonic())
        if ticket is None:
            return None
        holder = self.stragglers.peer_of(ticket)
        others = [record for record in self.candidates if record.peer_id != holder]
        if self._dispatcher.idle_slots(others, self._needs) <= self.stragglers.waiting:
            return None
        return next(request for request in self if request.ticket == ticket)

    def start(self, request: PieceRequest[P], work: Work[R]) -> None:
        """Request a piece."""
        self._tasks[asyncio.create_task(self._ask(request, work))] = request

    async def _ask(self, request: PieceRequest[P], work: Work[R]) -> Done[R]:
        dispatch = self._dispatcher.dispatch
        job = dispatch(request.needs, work, wait=self._wait, known=self.candidates)
        async with aclosing(job) as events:
            async for event in events:
                match event:
                    case Dialing(record=record) if record is not None:
                        self.stragglers.dialled(request.ticket, record.peer_id, time.monotonic())
                    case Waiting():
                        self.stragglers.waits(request.ticket)
                        if not self.stragglers.at_work:
                            self._emit(event)
                    case Done():
                        return event
        raise AssertionError("a job ended without Done")

    async def wait(self, *others: asyncio.Future[Any] | None) -> None:
        """Until a job or one of `others` has ended, or it is time to check for stragglers."""
        look = self.stragglers.next_check(time.monotonic())
        await asyncio.wait(
            [*self._tasks, *filter(None, [self._refreshing, *others])],
            timeout=CHECK_EVERY if look is None else min(look, CHECK_EVERY),
            return_when=asyncio.FIRST_COMPLETED,
        )

    def finished(self) -> Iterator[tuple[PieceRequest[P], asyncio.Task[Done[R]]]]:
        """Jobs that have ended. Handling one may `cancel` others, which are left out then."""
        for task in [task for task in self._tasks if task.done()]:
            if request := self._tasks.pop(task, None):
                yield request, task

    def cancel(self, request: PieceRequest[P]) -> None:
        """End a request whose result is not needed."""
        for task in [task for task, asked in self._tasks.items() if asked is request]:
            del self._tasks[task]
            self._cancelled.add(task)
            task.add_done_callback(self._forget)
            task.cancel()

    def _forget(self, task: asyncio.Task[Done[R]]) -> None:
        """Drop a cancelled job; its result or error no longer counts."""
        self._cancelled.discard(task)
        if not task.cancelled():
            task.exception()

    async def close(self, *others: Awaitable[Any] | None) -> None:
        """Cancel all requests; when this returns they have ended, and so have `others`."""
        for request in self:
            self.cancel(request)
        if self._refreshing is not None:
            self._refreshing.cancel()
        rest = filter(None, [self._refreshing, *others])
        await asyncio.gather(*self._cancelled, *rest, return_exceptions=True)
