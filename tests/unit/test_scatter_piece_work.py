"""What a producer says of a piece is believed within bounds."""

from collections.abc import Sequence

import numpy as np
import pytest

from privox_dht.errors import EngineFailed
from privox_dht.scatter.cut import RATE, Piece
from privox_dht.scatter.piece_work import in_recording_time
from privox_dht.speech import Segment, Word

PIECE = Piece(3, 100 * RATE, np.zeros(20 * RATE, np.int16))


def test_words_come_in_the_recordings_time() -> None:
    heard = [Segment("a b", 1.0, 3.0, (Word("a", 1.0, 1.5), Word("b", 2.0, 3.0)))]
    assert in_recording_time(heard, PIECE) == [
        Segment("a b", 101.0, 103.0, (Word("a", 101.0, 101.5), Word("b", 102.0, 103.0)))
    ]


def test_an_engine_may_guess_a_little_beyond_the_end() -> None:
    assert in_recording_time([Segment("a", -0.5, 30.0)], PIECE) == [Segment("a", 100.0, 120.0)]


@pytest.mark.parametrize(
    "heard",
    [
        [Segment("late", 21.5, 22.0)],
        [Segment("early", -5.0, 2.0)],
        [Segment("a", 5.0, 4.0)],
        [Segment("a", 5.0, 6.0), Segment("b", 1.0, 2.0)],
        [Segment("a b", 5.0, 9.0, (Word("a", 8.0, 8.5), Word("b", 5.0, 5.5)))],
        [Segment("a", 5.0, 9.0, (Word("a", 50.0, 51.0),))],
        [Segment("a" * 9_000, 5.0, 9.0)],
        [Segment("a", 5.0, 9.0, (Word("", 5.0, 9.0),) * 9_000)],
        [Segment("", 5.0, 9.0)] * 9_000,
    ],
)
def test_words_outside_a_piece_or_going_backwards_or_far_too_many_are_a_failure(
    heard: Sequence[Segment],
) -> None:
    with pytest.raises(EngineFailed):
        in_recording_time(heard, PIECE)
