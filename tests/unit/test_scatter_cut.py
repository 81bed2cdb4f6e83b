"""Where long recordings are cut: in pauses, at the quietest frame, and not at all in silence."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from privox_dht.scatter import cut
from privox_dht.scatter.cut import RATE, Cutter, Piece

NOISE = np.random.default_rng(0).normal(0, 3000, 400 * RATE).astype(np.int16)
LEVELS = {"loud": 1.0, "quiet": 0.02, "silent": 0.0}


def recording(*parts: tuple[str, float]) -> NDArray[np.int16]:
    """Parts such as ("loud", 2.0) or ("quiet", 1.0), seconds long."""
    return np.concatenate([np.zeros(0, np.int16)] + [
        (NOISE[: round(seconds * RATE)] * LEVELS[level]).astype(np.int16)
        for level, seconds in parts
    ])  # fmt: skip


def pieces_of(sound: NDArray[np.int16], blocks: int = 1 << 30) -> list[Piece]:
    cutter = Cutter()
    pieces = []
    for at in range(0, sound.size, blocks):
        pieces += cutter.feed(sound[at : at + blocks])
    return pieces + cutter.finish()


def spans(*parts: tuple[str, float]) -> list[tuple[float, float]]:
    return [(round(p.start, 1), round(p.end, 1)) for p in pieces_of(recording(*parts))]


def test_a_piece_ends_in_the_middle_of_the_longest_pause_between_ten_and_thirty_seconds() -> None:
    speech = [("loud", 8), ("quiet", 3), ("loud", 4), ("quiet", 0.4), ("loud", 6), ("quiet", 0.8),
              ("loud", 12)]  # fmt: skip
    assert spans(*speech) == [(0.0, 21.8), (21.8, 34.2)]


def test_a_pause_before_ten_seconds_ends_no_piece() -> None:
    assert spans(("loud", 6), ("quiet", 0.9), ("loud", 9), ("quiet", 0.4), ("loud", 20)) == [
        (0.0, 16.1),
        (16.1, 36.3),
    ]


def test_without_a_pause_both_pieces_hear_two_seconds_beyond_the_quietest_place() -> None:
    first, second = pieces_of(recording(("loud", 20), ("quiet", 0.1), ("loud", 18)))
    assert first.joint_before is None and second.joint_before is not None
    assert second.joint_before == first.joint_after == pytest.approx(20.05, abs=0.06)
    assert first.end == pytest.approx(second.joint_before + cut.OVERLAP)
    assert second.start == pytest.approx(second.joint_before - cut.OVERLAP)


def test_silence_is_in_no_piece_and_keeps_its_place() -> None:
    assert spans(("loud", 4), ("silent", 300), ("loud", 5), ("silent", 8)) == [
        (0.0, 4.2),
        (303.8, 309.2),
    ]


def test_of_a_recording_without_sound_nothing_is_left() -> None:
    assert spans(("silent", 100)) == []
    assert spans(("silent", 0.4)) == []
    assert spans() == []


def test_somebody_far_away_is_no_silence() -> None:
    """Thirty decibels below the others: a pause, for a cut, but never left out."""
    assert sum(end - start for start, end in spans(("loud", 60), ("quiet", 20))) >= 80


def test_a_click_at_the_end_of_a_long_silence_is_heard() -> None:
    assert spans(("loud", 12), ("silent", 40), ("loud", 0.1)) == [(0.0, 12.2), (51.8, 52.1)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["loud", "loud", "quiet", "silent"]), st.floats(0.05, 50)),
        max_size=8,
    ),
    st.integers(100, 200_000),
)
def test_the_pieces_depend_on_the_sound_alone_and_cover_all_that_is_no_silence(
    parts: list[tuple[str, float]], blocks: int
) -> None:
    sound = recording(*parts)
    pieces = pieces_of(sound)
    again = pieces_of(sound, blocks)
    assert [(p.first, p.samples.tobytes(), p.joint_before) for p in pieces] == [
        (p.first, p.samples.tobytes(), p.joint_before) for p in again
    ]
    assert [p.number for p in pieces] == list(range(len(pieces)))
    missing = np.ones(sound.size, bool)
    for piece in pieces:
        assert 0 < piece.seconds <= cut.LONGEST + 0.01
        assert np.array_equal(sound[piece.first : piece.first + piece.samples.size], piece.samples)
        missing[piece.first : piece.first + piece.samples.size] = False
    for before, after in itertools.pairwise(pieces):
        overlap = before.end - after.start
        assert overlap == pytest.approx(0 if after.joint_before is None else 4.0, abs=0.01) or (
            after.joint_before is None and overlap < 0
        )
    assert not sound[missing].any() or abs(sound[missing]).max() < 0.2 * abs(sound).max()


def test_little_is_heard_twice_where_there_is_no_pause() -> None:
    rng = random.Random(1)
    parts = [("loud", rng.uniform(0.2, 0.5)) for _ in range(600)]
    sound = recording(*itertools.chain(*((p, ("quiet", 0.05)) for p in parts)))
    sent = sum(piece.samples.size for piece in pieces_of(sound))
    assert sent / sound.size < 1.3
