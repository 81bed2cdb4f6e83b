"""Splits a recording into utterances at its pauses. Pure.

Speech that is too long without a pause is cut at its quietest place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from privox_dht.audio.loudness import FRAME, LOUD, QUIET, SILENT, loudness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAUSE = 0.5  # seconds of quiet that end an utterance
MARGIN = 0.2  # seconds of quiet kept at either end of an utterance
LONGEST = 14.0  # seconds of an utterance; recognising longer ones is slow and inaccurate
SHORTEST = 0.1  # seconds of sound; anything shorter is a click
CUT_RANGE = 0.5  # share of the longest piece, from its end, in which it may be cut

Span = tuple[int, int]  # first sample, and the one after the last


def utterances(pcm: NDArray[np.float32], rate: int) -> list[Span]:
    """The stretches of `pcm` (mono float32) with speech, in order."""
    import numpy

    levels = loudness(pcm, rate)
    if not levels.size:
        return []
    frame = int(FRAME * rate)
    threshold = max(SILENT, QUIET * float(numpy.percentile(levels, LOUD)))
    return [
        (begin * frame, end * frame)
        for first, last in _loud_runs(levels > threshold)
        for begin, end in _cut(first, last, levels, LONGEST)
    ]


def blocks(pcm: NDArray[np.float32], rate: int, longest: float) -> list[Span]:
    """All of `pcm` in pieces of at most `longest` seconds, cut where it is quietest."""
    levels = loudness(pcm, rate)
    frame = int(FRAME * rate)
    cuts = [begin * frame for begin, _ in _cut(0, levels.size, levels, longest)]
    return list(zip(cuts, [*cuts[1:], pcm.size], strict=True))


def _loud_runs(loud: NDArray[np.bool_]) -> list[Span]:
    """Runs of frames between pauses, with their margins."""
    import numpy

    places = numpy.flatnonzero(loud)
    if not places.size:
        return []
    breaks = numpy.flatnonzero(numpy.diff(places) > PAUSE / FRAME) + 1
    margin = round(MARGIN / FRAME)
    return [
        (max(0, int(run[0]) - margin), min(loud.size, int(run[-1]) + 1 + margin))
        for run in numpy.split(places, breaks)
        if run.size * FRAME >= SHORTEST
    ]


def _cut(first: int, last: int, levels: NDArray[np.float32], longest: float) -> list[Span]:
    """A run of frames in pieces of at most `longest` seconds, cut where it is quietest."""
    most = round(longest / FRAME)
    pieces = []
    while last - first > most:
        earliest = first + round(most * (1 - CUT_RANGE))
        place = earliest + int(levels[earliest : first + most].argmin())
        pieces.append((first, place))
        first = place
    return [*pieces, (first, last)]
