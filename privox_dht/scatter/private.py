"""A recording of which no producer hears more than a share: see `shares` for the rules.

    it is cut as a whole first, into a temporary file without a name; then, in random order, each
    piece goes through a farm, on a connection of its own, to the producer that the plan names

There are no duplicate requests. Where the planned producer fails, another one gets the piece if the
rules allow it.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from privox_dht import limits
from privox_dht.audio.decoding import check_for_pyav
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.job_events import Emit, Progress, Scattered, Uploading
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.sibling_slots import SiblingSlots
from privox_dht.dispatch.work import Audio, Work
from privox_dht.errors import ConfigError, NoProducer, RequestRejected
from privox_dht.records import Record
from privox_dht.scatter.cut import Piece
from privox_dht.scatter.piece_requests import PieceRequest
from privox_dht.scatter.piece_source import NO_PYAV, PieceSource, Sound
from privox_dht.scatter.piece_work import PieceWork
from privox_dht.scatter.scattered_recording import ScatteredRecording
from privox_dht.scatter.shares import Shares, listeners
from privox_dht.speech import Transcript
from privox_dht.speech_api.client import Endpoint, SpeechClient


async def transcribe_in_private(
    dispatcher: Dispatcher,
    client: SpeechClient,
    audio: Audio,
    needs: Requirements,
    options: TranscriptionOptions,
    emit: Emit,
) -> Done[Transcript]:
    """Transcribe the whole recording.

    Raises: as `ScatteredRecording.run`; and before anything is sent:
        NoProducer: there are too few producers for the share.
        RequestRejected: the recording is too short for the share.
        ConfigError: PyAV is not installed; the temporary folder has no room for the pieces.
    """
    try:
        check_for_pyav()
    except RequestRejected as exc:
        raise ConfigError(f"--scatter private: {NO_PYAV}") from exc
    needs = replace(needs, via_farm=True)
    rng = random.SystemRandom()
    with tempfile.TemporaryFile() as kept:
        try:
            pieces = await ShuffledPieces.cut(PieceSource(audio, options.max_seconds), kept, rng)
        except OSError as exc:
            raise ConfigError(
                f"cannot keep the pieces in {tempfile.gettempdir()}: {exc.strerror or exc}; name a"
                " folder with more room in TMPDIR"
            ) from exc
        shares = Shares(pieces.lengths, options.share)
        if shares.is_too_short:
            raise RequestRejected(
                f"the recording is too short for --share {options.share:g}: one piece of it is more"
            )
        records = await dispatcher.candidates(needs) if len(pieces) else []
        listener_of = listeners(records)
        names = sorted(set(listener_of.values()))
        if not shares.plan(names, rng):
            raise NoProducer(
                f"{shares.missing(names)} more producers are needed for --scatter private with"
                f" --share {options.share:g}: {len(names)} that fit can be called through a farm"
                " (those of one network count as one); nothing was sent"
            )
        emit(Scattered(0.0, pieces.seconds, len(names), 0.0))
        only = replace(needs, only=tuple(listener_of))
        work = PrivateRecording(
            dispatcher,
            client,
            pieces,
            only,
            replace(options, resume=None),
            emit,
            shares,
            listener_of,
        )
        return await work.run()


class ShuffledPieces(Sound):
    """All pieces of a recording, in random order."""

    def __init__(self, pieces: list[Piece], source: PieceSource) -> None:
        self.claimed_seconds = self.seconds = source.seconds
        self.decode_error = source.decode_error
        self.ended = True
        self.lengths = {piece.number: piece.seconds for piece in pieces}
        self._left = pieces

    @classmethod
    async def cut(cls, source: PieceSource, kept: Any, rng: random.Random) -> ShuffledPieces:
        """Cut the whole recording, and close it; `kept` is an empty file for the samples."""
        import numpy

        cut: list[tuple[Piece, int, int]] = []
        try:
            while not source.ended:
                await source.prepare()
                while piece := source.take():
                    bare = replace(piece, samples=piece.samples[:0].copy())
                    cut.append((bare, kept.tell(), piece.samples.size))
                    kept.write(piece.samples.tobytes())
        finally:
            await source.close()
        kept.flush()
        rng.shuffle(cut)
        return cls(
            [
                replace(bare, samples=numpy.memmap(kept, numpy.int16, "r", at, (size,)))
                for bare, at, size in cut
            ],
            source,
        )

    def __len__(self) -> int:
        return len(self._left)

    def take(self, ready: Callable[[Piece], bool] = lambda piece: True) -> Piece | None:
        """The next for which `ready` holds; None: there is none."""
        piece = next(filter(ready, self._left), None)
        if piece is not None:
            self._left = [other for other in self._left if other is not piece]
        return piece


class PrivateRecording(ScatteredRecording):
    """The job of one recording, of which each producer gets at most its share."""

    duplicates_stragglers = False
    pieces_on_disk = True

    def __init__(
        self,
        dispatcher: Dispatcher,
        client: SpeechClient,
        pieces: ShuffledPieces,
        needs: Requirements,
        options: TranscriptionOptions,
        emit: Emit,
        shares: Shares,
        listener_of: Mapping[str, str],
    ) -> None:
        super().__init__(dispatcher, client, pieces, needs, options, emit)
        self._pieces = pieces
        self._listener_shares = shares
        self._listener_of = listener_of

    def _take(self) -> Piece | None:
        now = time.monotonic()
        idle = {
            self._listener_of[record.peer_id]
            for record in self._requests.candidates
            if record.peer_id in self._listener_of and self._requests.slots.free(record, now)
        }
        piece = self._pieces.take(lambda piece: self._listener_shares.planned(piece.number) in idle)
        return piece if piece or self._requests else self._pieces.take()

    def _needs_for(self, piece: Piece) -> Requirements:
        slots = _PieceSlots(self._requests.slots, self._listener_shares, self._listener_of, piece)
        return replace(super()._needs_for(piece), slots=slots)

    def _work(self, request: PieceRequest[Piece]) -> Work[Transcript]:
        return _PrivateWork(self._piece_work(request), self._listener_shares, self._listener_of)


@dataclass(frozen=True, slots=True)
class _PrivateWork:
    """Has a piece transcribed on a connection of its own, and counts who heard it."""

    work: PieceWork
    shares: Shares
    listener_of: Mapping[str, str]

    async def __call__(self, endpoint: Endpoint, record: Record | None, emit: Emit) -> Transcript:
        assert record is not None  # no fallback server gets it
        listener, piece = self.listener_of[record.peer_id], self.work.piece

        def counted(event: Progress) -> None:
            if isinstance(event, Uploading):
                self.shares.give(listener, piece.number)
            emit(event)

        if piece.samples.nbytes <= limits.OFFER_ABOVE:  # sent at once, without being offered first
            self.shares.give(listener, piece.number)
        async with self.work.client.own_connection() as client:
            return await replace(self.work, client=client)(endpoint, record, counted)


@dataclass(frozen=True, slots=True)
class _PieceSlots:
    """The slots of the listeners that may hear a piece."""

    slots: SiblingSlots
    shares: Shares
    listener_of: Mapping[str, str]
    piece: Piece

    def free(self, record: Record, now: float) -> int:
        listener = self.listener_of.get(record.peer_id)
        if listener is None or not self.shares.may_hear(listener, self.piece.number):
            return 0
        return self.slots.free(record, now)

    @contextmanager
    def hold(self, record: Record, now: float) -> Iterator[bool]:
        if not self.free(record, now):
            yield False
            return
        with self.slots.hold(record, now) as got:
            if got:
                self.shares.offer(self.listener_of[record.peer_id], self.piece.number)
            try:
                yield got
            finally:
                self.shares.open_to_others(self.piece.number)

    def record_busy(self, record: Record, now: float) -> None:
        self.slots.record_busy(record, now)
