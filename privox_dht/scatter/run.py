"""A long recording by many producers: what is asked, and told in order.

    source      pieces, decoded as they are wanted
    dispatcher  each piece is a job of its own: discover, offer, pin, fail over, as for any other
    plan        a piece that lags is given to a second producer; the first answer counts
    stitcher    what was heard, in the recording's order and in one language

At most `jobs` pieces are given out at a time, and no more than there are idle slots. A piece on
which two producers died waits until nothing else can be done, and is left out if it kills a third.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from privox_dht import limits
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.job_events import Dialing, Emit, Scattered, Waiting
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.job_state import Attempt, Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.sibling_slots import SiblingSlots, Slots
from privox_dht.dispatch.work import Work
from privox_dht.errors import (
    AllProducersBusy,
    AllProducersFailed,
    JobError,
    NoProducer,
    RequestRejected,
)
from privox_dht.records import Record
from privox_dht.scatter.cut import Piece
from privox_dht.scatter.outcome import fault_of
from privox_dht.scatter.piece_source import Pieces
from privox_dht.scatter.piece_work import PieceWork
from privox_dht.scatter.plan import Plan
from privox_dht.scatter.stitch import Stitcher
from privox_dht.speech import AudioInfo, Segment, Transcript
from privox_dht.speech_api.client import SpeechClient
from privox_dht.transcript import gather
from privox_dht.units import clock_face

LOOK_AGAIN = 5.0  # seconds between two looks at who else has come
LOOK_AT_LEAST = 1.0  # seconds between two looks at what lags, and who is idle by now
READY = 2  # pieces that are cut before somebody wants them
HELD = 32  # pieces beyond those that are asked for, whose sound is kept: 30 MB


@dataclass(frozen=True, slots=True)
class _Given:
    """A piece that was given out."""

    piece: Piece
    ticket: int
    language: str  # that was asked for
    last_try: bool
    second: bool  # another producer has it too
    settled_before: int  # pieces that were settled when it was given out


class Scattering:
    """One recording at work."""

    asks_twice = True  # a piece that lags is given to a second producer
    holds_all = False  # its pieces' sound is not in memory, so any number may wait

    def __init__(
        self,
        dispatcher: Dispatcher,
        client: SpeechClient,
        source: Pieces,
        wish: Requirements,
        options: TranscriptionOptions,
        emit: Emit,
    ) -> None:
        self._dispatcher = dispatcher
        self._client = client
        self._source = source
        self._slots = SiblingSlots()
        self._wish = replace(wish, slots=self._slots)
        self._options = options
        self._emit = emit
        self._began = time.monotonic()
        self._plan = Plan()
        self._stitcher = Stitcher(options.language)
        self._records: list[Record] = []
        self._looked = float("-inf")
        self._held: dict[int, Piece] = {}  # pieces that are not settled
        self._todo: deque[int] = deque()  # of those, to be given out (again) before any new one
        self._later: list[int] = []  # of those, to be given out when nothing else is left
        self._tried: set[int] = set()  # of those, nobody could do them once
        self._tasks: dict[asyncio.Task[Done[Transcript]], _Given] = {}
        self._hung_up: set[asyncio.Task[Done[Transcript]]] = set()
        self._pulling: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[list[Record]] | None = None
        self._told: list[Segment] = []
        self._shares: Counter[str] = Counter()  # pieces done, by peer id
        self._settled = 0  # pieces
        self._heard: dict[int, float] = {}  # seconds of sound done, by piece
        self._left_out: list[tuple[Piece, JobError]] = []
        self._attempts: list[Attempt] = []

    async def run(self) -> Done[Transcript]:
        """All of it.

        Raises:
            RequestRejected: the recording breaks off, or the first who was asked blames it.
            NoProducer, AllProducersBusy: there is nobody left.
            AllProducersFailed: some pieces were heard by nobody.
        """
        try:
            async with asyncio.timeout(self._options.timeout) as deadline:
                while await self._step():
                    pass
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise AllProducersFailed(
                f"not done within {self._options.timeout:g} s:"
                f" {clock_face(sum(self._heard.values()))} of the"
                " recording were heard",
                self._attempts,
            ) from exc
        finally:
            await self._end()
        self._emit(AudioInfo(self._source.seconds))
        if error := fault_of(self._source, self._left_out, self._attempts):
            raise error
        return Done(
            gather(self._told, self._source.seconds, self._stitcher.language),
            None,
            f"scattered over {len(self._shares)} producers",
            time.monotonic() - self._began,
            tuple(self._attempts),
            dict(self._shares),
        )

    async def _step(self) -> bool:
        """Give out what can be given out, and wait for something to happen; False: all is done."""
        await self._look()
        self._give_out()
        if not self._tasks and self._pulling is None:
            self._settle()
            return bool(self._todo)
        look = self._plan.next_look(time.monotonic())
        await asyncio.wait(
            [*self._tasks, *filter(None, [self._pulling, self._looking])],
            timeout=LOOK_AT_LEAST if look is None else min(look, LOOK_AT_LEAST),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._pulling is not None and self._pulling.done():
            self._pulling.result()
            self._pulling = None
        for task in [task for task in self._tasks if task.done()]:
            if given := self._tasks.pop(task, None):  # an earlier one may have ended it
                self._ended(task, given)
        return True

    async def _look(self) -> None:
        """Who could be asked: at first at once, from then on while others work."""
        if self._looking is None and time.monotonic() >= self._looked + LOOK_AGAIN:
            self._looking = asyncio.create_task(self._dispatcher.candidates(self._wish))
            if not self._records:
                await asyncio.wait([self._looking])
        if self._looking is not None and self._looking.done():
            with suppress(NoProducer):
                self._records = self._looking.result() or self._records
            self._looking, self._looked = None, time.monotonic()

    # -- giving out -------------------------------------------------------------------------------

    def _give_out(self) -> None:
        self._pull()
        while len(self._tasks) < self._options.jobs:
            now = time.monotonic()
            idle = self._dispatcher.idle_slots(self._records, self._wish) - self._plan.waiting
            if self._tasks and idle <= 0:
                return
            lags = self._plan.lagging(now) if self.asks_twice else None
            if lags is not None and self._is_idle_beside(self._plan.peer_of(lags)):
                self._ask_twice(lags)
                continue
            piece = self._next()
            if piece is None:
                return
            self._give(piece, self._plan.ask(piece.number, piece.seconds))
            self._pull()

    def _pull(self) -> None:
        """Have the next pieces cut."""
        enough = len(self._source) >= READY or self._is_full
        if self._pulling is None and not self._source.ended and not enough:
            self._pulling = asyncio.create_task(self._source.pull())

    def _next(self) -> Piece | None:
        """The piece to be given out next; None: there is none just now."""
        if self._todo:
            return self._held[self._todo.popleft()]
        if not self._is_full and (piece := self._take()):
            self._held[piece.number] = piece
            self._plan.cut += 1
            return piece
        last = all(given.last_try for given in self._tasks.values())
        if last and self._pulling is None and self._later:
            return self._held[self._later.pop(0)]
        return None

    @property
    def _is_full(self) -> bool:
        """Whether the sound of no more pieces is to be kept."""
        return not self.holds_all and len(self._held) >= self._options.jobs + HELD

    def _take(self) -> Piece | None:
        """A piece that nobody was given yet."""
        return self._source.take()

    def _slots_for(self, piece: Piece) -> Slots:
        """The slots that may be used for a piece."""
        return self._slots

    def _work(self, piece: Piece, options: TranscriptionOptions) -> Work[Transcript]:
        """What is done with a piece at a producer."""
        return PieceWork(self._client, piece, options)

    def _is_idle_beside(self, peer_id: str) -> bool:
        """Whether somebody else has an idle slot."""
        others = [record for record in self._records if record.peer_id != peer_id]
        return self._dispatcher.idle_slots(others, self._wish) > self._plan.waiting

    def _ask_twice(self, ticket: int) -> None:
        """A piece lags: somebody else gets it too."""
        piece = next(g.piece for g in self._tasks.values() if g.ticket == ticket)
        self._give(piece, self._plan.ask_twice(ticket), beside=self._plan.peer_of(ticket))

    def _give(self, piece: Piece, ticket: int, *, beside: str = "") -> None:
        """Ask for a piece; `beside` is who has it already."""
        language = self._stitcher.language
        last_try = piece.number in self._tried
        wish = replace(
            self._wish,
            slots=self._slots_for(piece),
            language=language,
            avoid=(*self._wish.avoid, *filter(None, [beside])),
            most_lost=1 if last_try else limits.PIECE_DEATHS,
        )
        options = replace(self._options, language=language)
        task = asyncio.create_task(self._ask(ticket, wish, self._work(piece, options)))
        self._tasks[task] = _Given(piece, ticket, language, last_try, bool(beside), self._settled)

    async def _ask(
        self, ticket: int, wish: Requirements, work: Work[Transcript]
    ) -> Done[Transcript]:
        job = self._dispatcher.dispatch(wish, work, wait=self._options.wait)
        async with aclosing(job) as events:
            async for event in events:
                match event:
                    case Dialing(record=record) if record is not None:
                        self._plan.dialled(ticket, record.peer_id, time.monotonic())
                    case Waiting():
                        self._plan.waits(ticket)
                        if not self._plan.at_work:
                            self._emit(event)
                    case Done():
                        return event
        raise AssertionError("a job ended without its end")

    # -- what comes back --------------------------------------------------------------------------

    def _ended(self, task: asyncio.Task[Done[Transcript]], given: _Given) -> None:
        try:
            done = task.result()
        except JobError as exc:
            self._failed(given, exc)
        else:
            self._done(given, done)

    def _done(self, given: _Given, done: Done[Transcript]) -> None:
        now, piece = time.monotonic(), given.piece
        self._plan.done(given.ticket, now)
        self._attempts += done.attempts
        for task, other in [*self._tasks.items()]:
            if other.piece is piece:  # too late
                if given.second:
                    self._slots.rest(self._plan.peer_of(other.ticket), now)
                self._plan.failed(other.ticket)
                self._hang_up(task)
        segments, stitcher = done.value.segments, self._stitcher
        if given.language != stitcher.language and stitcher.is_another(segments):
            self._todo.append(piece.number)
            return
        assert done.record is not None  # a producer did it
        self._shares[done.record.peer_id] += 1
        self._heard[piece.number] = piece.seconds
        self._put(piece, segments)

    def _put(self, piece: Piece, segments: Sequence[Segment]) -> None:
        """A piece is done, or nobody can do it."""
        self._settled += 1
        self._stitcher.put(piece, segments)
        self._settle()
        self._tell()

    def _settle(self) -> None:
        """Tell what can be told."""
        count = self._plan.cut if self._source.ended and not len(self._source) else None
        self._todo.extend(self._stitcher.decide(count))
        if self._stitcher.decided:
            waiting = {*self._todo, *self._later, *(g.piece.number for g in self._tasks.values())}
            self._held = {n: kept for n, kept in self._held.items() if n in waiting}
        for segment in self._stitcher.take():
            self._told.append(segment)
            self._emit(segment)

    def _failed(self, given: _Given, exc: JobError) -> None:
        self._plan.failed(given.ticket)
        self._attempts += getattr(exc, "attempts", ())
        number = given.piece.number
        if any(other.piece is given.piece for other in self._tasks.values()):
            return  # the other one has it still
        if isinstance(exc, RequestRejected) and not self._shares:
            raise exc
        if isinstance(exc, NoProducer | AllProducersBusy) and not given.second:
            if self._settled == given.settled_before:
                raise exc
            self._todo.appendleft(number)
        elif given.last_try:
            self._left_out.append((given.piece, exc))
            self._put(given.piece, ())
        else:
            self._tried.add(number)
            self._later.append(number)

    def _tell(self) -> None:
        """How far it is."""
        seconds = max(self._source.hint, self._source.seconds)
        spent = time.monotonic() - self._began
        heard = sum(self._heard.values())
        self._emit(Scattered(heard, seconds, self._plan.at_work, heard / spent))

    # -- the end ----------------------------------------------------------------------------------

    def _hang_up(self, task: asyncio.Task[Done[Transcript]]) -> None:
        self._tasks.pop(task, None)
        self._hung_up.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Done[Transcript]]) -> None:
        """It is too late, whether it was done, failed or was cancelled."""
        self._hung_up.discard(task)
        if not task.cancelled():
            task.exception()

    async def _end(self) -> None:
        """Nothing is asked for or decoded any more when this returns."""
        for task in [*self._tasks]:
            self._hang_up(task)
        if self._looking is not None:
            self._looking.cancel()
        others = filter(None, [self._pulling, self._looking])
        await asyncio.gather(*self._hung_up, *others, return_exceptions=True)
        await self._source.close()
