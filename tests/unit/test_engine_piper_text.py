"""Texts as piper can take them: no sentence is too long."""

from hypothesis import given
from hypothesis import strategies as st

from nodes.engines.piper_text import MAX_SENTENCE, SENTENCE_BREAK, split_long_sentences


def test_a_sentence_that_does_not_end_is_cut_at_a_space() -> None:
    text = "and so on " * 200
    cut = split_long_sentences(text)
    assert cut.split() == text.split()
    assert max(map(len, cut.split(SENTENCE_BREAK))) <= MAX_SENTENCE


def test_sentences_of_ordinary_length_stay_as_they_are() -> None:
    text = "One sentence. Another one, said by Dr. Who? " * 100
    assert split_long_sentences(text) == text


@given(st.text(max_size=3000))
def test_nothing_is_lost_where_text_is_cut(text: str) -> None:
    assert split_long_sentences(text).replace(SENTENCE_BREAK, "") == text.replace(
        SENTENCE_BREAK, ""
    )
