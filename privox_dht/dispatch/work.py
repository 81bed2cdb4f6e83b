"""The two kinds of job, done at one endpoint.

    dispatcher   chooses an endpoint     -> work(endpoint, record, emit)
    work         asks there, in time     -> emits what comes, returns the whole
                 cannot                  -> JobError: the dispatcher goes on to the next

The same work may be done again at the next endpoint, from the start.
"""

from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from privox_dht import limits, model_names
from privox_dht.audio.wav_header import SAMPLE, parse_header, with_sizes
from privox_dht.dispatch.job_events import Emit, FileChunk, Uploading
from privox_dht.dispatch.job_options import SpeechOptions, TranscriptionOptions
from privox_dht.dispatch.job_timing import results_due
from privox_dht.records import Record
from privox_dht.speech import AudioInfo, Segment, Transcript
from privox_dht.speech_api.client import Endpoint, SpeechClient
from privox_dht.transcript import gather

T_co = TypeVar("T_co", covariant=True)


class Work(Protocol[T_co]):
    """What the dispatcher has done at one endpoint after the other."""

    async def __call__(self, endpoint: Endpoint, record: Record | None, emit: Emit) -> T_co:
        """Do it at `endpoint`.

        Args:
            record: what the producer says of itself; None: a server elsewhere.
            emit: is told of each thing as it happens.

        Raises:
            JobError: it could not be done there.
        """
        ...


@dataclass(frozen=True, slots=True)
class TranscriptionWork:
    """A recording to text."""

    client: SpeechClient
    audio: bytes | Path | BinaryIO
    options: TranscriptionOptions

    async def __call__(self, endpoint: Endpoint, record: Record | None, emit: Emit) -> Transcript:
        options = self.options
        request = options.request(_model_for(record, options.model))
        seconds, segments = 0.0, []

        def uploaded(sent: int, total: int) -> None:
            due.uploaded(sent, total)
            emit(Uploading(sent, total))

        async with results_due(record) as due:
            heard = self.client.transcribe(endpoint, self.audio, request, progress=uploaded)
            async with aclosing(heard) as items:
                async for item in items:
                    match item:
                        case AudioInfo():
                            seconds = item.seconds
                            due.work_is(seconds)
                        case Segment():
                            due.result()
                            segments.append(item)
                    emit(item)
        return gather(segments, seconds, options.language)


@dataclass(frozen=True, slots=True)
class SpeechWork:
    """A text to a sound file."""

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
            due.work_is(len(self.text) * limits.SPEECH_PER_CHARACTER / options.speed)
            async for chunk in chunks:
                due.result()
                audio += chunk
                emit(FileChunk(chunk))
        whole = with_sizes(audio) if options.format == "wav" else bytes(audio)
        emit(AudioInfo(_seconds_of(whole, self.text, options)))
        return whole


def _seconds_of(audio: bytes, text: str, options: SpeechOptions) -> float:
    """How much sound it is, whatever the producer says of it."""
    form = parse_header(audio) if options.format == "wav" else None
    if form is not None and form.is_plain and form.rate:
        return (len(audio) - form.begins) / SAMPLE / form.rate
    return len(text) * limits.SPEECH_PER_CHARACTER / options.speed


def _model_for(record: Record | None, model: str) -> str:
    """What to call the model in a request to this producer: never empty for a node with several
    engines, so that the engine whose record was picked is the one that does it."""
    if record is None:
        return model
    return model_names.model(model, record.models) or record.engine
