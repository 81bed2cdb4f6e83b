"""A text to speech: a short one is one job, a long one is spoken by many producers with one voice.

    text        -> passages, cut between sentences
    one voice   -> one engine and one voice for all of it
    passages    -> `scattered_job` has each spoken
    sound       -> one file, in the text's order, as it comes

A passage's sound is handed on when all of it is there: so a producer that dies in mid-sentence is
not heard. No more is spoken than somebody takes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from privox_dht import limits
from privox_dht.audio.joined_sound import JoinedSound
from privox_dht.audio.wav_header import WavFormat, parse_header, with_sizes
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.event_stream import streamed
from privox_dht.dispatch.job_events import Emit, FileChunk, JobEvent, Progress, Scattered
from privox_dht.dispatch.job_options import SpeechOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.selection import Requirements, matches
from privox_dht.dispatch.work import SpeechWork, Work
from privox_dht.errors import AllProducersFailed, EngineFailed, RequestRejected
from privox_dht.records import Record
from privox_dht.scatter.one_voice import with_one_voice
from privox_dht.scatter.passages import Passage, passages
from privox_dht.scatter.piece_requests import PieceRequest
from privox_dht.scatter.scattered_job import ScatteredJob
from privox_dht.speech import is_ssml
from privox_dht.speech_api.audio_response import PLAIN
from privox_dht.speech_api.client import Endpoint, SpeechClient
from privox_dht.units import clock_time

T = TypeVar("T")
UNREAD = 32 * limits.MIB  # bytes of sound that nobody took yet, beyond which no more is asked for
HEAD_START = 1.0  # seconds for the first passage: then there is sound soon
RATES = range(4_000, 192_001)  # Hz of sound that a producer may send
QUOTED = 40  # characters by which a passage is named


async def speaking(
    dispatcher: Dispatcher,
    client: SpeechClient,
    text: str,
    needs: Requirements,
    options: SpeechOptions,
) -> AsyncGenerator[JobEvent[bytes]]:
    """The job's events; the last is `Done`. Raises as `Dispatcher.dispatch` and
    `ScatteredText.run`.

    Args:
        needs: who may do it.
        options: how it is to be done.
    """
    if len(text) <= limits.MAX_TEXT:
        work = SpeechWork(client, text, options)
        events = dispatcher.dispatch(needs, work, wait=options.wait, timeout=options.timeout)
        async with aclosing(events):
            async for event in events:
                yield event
        return
    check(text)
    job: list[ScatteredText] = []

    async def begin(emit: Emit) -> Done[bytes]:
        file = await _apart(options, JoinedSound, options.format)
        records = await dispatcher.candidates(needs)
        alike = with_one_voice(needs, records)
        source = _Passages(text, options)
        emit(Scattered(0.0, source.seconds, len(records), 0.0))
        speaking = ScatteredText(dispatcher, client, source, alike, options, emit, file)
        speaking.found([record for record in records if matches(record, alike)])
        job.append(speaking)
        return await job[0].run()

    async with aclosing(streamed(begin)) as spoken:
        async for event in spoken:
            yield event
            if isinstance(event, FileChunk):
                job[0].taken(len(event.data))


def check(text: str) -> None:
    """
    Raises:
        RequestRejected: it is too long, or cannot be cut.
    """
    if len(text) > limits.MAX_BOOK:
        raise RequestRejected(
            f"the text has {len(text):,} characters; at most {limits.MAX_BOOK:,} are spoken at a"
            " time: have it spoken in parts",
            status=413,
        )
    if len(text) > limits.MAX_TEXT and is_ssml(text):
        raise RequestRejected(
            f"SSML of more than {limits.MAX_TEXT:,} characters cannot be cut: send plain text, or"
            " several documents",
            status=413,
        )


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A passage that was spoken."""

    file: bytes  # WAV, 16-bit mono
    form: WavFormat


class ScatteredText(ScatteredJob[Passage, _Spoken]):
    """One text at work."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        client: SpeechClient,
        source: _Passages,
        needs: Requirements,
        options: SpeechOptions,
        emit: Emit,
        file: JoinedSound,
    ) -> None:
        super().__init__(dispatcher, source, needs, options, emit)
        self._client = client
        self._wanted = options
        self._file = file
        self._spoken: dict[int, _Spoken | None] = {}  # not handed on yet
        self._next_out = 0  # the passage that is handed on next
        self._ready: deque[_Spoken] = deque()  # in order, to be written into the file
        self._all = bytearray()
        self._unread = 0
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> Done[bytes]:
        """All of it.

        Raises:
            RequestRejected: the first who was asked blames the text.
            NoProducer, AllProducersBusy: there is nobody left.
            AllProducersFailed: some passages were spoken by nobody.
        """
        await self._do_all()
        await self._write()
        self._hand_out(await _apart(self._wanted, self._file.finish))
        if self._left_out:
            texts = "; ".join(
                f'"{passage.text[:QUOTED]}..."' for passage, _ in sorted(self._left_out, key=_place)
            )
            why = self._left_out[0][1]
            raise AllProducersFailed(f"nobody could speak {texts}: {why}", self._attempts)
        is_wav = self._wanted.keep and self._wanted.format == "wav"
        return self._whole(with_sizes(self._all) if is_wav else bytes(self._all))

    def found(self, records: list[Record]) -> None:
        """Those who could be asked now, so that nobody need look for them again."""
        self._requests.found(records)

    def taken(self, size: int) -> None:
        """So many bytes of what was emitted were taken."""
        self._unread -= size
        if self._unread <= UNREAD:
            self._room.set()

    async def _step(self) -> bool:
        await self._write()
        await self._room.wait()
        return await super()._step()

    async def _write(self) -> None:
        """What is ready goes into the file."""
        while self._ready:
            spoken = self._ready.popleft()
            add = self._file.add
            self._hand_out(await _apart(self._wanted, add, spoken.file, spoken.form))

    def _hand_out(self, data: bytes) -> None:
        if not data:
            return
        if self._wanted.keep:
            self._all += data
        self._unread += len(data)
        if self._unread > UNREAD:
            self._room.clear()
        self._emit(FileChunk(data))

    def _take(self) -> Passage | None:
        """The first passage is spoken while nothing else is asked for, unless it takes long."""
        alone = self._requests and not self._settled
        if alone and time.monotonic() < self._began + HEAD_START:
            return None
        return super()._take()

    def _work(self, request: PieceRequest[Passage]) -> Work[_Spoken]:
        options = replace(self._wanted, format="wav", voice=request.needs.voice)
        return _PassageWork(SpeechWork(self._client, request.piece.text, options))

    def _put(self, piece: Passage, value: _Spoken | None) -> None:
        self._spoken[piece.number] = value

    def _hand_on(self) -> None:
        while self._next_out in self._spoken:
            if spoken := self._spoken.pop(self._next_out):
                self._ready.append(spoken)
            del self._held[self._next_out]
            self._next_out += 1

    def _far(self) -> str:
        return f"about {clock_time(sum(self._done.values()))} of the sound were spoken"


async def _apart(options: SpeechOptions, do: Callable[..., T], *what: Any) -> T:
    """In a thread, if a codec is to work."""
    return do(*what) if options.format in PLAIN else await asyncio.to_thread(do, *what)


def _place(left_out: tuple[Passage, Exception]) -> int:
    return left_out[0].number


@dataclass(frozen=True, slots=True)
class _PassageWork:
    """A passage as a WAV file, of a size that is possible."""

    work: SpeechWork

    async def __call__(self, endpoint: Endpoint, record: Record | None, emit: Emit) -> _Spoken:
        size = 0

        def bounded(event: Progress) -> None:
            nonlocal size
            if isinstance(event, FileChunk):
                size += len(event.data)
                if size > limits.MAX_PASSAGE:
                    raise EngineFailed("it would not stop speaking")
            else:
                emit(event)

        file = await self.work(endpoint, record, bounded)
        form = parse_header(file)
        if form is None or not form.is_plain or form.rate not in RATES:
            raise EngineFailed("what it sent is no sound")
        return _Spoken(file, form)


class _Passages:
    """The passages of a text, cut as they are taken."""

    ended = True  # nothing needs to be waited for

    def __init__(self, text: str, options: SpeechOptions) -> None:
        self.hint = self.seconds = len(text) * limits.SPEECH_PER_CHARACTER / options.speed
        self._left = passages(text, options.speed)
        self._next = next(self._left, None)

    def __len__(self) -> int:
        return self._next is not None

    def take(self) -> Passage | None:
        """The next."""
        taken, self._next = self._next, next(self._left, None)
        return taken

    async def pull(self) -> None:
        """There is nothing to be waited for."""

    async def close(self) -> None:
        """There is nothing to be closed."""
