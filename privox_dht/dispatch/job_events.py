"""One job as a stream of events. Pure.

    Waiting       all producers are busy, or the last one was lost or does not answer
    Dialing       a producer is asked
    Uploading     how much of the recording was sent
    Scattered     several producers work on it; how much is done
    NotScattered  a long recording goes to one producer, and why          (stt)
    AudioInfo     the length of the recording, once it is decoded; of speech, at the end
    Segment       a stretch of the transcript                             (stt)
    FileChunk     a part of the spoken file                               (tts)
    Done          the whole result and its producer; always the last event

If a producer is lost in mid-job, `Dialing` comes again and the answer starts over: what came before
belongs to an incomplete answer. `JoinedSegments` is for readers that have shown it already.
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
    """All producers are busy, or the last one was lost or does not answer."""

    seconds: float  # for which the job goes on retrying


@dataclass(frozen=True, slots=True)
class Dialing:
    """A producer is asked; the job starts over."""

    record: Record | None  # None: the fallback server
    route: str  # "direct host:port", "relayed by host:port" or "fallback URL"


@dataclass(frozen=True, slots=True)
class Uploading:
    """Progress of the upload."""

    sent: int  # bytes
    total: int


@dataclass(frozen=True, slots=True)
class Scattered:
    """Progress of a recording or text that several producers work on."""

    done: float  # seconds of its sound that were transcribed, or (estimated) spoken
    seconds: float  # of the whole; 0: unknown
    producers: int  # at work just now
    speed: float  # seconds of sound per second
    resumed: float = 0.0  # seconds of `done` that an earlier run did


@dataclass(frozen=True, slots=True)
class NotScattered:
    """A long recording goes to one producer as a whole."""

    why: str  # for the user


@dataclass(frozen=True, slots=True)
class FileChunk:
    """The next part of the spoken file. The header of a WAV file has no length yet; in the `value`
    of `Done` it has."""

    data: bytes


Progress = (
    Waiting | Dialing | Uploading | Scattered | NotScattered | AudioInfo | Segment | FileChunk
)
JobEvent = Progress | Done[T]
Emit = Callable[[Progress], None]
