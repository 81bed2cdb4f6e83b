"""One long job as many short ones: which piece is requested next, and what its result means.

    source      pieces, made as they are needed
    requests    each is a job of its own; a straggler gets a duplicate at a second producer, and the
                first answer counts

At most `jobs` pieces are requested at a time, and no more than there are idle slots. A piece over
which two producers were lost is tried once more when nothing else is left, and left out if that
fails. Subclasses decide what is done with the results.
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
from privox_dht.scatter.piece_requests import NumberedPiece, PieceRequest, PieceRequests

MADE_AHEAD = 2  # pieces that are made ahead
MAX_HELD = 32  # pieces kept beyond those that are requested: 30 MB of sound

P = TypeVar("P", bound=NumberedPiece)
P_co = TypeVar("P_co", bound=NumberedPiece, covariant=True)
R = TypeVar("R")
T = TypeVar("T")


class Pieces(Protocol[P_co]):
    """A source of pieces."""

    claimed_seconds: float  # of all pieces, as far as it is known beforehand; 0: unknown
    seconds: float  # of the pieces so far
    ended: bool  # there will be no more

    def take(self) -> P_co | None:
        """The next that is ready; None: there is none."""

    def __len__(self) -> int:
        """How many are ready."""

    async def prepare(self) -> None:
        """Make another one ready, or find that there are no more. Here: all were made at once."""
        return

    async def close(self) -> None:
        """Stop making them."""
        return


class ScatteredJob(ABC, Generic[P, R]):
    """The requests for all pieces of a job.

    Args:
        needs: what producers must meet.
        emit: gets `Scattered` as the job progresses.
    """

    duplicates_stragglers = True  # a slow piece is given to a second producer
    pieces_on_disk = False  # pieces need no memory, so any number may wait

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
        self._queue: deque[int] = deque()  # of these, to be requested (again) before any new one
        self._last_tries: list[int] = []  # of these, to be tried when nothing else is left
        self._failed_once: set[int] = set()  # of these, those that failed once
        self._preparing: asyncio.Task[None] | None = None
        self._pieces_by_peer: Counter[str] = Counter()  # pieces done, by peer id
        self._settled = 0  # pieces
        self._done: dict[int, float] = {}  # seconds of sound done, by piece
        self._resumed = 0.0  # seconds of these that an earlier run did
        self._left_out: list[tuple[P, JobError]] = []
        self._attempts: list[Attempt] = []

    # -- what subclasses define -------------------------------------------------------------------

    def _take(self) -> P | None:
        """The next new piece; None: none is ready."""
        return self._source.take()

    def _result_of_earlier_run(self, piece: P) -> R | None:
        """The result of an earlier run for a piece; None: it must be requested."""
        return None

    def _needs_for(self, piece: P) -> Requirements:
        """What a producer of this piece must meet."""
        return self._needs

    @abstractmethod
    def _work(self, request: PieceRequest[P]) -> Work[R]:
        """What to do with a piece at a producer."""

    def _must_repeat(self, request: PieceRequest[P], value: R) -> bool:
        """Whether the result is of no use, and the piece must be requested again."""
        return False

    @abstractmethod
    def _on_result(self, piece: P, value: R | None) -> None:
        """Take the result of a piece; None: no producer could do it."""

    @abstractmethod
    def _emit_ready(self) -> None:
        """Emit results that are next in order, forget their pieces, and queue those to repeat."""

    @abstractmethod
    def _progress(self) -> str:
        """How much is done, as a sentence for an error message."""

    # -- the work ---------------------------------------------------------------------------------

    async def _run_all(self) -> None:
        """Until every piece is settled.

        Raises:
            RequestRejected: the first producer rejected the input.
            NoProducer, AllProducersBusy: no producer is left.
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
                f"not done within {self._options.timeout:g} s: {self._progress()}", self._attempts
            ) from exc
        finally:
            await self._requests.close(self._preparing)
            await self._source.close()

    def _done_event(self, value: T) -> Done[T]:
        """The end of the job."""
        route = f"scattered over {len(self._pieces_by_peer)} producers"
        seconds = time.monotonic() - self._began
        return Done(value, None, route, seconds, tuple(self._attempts), dict(self._pieces_by_peer))

    async def _step(self) -> bool:
        """Start what can be started and wait for a change; False: all is done."""
        await self._requests.refresh()
        self._start_requests()
        if not self._requests and self._preparing is None:
            self._emit_ready()
            if not self._queue and (len(self._source) or not self._source.ended):
                raise RuntimeError(
                    "there are pieces that were never requested: the result would be incomplete"
                )
            return bool(self._queue)
        await self._requests.wait(self._preparing)
        if self._preparing is not None and self._preparing.done():
            self._preparing.result()
            self._preparing = None
        for request, task in self._requests.finished():
            try:
                done = task.result()
            except JobError as exc:
                self._failed(request, exc)
            else:
                self._succeeded(request, done)
        return True

    # -- starting requests ------------------------------------------------------------------------

    def _start_requests(self) -> None:
        self._prepare()
        while len(self._requests) < self._options.jobs:
            if self._requests and self._requests.room <= 0:
                return
            if self.duplicates_stragglers and (lags := self._requests.straggler()):
                ticket = self._requests.stragglers.duplicate(lags.ticket)
                holder = self._requests.stragglers.peer_of(lags.ticket)
                self._request(lags.piece, ticket, beside=holder)
                continue
            piece = self._next_piece()
            if piece is None:
                return
            self._request(piece, self._requests.stragglers.start(piece.seconds))
            self._prepare()

    def _prepare(self) -> None:
        """Have the next pieces made ready."""
        enough = len(self._source) >= MADE_AHEAD or self._is_full
        if self._preparing is None and not self._source.ended and not enough:
            self._preparing = asyncio.create_task(self._source.prepare())

    def _next_piece(self) -> P | None:
        """The piece to be requested next; None: there is none just now."""
        if self._queue:
            return self._held[self._queue.popleft()]
        while not self._is_full and (piece := self._take()):
            self._held[piece.number] = piece
            self._requests.stragglers.pieces += 1
            if (known := self._result_of_earlier_run(piece)) is None:
                return piece
            self._resumed += piece.seconds
            self._done[piece.number] = piece.seconds
            self._settle(piece, known, len(self._requests.candidates))
            self._prepare()
        last = all(request.last_try for request in self._requests)
        if last and self._preparing is None and self._last_tries:
            return self._held[self._last_tries.pop(0)]
        return None

    @property
    def _is_full(self) -> bool:
        """Whether enough pieces are in memory."""
        return not self.pieces_on_disk and len(self._held) >= self._options.jobs + MAX_HELD

    def _request(self, piece: P, ticket: int, *, beside: str = "") -> None:
        """Request a piece; `beside` is the producer that has it already."""
        last_try = piece.number in self._failed_once
        needs = self._needs_for(piece)
        needs = replace(
            needs,
            avoid=(*needs.avoid, *filter(None, [beside])),
            most_lost=1 if last_try else limits.PIECE_DEATHS,
        )
        request = PieceRequest(piece, ticket, needs, last_try, bool(beside), self._settled)
        self._requests.start(request, self._work(request))

    # -- results ----------------------------------------------------------------------------------

    def _succeeded(self, request: PieceRequest[P], done: Done[R]) -> None:
        now, piece, stragglers = time.monotonic(), request.piece, self._requests.stragglers
        at_work = stragglers.at_work
        stragglers.done(request.ticket, now)
        self._attempts += done.attempts
        for other in self._requests:
            if other.piece is piece:  # too late
                if request.duplicate:
                    self._requests.slots.back_off(stragglers.peer_of(other.ticket), now)
                stragglers.failed(other.ticket)
                self._requests.cancel(other)
        if self._must_repeat(request, done.value):
            self._queue.append(piece.number)
            return
        assert done.record is not None  # a producer did it
        self._pieces_by_peer[done.record.peer_id] += 1
        self._done[piece.number] = piece.seconds
        self._settle(piece, done.value, at_work)

    def _failed(self, request: PieceRequest[P], exc: JobError) -> None:
        self._requests.stragglers.failed(request.ticket)
        self._attempts += getattr(exc, "attempts", ())
        number = request.piece.number
        if any(other.piece is request.piece for other in self._requests):
            return  # its duplicate goes on
        if isinstance(exc, RequestRejected) and not self._pieces_by_peer:
            raise exc
        if isinstance(exc, NoProducer | AllProducersBusy) and not request.duplicate:
            ours = isinstance(exc, AllProducersBusy) and self._requests.stragglers.at_work
            if self._settled == request.settled_before and not ours:
                raise exc
            self._queue.appendleft(number)  # some are busy with other pieces of ours
        elif request.last_try:
            self._left_out.append((request.piece, exc))
            self._settle(request.piece, None, self._requests.stragglers.at_work)
        else:
            self._failed_once.add(number)
            self._last_tries.append(number)

    def _settle(self, piece: P, value: R | None, at_work: int) -> None:
        """A piece is done or (None) failed everywhere; so many producers were at work until now."""
        self._settled += 1
        self._on_result(piece, value)
        self._emit_ready()
        done, spent = sum(self._done.values()), time.monotonic() - self._began
        seconds = max(self._source.claimed_seconds, self._source.seconds)
        speed = (done - self._resumed) / spent
        self._emit(Scattered(done, seconds, at_work, speed, self._resumed))
