"""The requests to a service, its results, and the protocols of engines and providers.

    Transcriber  PCM in, segments out as they are ready        (an engine for `stt`)
    Speaker      text in, sound out as it is ready              (an engine for `tts`)
    Provider     uploads and texts in, the same out             (the back end of the speech API:
                 a producer's engines, a remote server, or the mesh itself)

Everything that streams is an async generator: closing it (`aclose()`, or cancelling the task that
iterates) stops the work behind it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol, runtime_checkable

from privox_dht.offer import Offer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from privox_dht.recording import Recording

_SSML = re.compile(r"\s*<speak[\s>/]")
STT, TTS = "stt", "tts"
SERVICES = (STT, TTS)
ALIASES = {"asr": STT}  # the name in older systems
BACKENDS = ("cpu", "gpu")
AUDIO_FORMATS = ("wav", "mp3", "flac", "opus", "aac", "m4a", "pcm")
TEXT_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """One engine of one service, as described in records and in the list of models."""

    service: str  # "stt" or "tts"
    backend: str  # "cpu" or "gpu": what the work runs on
    engine: str  # "faster-whisper", "piper", "pocketsphinx", "espeak-ng", ...
    models: tuple[str, ...] = ()  # models (stt) or voices (tts) that may be named in a request
    languages: tuple[str, ...] = ()  # primary tags ("en"), see `languages`; empty: any
    speed: float = 0.0  # seconds of audio per second of work, measured at start; 0 is unknown
    translates: bool = False  # stt: speech of other languages into English text
    only_named: bool = False  # it takes only jobs that name it: a dummy for tests
    only_listed: bool = False  # a request may name only one of `models`; if not, and `models` is
    # empty, it may name anything
    # tts: the language tag of each voice
    voice_languages: Mapping[str, str] = field(default_factory=dict, hash=False)
    # tts: the names of each voice's speakers
    speakers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    all_languages: tuple[str, ...] = ()  # where `languages` is empty because there are too many
    warm: bool = True  # its model is loaded; if not, the next job waits until it is


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """A request to `stt`, without the audio."""

    service: ClassVar = STT
    model: str = ""  # "", an engine, a model, or "engine:model"
    language: str = ""  # spoken language as a BCP 47 tag; empty: detect
    translate: bool = False  # into English
    prompt: str = ""  # text that comes before the recording, or words to expect
    temperature: float = 0.0  # 0 to 1
    words: bool = False  # with the times of words
    streamed: bool = False  # the client reads the segments as they come
    hotwords: str = ""  # words to prefer, in the whole recording


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A request to `tts`."""

    service: ClassVar = TTS
    text: str
    voice: str = ""  # "": the default
    language: str = ""  # BCP 47 tag; used when no voice is named
    model: str = ""  # "", an engine, or a voice
    speed: float = 1.0  # 0.25 to 4, as OpenAI's API has it

    @property
    def speakable(self) -> str:
        """The text without NULs and lone surrogates, which no engine's C code accepts."""
        return self.text.replace("\0", " ").encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Word:
    """One word; times in seconds from the start of the recording."""

    text: str
    start: float
    end: float
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A recognised piece of speech; times in seconds from the start of the recording."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    language: str = ""  # detected or given; empty: the engine does not say


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The first item of a provider's transcription: the upload is valid audio of this length."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of sound: signed 16-bit little-endian mono PCM."""

    rate: int  # Hz
    pcm: bytes

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / self.rate


def is_ssml(text: str) -> bool:
    """Whether a text to speak is an SSML document."""
    return bool(_SSML.match(text))


class Engine(Protocol):
    """The members of every engine. It is loaded once, at start, and warm from then on."""

    info: EngineInfo

    async def start(self) -> None:
        """Load and warm.

        Raises:
            EngineUnavailable: a package, model or device is missing; says how to fix it.
        """

    async def close(self) -> None:
        """Free everything; no process and no file of the engine is left when this returns."""


class Transcriber(Engine, Protocol):
    """An engine that turns speech into text."""

    rate: int  # Hz of the PCM that it takes

    def transcribe(
        self, pcm: NDArray[np.float32], request: TranscriptionRequest
    ) -> AsyncGenerator[Segment]:
        """Segments of `pcm` (mono float32 in -1..1 at `rate`), as they are ready.

        Raises:
            RequestRejected: the request names a model or language this engine does not have.
            EngineFailed: the engine failed.
        """
        ...


@runtime_checkable
class RecordingTranscriber(Transcriber, Protocol):
    """A transcriber that works in another process, which maps the samples instead of copying."""

    def transcribe_recording(
        self, recording: Recording, request: TranscriptionRequest
    ) -> AsyncGenerator[Segment]:
        """As `transcribe`. The recording must stay open until this is closed."""
        ...


class Speaker(Engine, Protocol):
    """An engine that turns text into speech."""

    def speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        """Sound, as it is ready; the rate may differ between voices but not within one answer.

        Raises:
            RequestRejected: the request names a voice or language this engine does not have.
            EngineFailed: the engine failed.
        """
        ...


class Provider(Protocol):
    """Does the jobs of the speech API, by a producer's engines or by a gateway's mesh."""

    def engines(self) -> Sequence[EngineInfo]:
        """The engines that can be used now."""

    def status(self) -> Mapping[str, Any]:
        """What `GET /v1/status` shows, for JSON; no words, audio or client addresses."""

    def admit(self, service: str, offer: Offer) -> AbstractAsyncContextManager[None]:
        """A slot for one job, held while the context is open.

        Raises:
            ProducerBusy: none is free now, nor was one within `offer.wait`.
            RequestRejected: the service is not offered here (404).
        """

    def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        """First `AudioInfo`, then segments. `upload` is a seekable file in any audio format.

        Raises:
            RequestRejected: the audio or the request is invalid.
            EngineFailed, ProducerLost, ProducerBusy: see `errors`.
        """
        ...

    def speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        """Sound, as it is ready. Raises as `transcribe` does."""
        ...


@dataclass(frozen=True, slots=True)
class Transcript:
    """A complete result of `stt`."""

    segments: tuple[Segment, ...]
    seconds: float  # of audio
    language: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return " ".join(s.text.strip() for s in self.segments if s.text.strip())
