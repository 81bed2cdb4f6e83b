"""A text to speech: a short one is one job, a long one is spoken by many producers with one voice.

    text        -> passages, cut between sentences
    one voice   -> one engine and one voice for all of it
    passages    -> `scattered_job` has each spoken
    sound       -> one file, in the text's order, as it grows

The sound of a passage is emitted when it is complete, so that a lost producer is not audible. While
the reader is slow, no more passages are requested.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from privox_dht import limits, units
from privox_dht.audio.joined_sound import JoinedSound
from privox_dht.audio.wav_header import WavFormat, parse_header, with_sizes
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.event_stream import streamed
from privox_dht.dispatch.job_events import Emit, FileChunk, JobEvent, Progress, Scattered
from privox_dht.dispatch.job_options import SpeechOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.selection import Requirements, matches
from privox_dht.dispatch.work import SpeechWork, Work
from privox_dht.errors import AllProducersFailed, EngineFailed, JobError, RequestRejected
from privox_dht.records import Record
from privox_dht.scatter.one_voice import with_one_voice
from privox_dht.scatter.passages import Passage, passages
from privox_dht.scatter.piece_requests import PieceRequest
from privox_dht.scatter.scattered_job import Pieces, ScatteredJob
from privox_dht.speech import is_ssml
from privox_dht.speech_api.audio_response import PLAIN
from privox_dht.speech_api.client import Endpoint, SpeechClient

T = TypeVar("T")
MAX_UNREAD = 32 * limits.MIB  # bytes of sound not read yet, above which no more is requested
HEAD_START = 1.0  # seconds for which the first passage is requested alone, so that it comes soon
RATES = range(4_000, 192_001)  # Hz of sound that a producer may send
QUOTED = 40  # characters of a passage that an error message quotes


async def speech_job(
    dispatcher: Dispatcher,
    client: SpeechClient,
    text: str,
    needs: Requirements,
    options: SpeechOptions,
) -> AsyncGenerator[JobEvent[bytes]]:
    """The job's events; the last is `Done`. Raises as `Dispatcher.dispatch` and
    `ScatteredText.run`.

    Args:
        needs: what producers must meet.
        options: of the speech.
    """
    if len(text) <= limits.MAX_TEXT:
        work = SpeechWork(client, text, options)
        events = dispatcher.dispatch(needs, work, wait=options.wait, timeout=options.timeout)
        async with aclosing(events):
            async for event in events:
                yield event
        return
    _check_length(text)
    job: list[ScatteredText] = []

    async def begin(emit: Emit) -> Done[bytes]:
        file = await _in_thread_if_slow(options, JoinedSound, options.format)
        records = await dispatcher.candidates(needs)
        alike = with_one_voice(needs, records)
        source = _Passages(text, options)
        emit(Scattered(0.0, source.seconds, len(records), 0.0))
        found = [record for record in records if matches(record, alike)]
        job.append(ScatteredText(dispatcher, client, source, alike, options, emit, file, found))
        return await job[0].run()

    async with aclosing(streamed(begin)) as spoken:
        async for event in spoken:
            yield event
            if isinstance(event, FileChunk):
                job[0].read_by_caller(len(event.data))


def _check_length(text: str) -> None:
    """
    Raises:
        RequestRejected: the text is too long, or cannot be cut.
    """
    if len(text) > limits.MAX_BOOK:
        raise RequestRejected(
            f"the text has {len(text):,} characters; at most {limits.MAX_BOOK:,} are spoken at a"
            " time: have it spoken in parts",
            status=413,
        )
    if is_ssml(text):
        raise RequestRejected(
            f"SSML of more than {limits.MAX_TEXT:,} characters cannot be cut: send plain text, or"
            " several documents",
            status=413,
        )


@dataclass(frozen=True, slots=True)
class _SpokenPassage:
    """The sound of a passage."""

    file: bytes  # WAV, 16-bit mono
    form: WavFormat


class ScatteredText(ScatteredJob[Passage, _SpokenPassage]):
    """The job of one long text."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        client: SpeechClient,
        source: _Passages,
        needs: Requirements,
        options: SpeechOptions,
        emit: Emit,
        file: JoinedSound,
        candidates: list[Record],
    ) -> None:
        super().__init__(dispatcher, source, needs, options, emit)
        self._requests.set_candidates(candidates)
        self._client = client
        self._speech = options
        self._file = file
        self._results: dict[int, _SpokenPassage | None] = {}  # of passages, not emitted yet
        self._next_out = 0  # the number of the passage that is emitted next
        self._ready: deque[_SpokenPassage] = deque()  # in order, to be added to the file
        self._whole_file = bytearray()
        self._unread = 0
        self._reader_keeps_up = asyncio.Event()
        self._reader_keeps_up.set()

    async def run(self) -> Done[bytes]:
        """All of it.

        Raises:
            RequestRejected: the first producer rejected the text.
            NoProducer, AllProducersBusy: no producer is left.
            AllProducersFailed: no producer could speak some passages.
        """
        try:
            await self._run_all()
        except JobError:  # what was spoken is kept
            await self._end_file()
            raise
        await self._end_file()
        if self._left_out:
            in_order = sorted(self._left_out, key=lambda left: left[0].number)
            texts = "; ".join(f'"{passage.text[:QUOTED]}..."' for passage, _ in in_order)
            why = self._left_out[0][1]
            raise AllProducersFailed(f"no producer could speak {texts}: {why}", self._attempts)
        is_wav = self._speech.keep and self._speech.format == "wav"
        return self._done_event(with_sizes(self._whole_file) if is_wav else bytes(self._whole_file))

    def read_by_caller(self, size: int) -> None:
        """`size` more bytes of the emitted file were read."""
        self._unread -= size
        if self._unread <= MAX_UNREAD:
            self._reader_keeps_up.set()

    async def _step(self) -> bool:
        await self._write()
        await self._reader_keeps_up.wait()
        return await super()._step()

    async def _end_file(self) -> None:
        await self._write()
        self._emit_file(await _in_thread_if_slow(self._speech, self._file.finish))

    async def _write(self) -> None:
        """Add the passages that are ready to the file."""
        while self._ready:
            spoken = self._ready.popleft()
            add = self._file.add
            self._emit_file(await _in_thread_if_slow(self._speech, add, spoken.file, spoken.form))

    def _emit_file(self, data: bytes) -> None:
        if not data:
            return
        if self._speech.keep:
            self._whole_file += data
        self._unread += len(data)
        if self._unread > MAX_UNREAD:
            self._reader_keeps_up.clear()
        self._emit(FileChunk(data))

    def _take(self) -> Passage | None:
        """No second passage while the first is being spoken, for `HEAD_START` at most."""
        alone = self._requests and not self._settled
        if alone and time.monotonic() < self._began + HEAD_START:
            return None
        return super()._take()

    def _work(self, request: PieceRequest[Passage]) -> Work[_SpokenPassage]:
        options = replace(self._speech, format="wav", voice=request.needs.voice)
        return _PassageWork(SpeechWork(self._client, request.piece.text, options))

    def _on_result(self, piece: Passage, value: _SpokenPassage | None) -> None:
        self._results[piece.number] = value

    def _emit_ready(self) -> None:
        while self._next_out in self._results:
            if spoken := self._results.pop(self._next_out):
                self._ready.append(spoken)
            del self._held[self._next_out]
            self._next_out += 1

    def _progress(self) -> str:
        return f"about {units.clock_time(sum(self._done.values()))} of the sound were spoken"


async def _in_thread_if_slow(options: SpeechOptions, do: Callable[..., T], *what: Any) -> T:
    """Call it, in a thread where a codec is needed."""
    return do(*what) if options.format in PLAIN else await asyncio.to_thread(do, *what)


@dataclass(frozen=True, slots=True)
class _PassageWork:
    """Has a passage spoken as a WAV file, of bounded size."""

    work: SpeechWork

    async def __call__(
        self, endpoint: Endpoint, record: Record | None, emit: Emit
    ) -> _SpokenPassage:
        size = 0

        def bounded(event: Progress) -> None:
            nonlocal size
            if isinstance(event, FileChunk):
                size += len(event.data)
                if size > limits.MAX_PASSAGE:
                    most = units.size(limits.MAX_PASSAGE)
                    raise EngineFailed(f"more than {most} of sound for one passage")
            else:
                emit(event)

        file = await self.work(endpoint, record, bounded)
        form = parse_header(file)
        if form is None or not form.is_plain or form.rate not in RATES:
            raise EngineFailed("the answer is not 16-bit mono sound")
        return _SpokenPassage(file, form)


class _Passages(Pieces[Passage]):
    """The passages of a text, cut as they are taken."""

    ended = True  # they need no preparation

    def __init__(self, text: str, options: SpeechOptions) -> None:
        self.claimed_seconds = self.seconds = (
            len(text) * limits.SPEECH_PER_CHARACTER / options.speed
        )
        self._left = passages(text, options.speed)
        self._next = next(self._left, None)

    def __len__(self) -> int:
        return self._next is not None

    def take(self) -> Passage | None:
        """The next; None: there are no more."""
        taken, self._next = self._next, next(self._left, None)
        return taken
