"""The two kinds of job, done at one endpoint, each step in time.

    dispatcher   chooses an endpoint     -> work(endpoint, record, emit)
    work         sends the job there     -> emits events, returns the whole result
                 cannot                  -> JobError: the dispatcher asks the next producer

The work may be repeated at the next endpoint, from the start. How long a producer may take:

    during the upload            no deadline: the HTTP client notices a stalled upload
    uploaded                     the recording's length is due: time to decode it
    the length is known          the next result is due within RESULT_SLACK times what the whole
                                 takes at the producer's own speed; all within twice that. No
                                 length is believed that the recording cannot have

Heartbeats are no progress: a producer that sends nothing else, or a word now and then, is given up
and the next one gets the job.
"""

import asyncio
import io
import os
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from privox_dht import limits, model_names
from privox_dht.audio.wav_header import (
    LONGEST_HEADER,
    PCM_CODE,
    SAMPLE,
    parse_header,
    with_sizes,
)
from privox_dht.dispatch.job_events import Emit, FileChunk, Uploading
from privox_dht.dispatch.job_options import SpeechOptions, TranscriptionOptions
from privox_dht.errors import ProducerLost
from privox_dht.records import Record
from privox_dht.speech import AudioInfo, Segment, Transcript
from privox_dht.speech_api.client import Endpoint, SpeechClient
from privox_dht.transcript import gather

T_co = TypeVar("T_co", covariant=True)
Audio = bytes | Path | BinaryIO
MAX_SLOTS_BELIEVED = 4  # slots of a record that count: other jobs may run beside ours
SPARSEST = 64  # bytes of a compressed recording per second, at least: FLAC of silence has as many


class ResultDeadline:
    """The deadline of the next result. Made by `results_due`."""

    def __init__(self, timer: asyncio.Timeout, record: Record | None) -> None:
        self._timer = timer
        self._wait_per_second = float("inf") if record is None else _wait_per_second(record)
        self._ends = float("inf")
        self._seconds = 0.0

    def uploaded(self, sent: int, total: int) -> None:
        """`sent` of `total` bytes were uploaded."""
        if sent >= total:
            self._due_in(limits.RESULT_GRACE + total / limits.DECODED_PER_SECOND)

    def set_length(self, seconds: float) -> None:
        """The job is `seconds` of sound long; only the first call counts."""
        if self._ends < float("inf"):
            return
        self._seconds = seconds
        now = asyncio.get_running_loop().time()
        self._ends = now + 2 * (limits.RESULT_GRACE + self._wait_per_second * seconds)
        self.result()

    def result(self) -> None:
        """A part of the answer came: the next one is due."""
        self._due_in(limits.RESULT_GRACE + self._wait_per_second * self._seconds)

    def _due_in(self, seconds: float) -> None:
        if self._wait_per_second < float("inf") and not self._timer.expired():
            now = asyncio.get_running_loop().time()
            self._timer.reschedule(min(now + seconds, self._ends))


def _wait_per_second(record: Record) -> float:
    """Seconds to wait per second of sound."""
    at_once = min(max(record.slots, 1), MAX_SLOTS_BELIEVED)
    return limits.RESULT_SLACK * at_once / max(record.speed or 1.0, limits.SLOWEST_SPEED)


@asynccontextmanager
async def results_due(record: Record | None) -> AsyncIterator[ResultDeadline]:
    """While this is open, the producer of `record` must send results in time; an ordinary server
    (None) has no deadline.

    Raises:
        ProducerLost: it did not.
    """
    try:
        async with asyncio.timeout(None) as timer:
            yield ResultDeadline(timer, record)
    except TimeoutError as exc:
        if not timer.expired():
            raise
        raise ProducerLost("it sent heartbeats but no result in time", begun=True) from exc


class Work(Protocol[T_co]):
    """What the dispatcher calls for one endpoint after the other."""

    async def __call__(self, endpoint: Endpoint, record: Record | None, emit: Emit) -> T_co:
        """Do the job at `endpoint`.

        Args:
            record: of the producer; None: an ordinary server.
            emit: called with each event.

        Raises:
            JobError: the job failed there.
        """


@dataclass(frozen=True, slots=True)
class TranscriptionWork:
    """A transcription job."""

    client: SpeechClient
    audio: Audio
    options: TranscriptionOptions

    async def __call__(self, endpoint: Endpoint, record: Record | None, emit: Emit) -> Transcript:
        options = self.options
        request = options.request(_model_for(record, options.model))
        seconds, segments = 0.0, []
        most = await asyncio.to_thread(longest, self.audio)

        def uploaded(sent: int, total: int) -> None:
            due.uploaded(sent, total)
            emit(Uploading(sent, total))

        async with results_due(record) as due:
            results = self.client.transcribe(endpoint, self.audio, request, progress=uploaded)
            async with aclosing(results) as items:
                async for item in items:
                    match item:
                        case AudioInfo():
                            seconds = min(item.seconds, most)
                            item = AudioInfo(seconds)
                            due.set_length(seconds)
                        case Segment():
                            due.result()
                            segments.append(item)
                    emit(item)
        return gather(segments, seconds, options.language)


@dataclass(frozen=True, slots=True)
class SpeechWork:
    """A speech job."""

    client: SpeechClient
    text: str
    options: SpeechOptions

    async def __call__(self, endpoint: Endpoint, record: Record | None, emit: Emit) -> bytes:
        options = self.options
        request = options.request(self.text, _model_for(record, options.model))
        audio = bytearray()
        async with (
            results_due(record) as due,
            aclosing(self.client.speak(endpoint, request, options.format)) as chunks,
        ):
            due.set_length(len(self.text) * limits.SPEECH_PER_CHARACTER / options.speed)
            async for chunk in chunks:
                due.result()
                audio += chunk
                emit(FileChunk(chunk))
        whole = with_sizes(audio) if options.format == "wav" else bytes(audio)
        emit(AudioInfo(_seconds_of(whole, self.text, options)))
        return whole


def opened(audio: Audio) -> AbstractContextManager[BinaryIO]:
    """The recording as a file to read, closed at the end unless the caller had opened it."""
    if isinstance(audio, bytes):
        return io.BytesIO(audio)
    return audio.open("rb") if isinstance(audio, Path) else nullcontext(audio)


def longest(audio: Audio) -> float:
    """Seconds that a recording can have at most, by its size; infinite if it cannot be read."""
    try:
        with opened(audio) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            form = parse_header(file.read(LONGEST_HEADER))
    except (OSError, ValueError):
        return float("inf")
    if form is None or form.code != PCM_CODE:
        return size / SPARSEST
    return size / max(SPARSEST, form.rate * form.channels * form.bits / 8)


def _seconds_of(audio: bytes, text: str, options: SpeechOptions) -> float:
    """The length of the sound, not taken from what the producer claims."""
    form = parse_header(audio) if options.format == "wav" else None
    if form is not None and form.is_plain and form.rate:
        return (len(audio) - form.begins) / SAMPLE / form.rate
    return len(text) * limits.SPEECH_PER_CHARACTER / options.speed


def _model_for(record: Record | None, model: str) -> str:
    """The model's name in a request to this producer; never empty, so that a node with several
    engines uses the one whose record was selected."""
    if record is None:
        return model
    return model_names.model(model, record.models) or record.engine
