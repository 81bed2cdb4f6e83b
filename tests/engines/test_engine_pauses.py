"""Utterances and blocks: where a recording is cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nodes.engines import pauses
from privox_dht.audio.loudness import FRAME

RATE = 16_000
NOISE = np.random.default_rng(0).normal(0, 0.1, 60 * RATE).astype(np.float32)


def recording(*parts: tuple[str, float]) -> NDArray[np.float32]:
    """Parts such as ("loud", 2.0) or ("quiet", 1.0), seconds long."""
    levels = {"loud": 1.0, "quiet": 0.005, "silent": 0.0}
    return np.concatenate([NOISE[: int(s * RATE)] * np.float32(levels[p]) for p, s in parts])


def heard(*parts: tuple[str, float]) -> list[tuple[float, float]]:
    spans = pauses.utterances(recording(*parts), RATE)
    return [(round(a / RATE, 1), round(b / RATE, 1)) for a, b in spans]


def test_one_sound_is_one_utterance_with_its_margins() -> None:
    assert heard(("silent", 1), ("loud", 2), ("silent", 1)) == [(0.8, 3.2)]


def test_a_pause_divides_and_a_breath_does_not() -> None:
    assert heard(("loud", 2), ("quiet", 0.3), ("loud", 2)) == [(0.0, 4.3)]
    assert heard(("loud", 2), ("quiet", 1.0), ("loud", 2)) == [(0.0, 2.2), (2.8, 5.0)]


def test_a_click_is_not_an_utterance() -> None:
    assert heard(("silent", 1), ("loud", 0.04), ("silent", 1), ("loud", 1)) == [(1.8, 3.0)]


def test_a_long_utterance_is_cut_where_it_is_quietest() -> None:
    spans = heard(("loud", 10), ("quiet", 0.2), ("loud", 8))
    assert len(spans) == 2
    assert spans[0][1] == spans[1][0] == pytest.approx(10.1, abs=0.11)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 5.0])
def test_nothing_is_found_in_silence(seconds: float) -> None:
    assert heard(("silent", seconds)) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["loud", "quiet"]), st.floats(0.05, 20)), max_size=6))
def test_utterances_are_in_order_within_the_recording_and_never_too_long(
    parts: list[tuple[str, float]],
) -> None:
    pcm = recording(*parts) if parts else np.zeros(0, np.float32)
    spans = pauses.utterances(pcm, RATE)
    for begin, end in spans:
        assert 0 <= begin < end <= pcm.size
        assert end - begin <= pauses.LONGEST * RATE
    assert spans == sorted(spans)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 50 * RATE), st.floats(2, 20))
def test_blocks_cover_everything_and_are_never_too_long(size: int, longest: float) -> None:
    spans = pauses.blocks(NOISE[:size], RATE, longest)
    assert spans[0][0] == 0 and spans[-1][1] == size
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert all(b - a <= (longest + FRAME * 2) * RATE for a, b in spans)
