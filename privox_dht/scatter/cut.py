"""Cuts a long recording into pieces by its sound alone: the same recording always has the same
pieces, in whatever blocks it arrives. Pure.

    sound    .oOo.oOOo..oOo.oOo.oOo....oOo.                .oOo.oOo.oOOoOOoOOoOOoOOoOOo.
    pieces   |------ 1 ------|---- 2 ----|     (silence)   |----- 3 ----->|  overlap
                                                                      |<-------- 4 ----|

A piece is 10 to 30 s long and ends in the middle of the longest pause that lies there. Where 30 s
have no pause it ends at the quietest frame, and both neighbours hear 2 s beyond it. Stretches of
silence are in no piece; what stands around one may be shorter than 10 s.

The level of speech is measured over all of the recording so far. Silence must be far quieter than a
pause, so that a speaker far from the microphone is not cut out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privox_dht.audio.loudness import FRAME, LOUD, QUIET, SILENT, loudness, runs
from privox_dht.audio.sample_sink import FULL_SCALE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000  # Hz; the rate of most engines, so that producers need not resample
SHORTEST = 10.0  # seconds of a piece that ends in a pause; recognisers need some context
LONGEST = 30.0  # seconds of a piece: one window of Whisper
PAUSE = 0.3  # seconds of quiet in which a piece may end
OVERLAP = 2.0  # seconds by which both pieces reach beyond a cut that is not in a pause
EARLIEST_FORCED = 16.0  # seconds of a piece before such a cut; overlaps are transcribed twice
SILENCE = 5.0  # seconds of silence that are not sent
SILENCE_AT_ENDS = 1.0  # seconds of it that are not sent where a piece begins or the recording ends
SILENCE_KEPT = 0.25  # seconds of it that stay at either end of a piece
SILENCE_LEVEL = 0.01  # of the level of speech; what is quieter is silence
LOOKAHEAD = 32.0  # seconds of sound needed before a piece is cut: LONGEST, and a pause there
LEVEL_STEP = 0.5  # dB: the width of a bin of the loudness histogram
LOWEST_LEVEL = -100.0  # dB of full scale: the lowest bin


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the recording."""

    number: int  # from 0
    first: int  # its first sample's place in the recording
    samples: NDArray[np.int16]
    # Seconds of the recording at which it was cut without a pause; its neighbour overlaps there
    joint_before: float | None = None
    joint_after: float | None = None

    @property
    def overlaps(self) -> bool:
        """Whether a neighbour contains some of it too."""
        return self.joint_before is not None or self.joint_after is not None

    @property
    def start(self) -> float:
        """Seconds from the start of the recording."""
        return self.first / RATE

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples.size / RATE

    @property
    def end(self) -> float:
        """Seconds from the start of the recording."""
        return self.start + self.seconds


class Cutter:
    """Cuts 16-bit mono sound at `RATE` that arrives in blocks of any size."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.int16]] = []  # not yet in a piece
        self._held = 0  # samples in these blocks
        self._first = 0  # the place of their first sample in the recording
        self._joint: float | None = None  # seconds: the cut without a pause that they begin before
        self._made = 0  # pieces so far
        self._level = _Level()

    @property
    def seconds(self) -> float:
        """Seconds of sound so far."""
        return (self._first + self._held) / RATE

    def feed(self, block: NDArray[np.int16]) -> list[Piece]:
        """Take the next samples; the pieces that are complete now."""
        pieces: list[Piece] = []
        enough = int(LOOKAHEAD * RATE)
        while block.size:
            room = enough - self._held
            self._blocks.append(block[:room])
            self._held += min(room, block.size)
            block = block[room:]
            if self._held == enough:
                pieces += self._cut(last=False)
        return pieces

    def finish(self) -> list[Piece]:
        """The remaining pieces: no more sound will come."""
        pieces: list[Piece] = []
        while self._held:
            pieces += self._cut(last=True)
        return pieces

    def _cut(self, *, last: bool) -> list[Piece]:
        """Cut off the first piece, or drop silence at the start; at most one piece is returned."""
        import numpy

        sound = numpy.concatenate(self._blocks)
        frames = loudness(sound * numpy.float32(FULL_SCALE), RATE)
        loud = self._level.update(frames, self._first // _FRAME)
        quiet = frames <= max(SILENT, QUIET * loud)
        silent = frames <= max(SILENT, SILENCE_LEVEL * loud)
        silences = [
            run for run in runs(silent, 1) if self._is_left_out(run, frames.size, last=last)
        ]
        if last and silent.all():
            self._drop_before(sound, sound.size)
            return []
        if silences and silences[0][0] == 0:
            self._drop_before(sound, (silences[0][1] - _in_frames(SILENCE_KEPT)) * _FRAME)
            return []
        if silences and silences[0][0] <= _in_frames(LONGEST - SILENCE_KEPT):
            begin, end = silences[0]
            kept = _in_frames(SILENCE_KEPT)
            return self._piece(sound, (begin + kept) * _FRAME, (end - kept) * _FRAME)
        if last and sound.size <= LONGEST * RATE:
            return self._piece(sound, sound.size, sound.size)
        if pause := _longest_pause(quiet):
            place = (pause[0] + pause[1]) // 2 * _FRAME
            return self._piece(sound, place, place)
        earliest, latest = _in_frames(EARLIEST_FORCED), _in_frames(LONGEST - OVERLAP)
        place = (earliest + int(frames[earliest:latest].argmin())) * _FRAME
        joint, overlap = (self._first + place) / RATE, int(OVERLAP * RATE)
        pieces = self._piece(sound, place + overlap, place - overlap, joint)
        self._joint = joint
        return pieces

    def _is_left_out(self, run: tuple[int, int], frames: int, *, last: bool) -> bool:
        """Whether a stretch of silence is in no piece."""
        begin, end = run
        at_an_end = (begin == 0 and self._joint is None) or (last and end == frames)
        return (end - begin) * FRAME >= (SILENCE_AT_ENDS if at_an_end else SILENCE)

    def _piece(
        self, sound: NDArray[np.int16], end: int, rest: int, joint: float | None = None
    ) -> list[Piece]:
        """The sound before `end` as a piece; the next one begins at `rest` or later."""
        piece = Piece(self._made, self._first, sound[:end].copy(), self._joint, joint)
        self._made += 1
        self._drop_before(sound, rest)
        return [piece]

    def _drop_before(self, sound: NDArray[np.int16], place: int) -> None:
        """Forget the sound before `place`, which was cut or left out."""
        rest = sound[place:].copy()
        self._blocks = [rest] if rest.size else []
        self._held = rest.size
        self._first += place
        self._joint = None


class _Level:
    """The level of speech: a percentile of the loudness of all frames so far."""

    def __init__(self) -> None:
        import numpy

        self._counts = numpy.zeros(round(-LOWEST_LEVEL / LEVEL_STEP) + 1, numpy.int64)
        self._counted = 0  # frames of the recording

    def update(self, frames: NDArray[np.float32], first: int) -> float:
        """Count these frames, the first of which is number `first` of the recording (each is
        counted once); the level of speech, as a share of full scale."""
        import numpy

        new = frames[max(0, self._counted - first) :]
        if new.size:
            self._counted = first + frames.size
            decibels = 20 * numpy.log10(numpy.maximum(new, 10 ** (LOWEST_LEVEL / 20)))
            bins = numpy.clip((decibels - LOWEST_LEVEL) / LEVEL_STEP, 0, self._counts.size - 1)
            self._counts += numpy.bincount(bins.astype(int), minlength=self._counts.size)
        counted = numpy.cumsum(self._counts)
        place = int(numpy.searchsorted(counted, LOUD / 100 * counted[-1]))
        return float(10 ** ((LOWEST_LEVEL + place * LEVEL_STEP) / 20))


_FRAME = int(FRAME * RATE)  # samples


def _in_frames(seconds: float) -> int:
    return round(seconds / FRAME)


def _longest_pause(quiet: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The longest run of quiet frames in whose middle a piece may end; the last of equal ones."""
    earliest, latest = _in_frames(SHORTEST), _in_frames(LONGEST)
    found = [
        (begin, end)
        for begin, end in runs(quiet, _in_frames(PAUSE))
        if earliest <= (begin + end) // 2 <= latest
    ]
    return max(found, key=lambda run: (run[1] - run[0], run[0]), default=None)
