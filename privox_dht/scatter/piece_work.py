"""One piece at one endpoint: sent as a plain WAV file, and the times of its words checked.

If words lie outside the piece, or times go backwards, the producer has failed, and the dispatcher
asks the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from privox_dht import limits
from privox_dht.audio import wav
from privox_dht.dispatch.job_events import Emit
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.work import TranscriptionWork
from privox_dht.errors import EngineFailed
from privox_dht.records import Record
from privox_dht.scatter.cut import RATE, Piece
from privox_dht.speech import Segment, Transcript, Word
from privox_dht.speech_api.client import Endpoint, SpeechClient

Part = TypeVar("Part", Segment, Word)
MAX_OUTSIDE = 1.0  # seconds before or after a piece in which a word may begin: engines guess
MAX_BACKWARDS = 1.0  # seconds by which a word may begin before the previous one


@dataclass(frozen=True, slots=True)
class PieceWork:
    """Has a piece transcribed; times are those of the whole recording."""

    client: SpeechClient
    piece: Piece
    options: TranscriptionOptions

    async def __call__(self, endpoint: Endpoint, record: Record | None, emit: Emit) -> Transcript:
        piece = self.piece
        options = replace(self.options, words=self.options.words or piece.overlaps)
        sound = wav(piece.samples.astype("<i2", copy=False).tobytes(), RATE)
        transcript = await TranscriptionWork(self.client, sound, options)(endpoint, record, emit)
        return replace(transcript, segments=tuple(in_recording_time(transcript.segments, piece)))


def in_recording_time(segments: Sequence[Segment], piece: Piece) -> list[Segment]:
    """The segments of a piece, with the times of the whole recording.

    Raises:
        EngineFailed: their text or times are impossible.
    """
    within: list[Segment] = []
    last = 0.0
    if (length := sum(_length(segment) for segment in segments)) > limits.PIECE_TEXT:
        raise EngineFailed(f"{length:,} characters in a piece of {piece.seconds:.1f} s of sound")
    for segment in segments:
        parts: list[Segment | Word] = [segment, *segment.words]
        for part in parts:
            if not -MAX_OUTSIDE <= part.start <= piece.seconds + MAX_OUTSIDE:
                raise EngineFailed(
                    f"words at {part.start:.1f} s of a piece of {piece.seconds:.1f} s of sound"
                )
            if part.end < part.start or part.start < last - MAX_BACKWARDS:
                raise EngineFailed(
                    f"times that go backwards, from {last:.1f} s to {part.start:.1f} s"
                )
            last = part.start
        words = tuple(_shifted(word, piece) for word in segment.words)
        within.append(replace(_shifted(segment, piece), words=words))
    return within


def _length(segment: Segment) -> int:
    """Characters of its text or of its words, whichever are more; an empty word counts as one."""
    return max(1, len(segment.text), sum(max(1, len(word.text)) for word in segment.words))


def _shifted(part: Part, piece: Piece) -> Part:
    start = min(max(0.0, part.start), piece.seconds) + piece.start
    return replace(part, start=start, end=min(max(0.0, part.end), piece.seconds) + piece.start)
