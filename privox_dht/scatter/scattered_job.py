"""One long job as many short ones: which piece is given out next, and what is to be done with it.

    source      pieces, made as they are wanted
    requests    each is a job of its own; one that lags is given to a second producer, and the first
                answer counts

At most `jobs` pieces are given out at a time, and no more than there are idle slots. A piece on
which two producers died waits until nothing else can be done, and is left out if it kills a third.
What becomes of the answers is for subclasses to say.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from privox_dht import limits
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.job_events import Emit, Scattered
from privox_dht.dispatch.job_options import JobOptions
from privox_dht.dispatch.job_state import Attempt, Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.sibling_slots import SiblingSlots
from privox_dht.dispatch.work import Work
from privox_dht.errors import (
    AllProducersBusy,
    AllProducersFailed,
    JobError,
    NoProducer,
    RequestRejected,
)
from privox_dht.scatter.piece_requests import Numbered, PieceRequest, PieceRequests

READY = 2  # pieces that are made before somebody wants them
HELD = 32  # pieces beyond those that are asked for, which are kept: 30 MB of sound

P = TypeVar("P", bound=Numbered)
P_co = TypeVar("P_co", bound=Numbered, covariant=True)
R = TypeVar("R")
T = TypeVar("T")


class Pieces(Protocol[P_co]):
    """Where the pieces come from."""

    hint: float  # seconds that all may have
    seconds: float  # that are known so far
    ended: bool  # no more will be brought

    def take(self) -> P_co | None:
        """The next that is ready."""

    def __len__(self) -> int:
        """How many are ready."""

    async def pull(self) -> None:
        """Have another one ready, unless it ends."""

    async def close(self) -> None: ...


class ScatteredJob(ABC, Generic[P, R]):
    """Its pieces at work.

    Args:
        needs: who may do them.
        emit: is told how far it is.
    """

    asks_twice = True  # a piece that lags is given to a second producer
    holds_all = False  # its pieces are not in memory, so any number may wait

    def __init__(
        self,
        dispatcher: Dispatcher,
        source: Pieces[P],
        needs: Requirements,
        options: JobOptions,
        emit: Emit,
    ) -> None:
        self._source = source
        self._needs = replace(needs, slots=SiblingSlots())
        self._options = options
        self._emit = emit
        self._began = time.monotonic()
        self._requests: PieceRequests[P, R] = PieceRequests(
            dispatcher, self._needs, options.wait, emit
        )
        self._held: dict[int, P] = {}  # pieces that are not settled
        self._todo: deque[int] = deque()  # of those, to be given out (again) before any new one
        self._later: list[int] = []  # of those, to be given out when nothing else is left
        self._tried: set[int] = set()  # of those, nobody could do them once
        self._pulling: asyncio.Task[None] | None = None
        self._shares: Counter[str] = Counter()  # pieces done, by peer id
        self._settled = 0  # pieces
        self._done: dict[int, float] = {}  # seconds of sound done, by piece
        self._before = 0.0  # of these, done by an earlier run
        self._left_out: list[tuple[P, JobError]] = []
        self._attempts: list[Attempt] = []

    # -- what subclasses say ----------------------------------------------------------------------

    def _take(self) -> P | None:
        """A piece that nobody was given yet."""
        return self._source.take()

    def _known(self, piece: P) -> R | None:
        """What an earlier run made of a piece; None: it is to be given out."""
        return None

    def _needs_for(self, piece: P) -> Requirements:
        """Who may be given a piece, and what is asked of them."""
        return self._needs

    @abstractmethod
    def _work(self, request: PieceRequest[P]) -> Work[R]:
        """What is done with a piece at a producer."""

    def _must_be_redone(self, request: PieceRequest[P], value: R) -> bool:
        """Whether it is no answer after all, and the piece is to be asked for again."""
        return False

    @abstractmethod
    def _put(self, piece: P, value: R | None) -> None:
        """What a piece became; None: nobody could do it."""

    @abstractmethod
    def _hand_on(self) -> None:
        """Emit what can be; forget what is not needed; ask again for what must be."""

    @abstractmethod
    def _far(self) -> str:
        """How much is done, in words."""

    # -- the work ---------------------------------------------------------------------------------

    async def _do_all(self) -> None:
        """Until every piece is settled.

        Raises:
            RequestRejected: the first who was asked blames the input.
            NoProducer, AllProducersBusy: there is nobody left.
            AllProducersFailed: it took too long.
        """
        try:
            async with asyncio.timeout(self._options.timeout) as deadline:
                while await self._step():
                    pass
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise AllProducersFailed(
                f"not done within {self._options.timeout:g} s: {self._far()}", self._attempts
            ) from exc
        finally:
            await self._requests.end(self._pulling)
            await self._source.close()

    def _whole(self, value: T) -> Done[T]:
        """The end of the job."""
        route = f"scattered over {len(self._shares)} producers"
        seconds = time.monotonic() - self._began
        return Done(value, None, route, seconds, tuple(self._attempts), dict(self._shares))

    async def _step(self) -> bool:
        """Give out what can be given out, and wait for something to happen; False: all is done."""
        await self._requests.look()
        self._give_out()
        if not self._requests and self._pulling is None:
            self._hand_on()
            if not self._todo and (len(self._source) or not self._source.ended):
                raise RuntimeError(
                    "there are pieces that nobody was given: what is done is not all"
                )
            return bool(self._todo)
        await self._requests.something(self._pulling)
        if self._pulling is not None and self._pulling.done():
            self._pulling.result()
            self._pulling = None
        for request, task in self._requests.ended():
            try:
                done = task.result()
            except JobError as exc:
                self._failed(request, exc)
            else:
                self._succeeded(request, done)
        return True

    # -- giving out -------------------------------------------------------------------------------

    def _give_out(self) -> None:
        self._pull()
        while len(self._requests) < self._options.jobs:
            if self._requests and self._requests.idle <= 0:
                return
            if self.asks_twice and (lags := self._requests.lagging()):
                ticket = self._requests.plan.ask_twice(lags.ticket)
                holder = self._requests.plan.peer_of(lags.ticket)
                self._give(lags.piece, ticket, beside=holder)
                continue
            piece = self._next()
            if piece is None:
                return
            self._give(piece, self._requests.plan.ask(piece.number, piece.seconds))
            self._pull()

    def _pull(self) -> None:
        """Have the next pieces made."""
        enough = len(self._source) >= READY or self._is_full
        if self._pulling is None and not self._source.ended and not enough:
            self._pulling = asyncio.create_task(self._source.pull())

    def _next(self) -> P | None:
        """The piece to be given out next; None: there is none just now."""
        if self._todo:
            return self._held[self._todo.popleft()]
        while not self._is_full and (piece := self._take()):
            self._held[piece.number] = piece
            self._requests.plan.cut += 1
            if (known := self._known(piece)) is None:
                return piece
            self._before += piece.seconds
            self._done[piece.number] = piece.seconds
            self._settle(piece, known, len(self._requests.records))
            self._pull()
        last = all(request.last_try for request in self._requests)
        if last and self._pulling is None and self._later:
            return self._held[self._later.pop(0)]
        return None

    @property
    def _is_full(self) -> bool:
        """Whether no more pieces are to be kept."""
        return not self.holds_all and len(self._held) >= self._options.jobs + HELD

    def _give(self, piece: P, ticket: int, *, beside: str = "") -> None:
        """Ask for a piece; `beside` is who has it already."""
        last_try = piece.number in self._tried
        needs = self._needs_for(piece)
        needs = replace(
            needs,
            avoid=(*needs.avoid, *filter(None, [beside])),
            most_lost=1 if last_try else limits.PIECE_DEATHS,
        )
        request = PieceRequest(piece, ticket, needs, last_try, bool(beside), self._settled)
        self._requests.give(request, self._work(request))

    # -- what comes back --------------------------------------------------------------------------

    def _succeeded(self, request: PieceRequest[P], done: Done[R]) -> None:
        now, piece, plan = time.monotonic(), request.piece, self._requests.plan
        at_work = plan.at_work
        plan.done(request.ticket, now)
        self._attempts += done.attempts
        for other in self._requests:
            if other.piece is piece:  # too late
                if request.second:
                    self._requests.slots.rest(plan.peer_of(other.ticket), now)
                plan.failed(other.ticket)
                self._requests.hang_up(other)
        if self._must_be_redone(request, done.value):
            self._todo.append(piece.number)
            return
        assert done.record is not None  # a producer did it
        self._shares[done.record.peer_id] += 1
        self._done[piece.number] = piece.seconds
        self._settle(piece, done.value, at_work)

    def _failed(self, request: PieceRequest[P], exc: JobError) -> None:
        self._requests.plan.failed(request.ticket)
        self._attempts += getattr(exc, "attempts", ())
        number = request.piece.number
        if any(other.piece is request.piece for other in self._requests):
            return  # the other one has it still
        if isinstance(exc, RequestRejected) and not self._shares:
            raise exc
        if isinstance(exc, NoProducer | AllProducersBusy) and not request.second:
            if self._settled == request.settled_before:
                raise exc
            self._todo.appendleft(number)
        elif request.last_try:
            self._left_out.append((request.piece, exc))
            self._settle(request.piece, None, self._requests.plan.at_work)
        else:
            self._tried.add(number)
            self._later.append(number)

    def _settle(self, piece: P, value: R | None, at_work: int) -> None:
        """A piece is done, or nobody can do it; so many producers were at work until now."""
        self._settled += 1
        self._put(piece, value)
        self._hand_on()
        done, spent = sum(self._done.values()), time.monotonic() - self._began
        seconds = max(self._source.hint, self._source.seconds)
        speed = (done - self._before) / spent
        self._emit(Scattered(done, seconds, at_work, speed, self._before))
