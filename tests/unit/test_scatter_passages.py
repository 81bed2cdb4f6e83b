"""Where a long text is cut."""

import itertools
import random
import time

import pytest

from privox_dht import limits
from privox_dht.scatter.passages import LONGEST, LONGEST_SENTENCE, passages

SENTENCE = "The old house stood on a hill above the river, and nobody had lived in it for years."


def texts(text: str) -> list[str]:
    return [passage.text for passage in passages(text)]


def test_the_first_sentence_is_alone_and_the_others_are_together_as_long_as_they_are_short() -> (
    None
):
    first, *others = texts(" ".join([SENTENCE] * 50))
    assert first == SENTENCE
    assert " ".join(others).strip() == " ".join([SENTENCE] * 49)
    assert all(LONGEST / 2 < len(said) <= LONGEST for said in others[:-1])


def test_an_abbreviation_ends_no_sentence() -> None:
    cut = texts(f"{SENTENCE} Dr. Smith paid $3.50, e.g. for tea. {SENTENCE * 4}")
    assert cut[1].startswith("Dr. Smith paid $3.50, e.g. for tea.")


def test_lines_that_were_wrapped_are_one_sentence_and_paragraphs_stay_apart() -> None:
    assert texts("She opened the\ngate.\n\nChapter 2\n \nHe left.") == [
        "She opened the gate.\n\n",
        "Chapter 2\n\nHe left.\n\n",
    ]


@pytest.mark.parametrize("odd", ["* * *", "...", '<break time="2s"/>', "—"])
def test_what_has_no_words_never_stands_alone(odd: str) -> None:
    for text in (f"{odd}\n\n{SENTENCE}", f"{SENTENCE}\n\n{odd}\n\n{SENTENCE}", f"{SENTENCE} {odd}"):
        assert all(SENTENCE[:20] in said for said in texts(text))


def test_a_sentence_that_never_ends_is_cut_at_a_space_and_no_pause_in_two() -> None:
    endless = 'and <break time="1.5s"/> so ' * 500
    cut = texts(endless)
    assert all(len(said) <= LONGEST_SENTENCE <= limits.MAX_TEXT for said in cut)
    assert "".join(cut).count('time="1.5s"/>') == 500
    assert not any(said.endswith("<break") or said.startswith("time=") for said in cut)


def test_numbers_go_up_and_seconds_follow_the_speed() -> None:
    cut = [*passages(" ".join([SENTENCE] * 9), 2.0)]
    assert [passage.number for passage in cut] == [*range(len(cut))]
    assert cut[0].seconds == pytest.approx(len(SENTENCE) * limits.SPEECH_PER_CHARACTER / 2)


@pytest.mark.parametrize("between", [" ", "", "\n\n"], ids=["book", "no end", "paragraphs"])
def test_the_first_words_of_a_book_are_there_before_the_rest_is_cut(between: str) -> None:
    """A sentence of two million characters that never ends took five seconds of a processor."""
    book = (SENTENCE + between) * (limits.MAX_BOOK // len(SENTENCE + between))
    began = time.process_time()
    first = next(passages(book))
    assert time.process_time() - began < 1.0
    assert book.startswith(first.text.strip()) and len(first.text) <= LONGEST_SENTENCE


def test_every_word_of_any_text_is_there_once() -> None:
    words = [
        f"w{n}{end}" for n, end in enumerate(itertools.islice(itertools.cycle(" ,.\n;!?"), 3000))
    ]
    assert " ".join(texts(" ".join(words))).split() == " ".join(words).split()


@pytest.mark.parametrize("seed", range(20))
def test_no_word_of_a_sentence_without_an_end_is_lost_or_joined_to_another(seed: int) -> None:
    rng = random.Random(seed)
    words = [f"w{'x' * rng.randrange(9)}{n}" for n in range(rng.randrange(600, 4000))]
    assert " ".join(texts(" ".join(words))).split() == words


@pytest.mark.parametrize("text", ["Hello. " + "- " * 3000 + "Bye. ", "." * 9000 + " Bye. "])
def test_no_passage_is_longer_than_a_job_takes_whatever_is_drawn_with_signs(text: str) -> None:
    made = [passage.text for passage in passages(text)]
    assert max(map(len, made)) <= limits.MAX_TEXT
    assert "Bye." in made[-1]
