"""One transcript from the pieces of a recording. Pure.

    a cut in a pause               nothing to do: no word crosses it
    a cut without a pause          both pieces contain OVERLAP beyond it:

        first    ... we meet at noon tomor           the words that both have, "at noon", align
        second           et at noon tomorrow then    the pieces. Each of these words is taken from
        joint                   |                    the piece in which its middle lies
        result   ... we meet at noon tomorrow then

The longest run of words that both pieces have is used, so that half words at their ends do not
matter. Where there is none, the middles of all words decide. Where an engine gives no times of
words, they are estimated from the length of the text, and the run decides alone.

Language: the first three pieces with speech decide it, by seconds of speech. Pieces in another
language are requested again.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from privox_dht import languages
from privox_dht.scatter.cut import OVERLAP, Piece
from privox_dht.speech import Segment, Word

SAME_WORD = 0.6  # seconds by which two engines may differ about the middle of one word
GUESSED = 2.5  # seconds by which an estimated time may be wrong
MIN_GUESSED_RUN = 2  # words that must agree where times are estimated: one may by chance
MAX_OVERLAP_WORDS = 200  # words of an overlap that are compared, each with each: nobody says that
# many, but a hostile producer may send them
DECIDING_PIECES = 3  # pieces with speech that decide the language
_BETWEEN = " \t\n,.;:!?"  # removed before the first word that is kept

# A letter of a script that is written without spaces counts as a word.
_TOKEN = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\S+?(?=[\u0e00-\u0eff"
                    r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\s|$)")  # fmt: skip


class Stitcher:
    """Takes the segments of pieces in any order, and returns them in the recording's.

    Args:
        language: the one that was asked for; "": the pieces decide.
    """

    def __init__(self, language: str = "") -> None:
        self.language = language
        self.language_decided = bool(language)  # nothing is returned before
        self._segments: dict[int, list[Segment]] = {}  # of pieces that were not returned yet
        self._ends: dict[int, float | None] = {}  # seconds: the joint with the next piece
        self._emitted = 0  # pieces that were returned
        self._until = 0.0  # seconds; the end of the last segment that was returned

    def add(self, piece: Piece, segments: Sequence[Segment]) -> None:
        """Take the segments of a piece, in the recording's time (none if no producer could do it).
        They replace earlier ones of the same piece."""
        self._segments[piece.number] = list(segments)
        self._ends[piece.number] = piece.joint_after

    def decide_language(self, pieces: int | None) -> list[int]:
        """Decide the language if enough pieces are there. The numbers of pieces in another language
        are returned; they must be added again.

        Args:
            pieces: how many there are; None: more may come.
        """
        if self.language_decided:
            return []
        speech: list[tuple[str, float]] = []
        number = 0
        while number in self._segments and len(speech) < DECIDING_PIECES:
            if self._segments[number]:
                speech.append(language_and_seconds(self._segments[number]))
            number += 1
        if len(speech) < DECIDING_PIECES and number != pieces:
            return []
        self.language_decided = True
        self.language = main_language(speech)
        again = sorted(
            number for number, some in self._segments.items() if self.is_other_language(some)
        )
        for number in again:
            del self._segments[number]
        return again

    def is_other_language(self, segments: Sequence[Segment]) -> bool:
        """Whether segments are in another language than the recording."""
        spoken, _ = language_and_seconds(segments)
        other = languages.primary(spoken) != languages.primary(self.language)
        return bool(spoken and self.language) and other

    def take_ready(self) -> list[Segment]:
        """The segments that are next: of all pieces up to the first that is missing."""
        ready: list[Segment] = []
        while self.language_decided and self._emitted in self._segments:
            number = self._emitted
            joint = self._ends[number]
            if joint is not None:
                if number + 1 not in self._segments:
                    break
                self._segments[number], self._segments[number + 1] = join(
                    self._segments[number], self._segments[number + 1], joint
                )
            for segment in self._segments.pop(number):
                ready.append(self._after_the_last(segment))
            self._emitted += 1
        return ready

    def _after_the_last(self, segment: Segment) -> Segment:
        """The segment, not beginning before the last one ended; two engines may differ a little."""
        start = max(segment.start, self._until)
        self._until = max(segment.end, start)
        return replace(segment, start=start, end=self._until)


@dataclass(frozen=True, slots=True)
class _Token:
    """A word of a segment, with measured or estimated times."""

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
    """The segments of two pieces that overlap around `joint` (seconds), without duplicate words."""
    timed = all(segment.words or not segment.text.strip() for segment in (*before, *after))
    slack = 0.0 if timed else GUESSED
    first = [t for t in _tokens(before) if t.middle >= joint - OVERLAP - slack][-MAX_OVERLAP_WORDS:]
    second = [t for t in _tokens(after) if t.middle <= joint + OVERLAP + slack][:MAX_OVERLAP_WORDS]
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


def main_language(pieces: Iterable[tuple[str, float]]) -> str:
    """The language of a recording, from the language of each piece and its seconds of speech; "":
    the engines do not say."""
    spoken: defaultdict[str, float] = defaultdict(float)
    for language, seconds in pieces:
        if language:
            spoken[language] += seconds
    return max(spoken, key=lambda language: spoken[language], default="")


def language_and_seconds(segments: Sequence[Segment]) -> tuple[str, float]:
    """The language of a piece ("": unknown), and its seconds of speech."""
    named = [(segment.language, segment.end - segment.start) for segment in segments]
    return main_language(named), sum(seconds for _, seconds in named)


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
    """The begin and end of each of its words in its text; None where a word is not in it."""
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
    """The longest run of words that both have: its begin in either, and its length; of equally long
    ones the one nearest to the joint."""
    best, place = (0, 0.0), (0, 0, 0)
    lengths = [0] * (len(second) + 1)
    for i, mine in enumerate(first):
        row = [0] * (len(second) + 1)
        for j, theirs in enumerate(second):
            together = abs(mine.middle - theirs.middle) <= (SAME_WORD if timed else 2 * GUESSED)
            if mine.key == theirs.key and together:
                length = row[j + 1] = lengths[j] + 1
                near = -abs(first[i - length // 2].middle - joint)
                if (length, near) > best and length >= (1 if timed else MIN_GUESSED_RUN):
                    best, place = (length, near), (i + 1 - length, j + 1 - length, length)
        lengths = row
    return place


def _without(
    segments: Sequence[Segment], dropped: Sequence[_Token], *, first: bool
) -> list[Segment]:
    """The segments without these words, which stand at their start (`first`) or end."""
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
