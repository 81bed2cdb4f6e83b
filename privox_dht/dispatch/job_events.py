"""One job as a stream of events. Pure.

    Waiting     everybody is busy, or the last producer was lost or does not answer
    Dialing     a producer is asked
    Uploading   so much of the recording has gone
    Scattered   several producers work on it; so much is done
    Whole       it could not be scattered                             (stt)
    AudioInfo   it is sound audio, this long; of speech, at the end
    Segment     a stretch of it, recognised                           (stt)
    FileChunk  a part of the spoken file                             (tts)
    Done        the whole result, and who did it; always the last one

A producer may die in mid-job. Then `Dialing` comes again, and after it everything from the start:
what came before it belongs to an answer that has no end. See `JoinedSegments` for words that
somebody has read already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from privox_dht.dispatch.job_state import Done
from privox_dht.records import Record
from privox_dht.speech import AudioInfo, Segment

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Everybody is busy, or the last producer was lost with the job or does not answer."""

    seconds: float  # for which the job goes on asking


@dataclass(frozen=True, slots=True)
class Dialing:
    """A producer is asked, which begins the job anew."""

    record: Record | None  # None: the fallback server
    route: str  # "direct host:port", "relayed by host:port" or "fallback URL"


@dataclass(frozen=True, slots=True)
class Uploading:
    """The recording goes out."""

    sent: int  # bytes
    total: int


@dataclass(frozen=True, slots=True)
class Scattered:
    """How far a recording is, or a text, on which several producers work."""

    heard: float  # seconds of its sound that were transcribed, or (about) spoken
    seconds: float  # of the whole; 0: not known
    producers: int  # at work just now
    speed: float  # seconds of sound in a second
    before: float = 0.0  # seconds that an earlier run had heard


@dataclass(frozen=True, slots=True)
class Whole:
    """A long recording goes to one producer as it is; `why` it is not scattered."""

    why: str


@dataclass(frozen=True, slots=True)
class FileChunk:
    """The next part of the spoken file. A WAV file's header does not know its length yet; the
    `value` of `Done` does."""

    data: bytes


Progress = Waiting | Dialing | Uploading | Scattered | Whole | AudioInfo | Segment | FileChunk
JobEvent = Progress | Done[T]
Emit = Callable[[Progress], None]
