"""A long recording, transcribed by many producers; its segments are emitted in order.

pieces   of its sound -> `scattered_job` has each transcribed, unless an earlier run did
stitch   the segments, in the recording's order and in one language
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.job_events import Emit
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.job_state import Attempt, Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.work import Work
from privox_dht.errors import AllProducersFailed, JobError, RequestRejected
from privox_dht.scatter.cut import Piece
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
    """The job of one recording."""

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
        self._transcription = options
        self._stitcher = Stitcher(options.language)
        self._emitted: list[Segment] = []
        self._resume = ResumeFile(Path(options.resume), options) if options.resume else None

    async def run(self) -> Done[Transcript]:
        """All of it.

        Raises:
            RequestRejected: the recording is cut short, or the first producer rejected it.
            NoProducer, AllProducersBusy: no producer is left.
            AllProducersFailed: no producer could transcribe some pieces.
        """
        await self._run_all()
        self._emit(AudioInfo(self._sound.seconds))
        if self._resume is not None and not self._left_out:
            self._resume.remove()
        if error := recording_error(self._sound, self._left_out, self._attempts):
            raise error
        return self._done_event(gather(self._emitted, self._sound.seconds, self._stitcher.language))

    def _progress(self) -> str:
        return f"{clock_time(sum(self._done.values()))} of the recording were transcribed"

    def _result_of_earlier_run(self, piece: Piece) -> Transcript | None:
        if self._resume is None or (segments := self._resume.find(piece)) is None:
            return None
        if self._stitcher.language_decided and self._stitcher.is_other_language(segments):
            return None
        return gather(list(segments), piece.seconds)

    def _needs_for(self, piece: Piece) -> Requirements:
        return replace(self._needs, language=self._stitcher.language)

    def _work(self, request: PieceRequest[Piece]) -> Work[Transcript]:
        return self._piece_work(request)

    def _piece_work(self, request: PieceRequest[Piece]) -> PieceWork:
        options = replace(self._transcription, language=request.needs.language)
        return PieceWork(self._client, request.piece, options)

    def _must_repeat(self, request: PieceRequest[Piece], value: Transcript) -> bool:
        asked_for = request.needs.language
        return asked_for != self._stitcher.language and self._stitcher.is_other_language(
            value.segments
        )

    def _on_result(self, piece: Piece, value: Transcript | None) -> None:
        segments: Sequence[Segment] = value.segments if value else ()
        if self._resume is not None and value is not None:
            self._resume.add(piece, segments)
        self._stitcher.add(piece, segments)
        if not segments:  # it has no language, so it will not be requested again
            self._held.pop(piece.number, None)

    def _emit_ready(self) -> None:
        all_made = self._source.ended and not len(self._source)
        count = self._requests.stragglers.pieces if all_made else None
        self._queue.extend(self._stitcher.decide_language(count))
        if self._stitcher.language_decided:
            asked = (request.piece.number for request in self._requests)
            waiting = {*self._queue, *self._last_tries, *asked}
            self._held = {n: kept for n, kept in self._held.items() if n in waiting}
        for segment in self._stitcher.take_ready():
            self._emitted.append(segment)
            self._emit(segment)


def recording_error(
    source: Sound, left_out: Sequence[tuple[Piece, JobError]], attempts: Sequence[Attempt]
) -> JobError | None:
    """The error of a recording whose pieces are all settled; None: there is none.

    Args:
        source: where the pieces came from.
        left_out: pieces that no producer could transcribe, and why.
        attempts: what was tried for any piece.
    """
    if source.decode_error is not None:
        return RequestRejected(
            f"the recording breaks off at {clock_time(source.seconds)}; what comes before was"
            f" transcribed ({source.decode_error.message})",
            status=source.decode_error.status,
            code=source.decode_error.code,
        )
    if left_out:
        times = ", ".join(
            f"{clock_time(piece.start)} to {clock_time(piece.end)}"
            for piece, _ in sorted(left_out, key=lambda left: left[0].number)
        )
        why = left_out[0][1]
        return AllProducersFailed(f"no producer could transcribe {times}: {why}", attempts)
    return None
