"""One job as a stream of events. Pure.

    Waiting       all producers are busy, or the last one was lost or does not answer
    Dialing       a producer is asked
    Uploading     how much of the recording was sent
    Scattered     several producers work on it; how much is done
    NotScattered  one producer gets a long recording, and why             (stt)
    AudioInfo     the recording could be decoded, and its length; of speech, at the end
    Segment       a stretch of the transcript                             (stt)
    FileChunk     a part of the spoken file                               (tts)
    Done          the whole result, and who did it; always the last one

A producer may be lost in mid-job. Then `Dialing` comes again, and after it everything from the
start: what came before belongs to an incomplete answer. See `JoinedSegments` for readers that have
shown it already.
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
    """All producers are busy, or the last one was lost with the job or does not answer."""

    seconds: float  # for which the job goes on asking


@dataclass(frozen=True, slots=True)
class Dialing:
    """A producer is asked; the job begins anew."""

    record: Record | None  # None: the fallback server
    route: str  # "direct host:port", "relayed by host:port" or "fallback URL"


@dataclass(frozen=True, slots=True)
class Uploading:
    """The recording goes out."""

    sent: int  # bytes
    total: int


@dataclass(frozen=True, slots=True)
class Scattered:
    """Progress of a recording or text that several producers work on."""

    done: float  # seconds of its sound that were transcribed, or (estimated) spoken
    seconds: float  # of the whole; 0: unknown
    producers: int  # at work just now
    speed: float  # seconds of sound in a second
    resumed: float = 0.0  # seconds of these that an earlier run had done


@dataclass(frozen=True, slots=True)
class NotScattered:
    """A long recording goes to one producer as it is."""

    why: str  # for the user


@dataclass(frozen=True, slots=True)
class FileChunk:
    """The next part of the spoken file. A WAV file's header does not know its length yet; the
    `value` of `Done` does."""

    data: bytes


Progress = (
    Waiting | Dialing | Uploading | Scattered | NotScattered | AudioInfo | Segment | FileChunk
)
JobEvent = Progress | Done[T]
Emit = Callable[[Progress], None]
