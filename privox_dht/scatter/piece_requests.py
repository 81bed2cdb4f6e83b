"""The pieces of one long job that are with producers now: who could be asked, who is, what he says.

look     who could be asked                  at once, from then on every few seconds
give     a piece is a job of its own         discover, offer, pin, fail over, as for any other
lagging  it takes too long (see `plan`)      another one may be given it too
ended    a job that has ended
hang_up  another one was quicker
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
from privox_dht.scatter.plan import Plan

LOOK_AGAIN = 5.0  # seconds between two looks at who else has come
LOOK_AT_LEAST = 1.0  # seconds between two looks at what lags, and who is idle by now


class Numbered(Protocol):
    """A piece of something long."""

    @property
    def number(self) -> int:
        """Its place among the others."""

    @property
    def seconds(self) -> float:
        """Of sound that it has, or will have."""


P = TypeVar("P", bound=Numbered)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PieceRequest(Generic[P]):
    """A piece that was given out."""

    piece: P
    ticket: int
    needs: Requirements
    last_try: bool
    second: bool  # another producer has it too
    settled_before: int  # pieces that were settled when it was given out


class PieceRequests(Generic[P, R]):
    """Jobs of one recording, or of one text.

    Args:
        needs: who could do any of them.
        wait: seconds that each goes on asking while everybody is busy.
        emit: is told when all wait.
    """

    def __init__(
        self, dispatcher: Dispatcher, needs: Requirements, wait: float, emit: Emit
    ) -> None:
        assert isinstance(needs.slots, SiblingSlots)
        self.slots = needs.slots
        self.plan = Plan()
        self.records: list[Record] = []  # of those who could be asked
        self._dispatcher = dispatcher
        self._needs = needs
        self._wait = wait
        self._emit = emit
        self._looked = float("-inf")
        self._looking: asyncio.Task[list[Record]] | None = None
        self._tasks: dict[asyncio.Task[Done[R]], PieceRequest[P]] = {}
        self._hung_up: set[asyncio.Task[Done[R]]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[PieceRequest[P]]:
        """All that are asked for."""
        return iter([*self._tasks.values()])

    def found(self, records: list[Record]) -> None:
        """Somebody looked a moment ago, and these could be asked."""
        self.records, self._looked = records, time.monotonic()

    async def look(self) -> None:
        """Who could be asked: at first at once, from then on while others work."""
        if self._looking is None and time.monotonic() >= self._looked + LOOK_AGAIN:
            self._looking = asyncio.create_task(self._dispatcher.candidates(self._needs))
            if not self.records:
                await asyncio.wait([self._looking])
        if self._looking is not None and self._looking.done():
            with suppress(NoProducer):
                self.records = self._looking.result() or self.records
            self._looking, self._looked = None, time.monotonic()

    @property
    def idle(self) -> int:
        """For how many more pieces there is room."""
        return self._dispatcher.idle_slots(self.records, self._needs) - self.plan.waiting

    def lagging(self) -> PieceRequest[P] | None:
        """What another one, who is idle, should be given too; None: nothing."""
        ticket = self.plan.lagging(time.monotonic())
        if ticket is None:
            return None
        holder = self.plan.peer_of(ticket)
        others = [record for record in self.records if record.peer_id != holder]
        if self._dispatcher.idle_slots(others, self._needs) <= self.plan.waiting:
            return None
        return next(request for request in self if request.ticket == ticket)

    def give(self, request: PieceRequest[P], work: Work[R]) -> None:
        """Ask for a piece."""
        self._tasks[asyncio.create_task(self._ask(request, work))] = request

    async def _ask(self, request: PieceRequest[P], work: Work[R]) -> Done[R]:
        dispatch = self._dispatcher.dispatch
        job = dispatch(request.needs, work, wait=self._wait, known=self.records)
        async with aclosing(job) as events:
            async for event in events:
                match event:
                    case Dialing(record=record) if record is not None:
                        self.plan.dialled(request.ticket, record.peer_id, time.monotonic())
                    case Waiting():
                        self.plan.waits(request.ticket)
                        if not self.plan.at_work:
                            self._emit(event)
                    case Done():
                        return event
        raise AssertionError("a job ended without its end")

    async def something(self, *others: asyncio.Future[Any] | None) -> None:
        """Wait until a job or one of `others` has ended, or something lags."""
        look = self.plan.next_look(time.monotonic())
        await asyncio.wait(
            [*self._tasks, *filter(None, [self._looking, *others])],
            timeout=LOOK_AT_LEAST if look is None else min(look, LOOK_AT_LEAST),
            return_when=asyncio.FIRST_COMPLETED,
        )

    def ended(self) -> Iterator[tuple[PieceRequest[P], asyncio.Task[Done[R]]]]:
        """Jobs that have ended. One may end others (`hang_up`), which are not told then."""
        for task in [task for task in self._tasks if task.done()]:
            if request := self._tasks.pop(task, None):
                yield request, task

    def hang_up(self, request: PieceRequest[P]) -> None:
        """Nobody wants it any more."""
        for task in [task for task, asked in self._tasks.items() if asked is request]:
            del self._tasks[task]
            self._hung_up.add(task)
            task.add_done_callback(self._forget)
            task.cancel()

    def _forget(self, task: asyncio.Task[Done[R]]) -> None:
        """It is too late, whether it was done, failed or was cancelled."""
        self._hung_up.discard(task)
        if not task.cancelled():
            task.exception()

    async def end(self, *others: Awaitable[Any] | None) -> None:
        """Nothing is asked for any more when this returns, and `others` are done."""
        for request in self:
            self.hang_up(request)
        if self._looking is not None:
            self._looking.cancel()
        rest = filter(None, [self._looking, *others])
        await asyncio.gather(*self._hung_up, *rest, return_exceptions=True)
