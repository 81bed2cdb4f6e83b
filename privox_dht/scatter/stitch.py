"""One transcript from the pieces of a recording. Pure.

    a pause between two pieces     nothing to do: no word reaches over it
    a cut without a pause          both heard OVERLAP beyond it:

        first    ... we meet at noon tomor           the words that both heard decide where the
        second           et at noon tomorrow then    other goes on: "at noon" here. Of those a word
        joint                   |                    belongs to the piece in which its middle lies
        one      ... we meet at noon tomorrow then

The longest run of words that both have counts: half words at the ends of the pieces are in no such
run. Where there is none, the middles of all words decide. An engine that gives no times of words is
believed by the run alone; its times are then guessed from the length of the text.

Language: the first three pieces with speech decide it, by seconds spoken. What was heard in another
is asked for again.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from privox_dht import languages
from privox_dht.scatter.cut import OVERLAP, Piece
from privox_dht.speech import Segment, Word

SAME = 0.6  # seconds by which two engines may differ about the middle of one word
GUESSED = 2.5  # seconds by which a time guessed from a text's length may be wrong
LEAST_RUN = 2  # words that must agree where their times are guessed: one agrees by chance
MOST_WORDS = 200  # in an overlap, that are compared: nobody says that many, but a producer may send
# them, and each is compared with each
DECIDING = 3  # pieces with speech that decide the language
_BETWEEN = " \t\n,.;:!?"  # what may be left of a sentence in front of its next word

# A letter of a script that is written without spaces counts as a word.
_TOKEN = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\S+?(?=[\u0e00-\u0eff"
                    r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\s|$)")  # fmt: skip


class Stitcher:
    """Takes the pieces' segments in any order, and tells them in the recording's.

    Args:
        language: what was asked for; "": the pieces decide.
    """

    def __init__(self, language: str = "") -> None:
        self.language = language
        self.decided = bool(language)  # nothing is told before the language is
        self._heard: dict[int, list[Segment]] = {}  # of pieces that are not told yet
        self._ends: dict[int, float | None] = {}  # where the next piece takes over within them
        self._told = 0  # pieces
        self._until = 0.0  # seconds; what was told ends here

    def put(self, piece: Piece, segments: Sequence[Segment]) -> None:
        """What was heard in a piece, in the recording's time; nothing, where nobody could hear it.
        What is put for a piece again replaces it."""
        self._heard[piece.number] = list(segments)
        self._ends[piece.number] = piece.joint_after

    def decide(self, pieces: int | None) -> list[int]:
        """Settle the language if enough was heard: the pieces that were heard in another, which are
        to be put again.

        Args:
            pieces: how many there are; None: more may come.
        """
        if self.decided:
            return []
        speech: list[tuple[str, float]] = []
        number = 0
        while number in self._heard and len(speech) < DECIDING:
            if self._heard[number]:
                speech.append(spoken(self._heard[number]))
            number += 1
        if len(speech) < DECIDING and number != pieces:
            return []
        self.decided = True
        self.language = language_of(speech)
        again = sorted(number for number, some in self._heard.items() if self.is_another(some))
        for number in again:
            del self._heard[number]
        return again

    def is_another(self, segments: Sequence[Segment]) -> bool:
        """Whether they are in another language than the recording."""
        heard, _ = spoken(segments)
        other = languages.primary(heard) != languages.primary(self.language)
        return bool(heard and self.language) and other

    def take(self) -> list[Segment]:
        """What can be told now: all pieces up to the first that is not heard yet."""
        told: list[Segment] = []
        while self.decided and self._told in self._heard:
            number = self._told
            joint = self._ends[number]
            if joint is not None:
                if number + 1 not in self._heard:
                    break
                self._heard[number], self._heard[number + 1] = join(
                    self._heard[number], self._heard[number + 1], joint
                )
            for segment in self._heard.pop(number):
                told.append(self._after_the_last(segment))
            self._told += 1
        return told

    def _after_the_last(self, segment: Segment) -> Segment:
        """Two engines may differ by a moment about where a word ends and the next begins."""
        start = max(segment.start, self._until)
        self._until = max(segment.end, start)
        return replace(segment, start=start, end=self._until)


@dataclass(frozen=True, slots=True)
class _Token:
    """A word of a segment, wherever its times are from."""

    segment: int  # of the piece
    key: str  # what is compared: no punctuation, no capitals
    begin: int  # in the segment's text
    end: int
    middle: float  # seconds
    starts: float  # seconds
    stops: float  # seconds


def join(
    before: Sequence[Segment], after: Sequence[Segment], joint: float
) -> tuple[list[Segment], list[Segment]]:
    """What is left of two pieces' segments where they overlap around `joint` (seconds)."""
    timed = all(segment.words or not segment.text.strip() for segment in (*before, *after))
    slack = 0.0 if timed else GUESSED
    first = [t for t in _tokens(before) if t.middle >= joint - OVERLAP - slack][-MOST_WORDS:]
    second = [t for t in _tokens(after) if t.middle <= joint + OVERLAP + slack][:MOST_WORDS]
    begin, other, length = _common_run(first, second, joint, timed=timed)
    if length:
        run = first[begin : begin + length]
        mine = sum(token.middle < joint for token in run) if timed else length
        ends, goes_on = begin + mine, other + mine
    else:
        ends = sum(token.middle < joint for token in first)
        goes_on = sum(token.middle < joint for token in second)
    return (
        _without(before, first[ends:], first=False),
        _without(after, second[:goes_on], first=True),
    )


def language_of(heard: Iterable[tuple[str, float]]) -> str:
    """The language of a recording whose first `DECIDING` pieces with speech were heard in these
    languages for so many seconds; "": their engines do not say."""
    spoken: dict[str, float] = {}
    for language, seconds in heard:
        if language:
            spoken[language] = spoken.get(language, 0.0) + seconds
    return max(spoken, key=lambda language: spoken[language], default="")


def spoken(segments: Sequence[Segment]) -> tuple[str, float]:
    """The language that a piece was heard in ("": unknown), and how long somebody speaks in it."""
    named = [(segment.language, segment.end - segment.start) for segment in segments]
    return language_of(named), sum(seconds for _, seconds in named)


def _tokens(segments: Sequence[Segment]) -> list[_Token]:
    return [token for number, segment in enumerate(segments) for token in _of(number, segment)]


def _of(number: int, segment: Segment) -> list[_Token]:
    places = _places(segment)
    if places is not None:
        return [
            _Token(number, _key(w.text), a, b, _middle(w), w.start, w.end)
            for w, (a, b) in zip(segment.words, places, strict=True)
        ]
    length, seconds = max(1, len(segment.text)), segment.end - segment.start

    def at(place: float) -> float:
        return segment.start + seconds * place / length

    return [
        _Token(number, _key(m[0]), m.start(), m.end(), at((m.start() + m.end()) / 2),
               at(m.start()), at(m.end()))
        for m in _TOKEN.finditer(segment.text)
    ]  # fmt: skip


def _places(segment: Segment) -> list[tuple[int, int]] | None:
    """Where each of its words stands in its text; None where they do not."""
    at, places = 0, []
    for word in segment.words:
        begin = segment.text.find(word.text, at)
        if begin < 0:
            return None
        at = begin + len(word.text)
        places.append((begin, at))
    return places if places else None


def _key(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold())) or text


def _common_run(
    first: Sequence[_Token], second: Sequence[_Token], joint: float, *, timed: bool
) -> tuple[int, int, int]:
    """Where the longest run of words that both have begins in either, and how many they are; of
    equally long ones the one nearest to the joint."""
    best, place = (0, 0.0), (0, 0, 0)
    lengths = [0] * (len(second) + 1)
    for i, mine in enumerate(first):
        row = [0] * (len(second) + 1)
        for j, theirs in enumerate(second):
            together = abs(mine.middle - theirs.middle) <= (SAME if timed else 2 * GUESSED)
            if mine.key == theirs.key and together:
                length = row[j + 1] = lengths[j] + 1
                near = -abs(first[i - length // 2].middle - joint)
                if (length, near) > best and length >= (1 if timed else LEAST_RUN):
                    best, place = (length, near), (i + 1 - length, j + 1 - length, length)
        lengths = row
    return place


def _without(
    segments: Sequence[Segment], dropped: Sequence[_Token], *, first: bool
) -> list[Segment]:
    """The segments less these words of theirs, which are the `first` of some, or the last."""
    left = list(segments)
    for number in {token.segment for token in dropped}:
        some = [token for token in dropped if token.segment == number]
        left[number] = _shortened(segments[number], some, first=first)
    return [segment for segment in left if segment.text.strip()]


def _shortened(segment: Segment, dropped: Sequence[_Token], *, first: bool) -> Segment:
    if first:
        last = dropped[-1]
        text = segment.text[last.end :].lstrip(_BETWEEN)
        words = tuple(w for w in segment.words if _middle(w) > last.middle)
        start = words[0].start if words else min(last.stops, segment.end)
        return replace(segment, text=text, start=start, words=words)
    text = segment.text[: dropped[0].begin].rstrip()
    words = tuple(w for w in segment.words if _middle(w) < dropped[0].middle)
    end = words[-1].end if words else max(dropped[0].starts, segment.start)
    return replace(segment, text=text, end=end, words=words)


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2
