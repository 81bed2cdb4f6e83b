"""A long recording by many producers, told in order.

pieces   of its sound -> `scattered_job` has each transcribed that no earlier run heard
stitcher what was heard, in the recording's order and in one language
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.job_events import Emit
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.work import Work
from privox_dht.scatter.cut import Piece
from privox_dht.scatter.outcome import fault_of
from privox_dht.scatter.piece_requests import PieceRequest
from privox_dht.scatter.piece_source import Sound
from privox_dht.scatter.piece_work import PieceWork
from privox_dht.scatter.resume_file import ResumeFile
from privox_dht.scatter.scattered_job import ScatteredJob
from privox_dht.scatter.stitch import Stitcher
from privox_dht.speech import AudioInfo, Segment, Transcript
from privox_dht.speech_api.client import SpeechClient
from privox_dht.transcript import gather
from privox_dht.units import clock_time


class ScatteredRecording(ScatteredJob[Piece, Transcript]):
    """One recording at work."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        client: SpeechClient,
        source: Sound,
        needs: Requirements,
        options: TranscriptionOptions,
        emit: Emit,
    ) -> None:
        super().__init__(dispatcher, source, needs, options, emit)
        self._client = client
        self._sound = source
        self._wanted = options
        self._stitcher = Stitcher(options.language)
        self._told: list[Segment] = []
        self._resume = ResumeFile(Path(options.resume), options) if options.resume else None

    async def run(self) -> Done[Transcript]:
        """All of it.

        Raises:
            RequestRejected: the recording breaks off, or the first who was asked blames it.
            NoProducer, AllProducersBusy: there is nobody left.
            AllProducersFailed: some pieces were heard by nobody.
        """
        await self._do_all()
        self._emit(AudioInfo(self._sound.seconds))
        if self._resume is not None and not self._left_out:
            self._resume.remove()
        if error := fault_of(self._sound, self._left_out, self._attempts):
            raise error
        return self._whole(gather(self._told, self._sound.seconds, self._stitcher.language))

    def _far(self) -> str:
        return f"{clock_time(sum(self._done.values()))} of the recording were heard"

    def _known(self, piece: Piece) -> Transcript | None:
        if self._resume is None or (segments := self._resume.find(piece)) is None:
            return None
        if self._stitcher.decided and self._stitcher.is_another(segments):
            return None
        return gather(list(segments), piece.seconds)

    def _needs_for(self, piece: Piece) -> Requirements:
        return replace(self._needs, language=self._stitcher.language)

    def _work(self, request: PieceRequest[Piece]) -> Work[Transcript]:
        return self._piece_work(request)

    def _piece_work(self, request: PieceRequest[Piece]) -> PieceWork:
        options = replace(self._wanted, language=request.needs.language)
        return PieceWork(self._client, request.piece, options)

    def _must_be_redone(self, request: PieceRequest[Piece], value: Transcript) -> bool:
        asked_for = request.needs.language
        return asked_for != self._stitcher.language and self._stitcher.is_another(value.segments)

    def _put(self, piece: Piece, value: Transcript | None) -> None:
        segments: Sequence[Segment] = value.segments if value else ()
        if self._resume is not None and value is not None:
            self._resume.add(piece, segments)
        self._stitcher.put(piece, segments)
        if not segments:  # it is in no language, so nothing will ask for it again
            self._held.pop(piece.number, None)

    def _hand_on(self) -> None:
        count = self._requests.plan.cut if self._source.ended and not len(self._source) else None
        self._todo.extend(self._stitcher.decide(count))
        if self._stitcher.decided:
            asked = (request.piece.number for request in self._requests)
            waiting = {*self._todo, *self._later, *asked}
            self._held = {n: kept for n, kept in self._held.items() if n in waiting}
        for segment in self._stitcher.take():
            self._told.append(segment)
            self._emit(segment)
