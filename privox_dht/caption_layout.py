"""Splits segments into captions that fit a screen: few short lines, no word too early. Pure.

    Segment, 0.0 to 9.2 s  ->  0.0 to 4.1 s   two lines of at most 42 characters
                               4.1 to 9.2 s   two lines

A segment that needs several captions is divided evenly, so that the last one is not a single word.
Times are those of the words if the engine returned them; else a segment's time is divided by
characters. Characters of double width (Chinese, Japanese, Korean) count twice, and a line may end
between any two of them.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from privox_dht.speech import Segment

LINE_WIDTH = 42  # characters; required by broadcasters and streaming services
LINE_COUNT = 2
WIDE = ("W", "F")  # classes of characters that take two columns


@dataclass(frozen=True, slots=True)
class CaptionLayout:
    """How large a caption may be."""

    width: int = LINE_WIDTH  # columns of a line, at least 2: one wide character
    lines: int = LINE_COUNT


@dataclass(frozen=True, slots=True)
class Caption:
    """The text on the screen at one time; times in seconds from the start of the recording."""

    start: float
    end: float
    lines: tuple[str, ...]


def captions(segment: Segment, layout: CaptionLayout) -> Iterator[Caption]:
    """The captions of one segment, in order; none if it has no words."""
    pieces = _pieces(segment.text, layout.width)
    if not pieces:
        return
    lines = _evenly(pieces, layout)
    groups = [lines[at : at + layout.lines] for at in range(0, len(lines), layout.lines)]
    times = _Times(segment)
    shown = 0  # characters of the segment that are in earlier captions
    for group in groups:
        held = sum(len(piece.strip()) for line in group for piece in line)
        start, end = times.start(shown), times.end(shown + held)
        yield Caption(start, max(start, end), tuple("".join(line).strip() for line in group))
        shown += held


def columns(text: str) -> int:
    """How many columns `text` takes on a screen."""
    return sum(
        0 if unicodedata.combining(character) else 2 if _is_wide(character) else 1
        for character in text
    )


def _pieces(text: str, width: int) -> list[str]:
    """The parts between which a line may end: words with a space before them, single wide
    characters, and pieces of words that are wider than a line."""
    pieces: list[str] = []
    for word in text.split():
        pieces.append(f" {word[0]}")
        for character in word[1:]:
            part = pieces[-1].strip()
            if _may_break(part[-1], character) or columns(part + character) > width:
                pieces.append(character)
            else:
                pieces[-1] += character
    return pieces


def _may_break(before: str, after: str) -> bool:
    """Whether a line may end between two characters of a word. A wide full stop or comma stays
    with the character before it."""
    closes = _is_wide(after) and unicodedata.category(after).startswith("P")
    return (_is_wide(before) or _is_wide(after)) and not closes


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in WIDE


def _evenly(pieces: Sequence[str], layout: CaptionLayout) -> list[list[str]]:
    """The narrowest lines that need no more captions than the widest ones."""
    lines = _wrapped(pieces, layout.width)
    most = (
        -(-len(lines) // layout.lines) * layout.lines if len(lines) > layout.lines else len(lines)
    )
    narrow, wide = 1, layout.width
    while narrow < wide:
        width = (narrow + wide) // 2
        if len(_wrapped(pieces, width)) <= most and _fits(pieces, width):
            wide = width
        else:
            narrow = width + 1
    return _wrapped(pieces, wide)


def _fits(pieces: Sequence[str], width: int) -> bool:
    return all(columns(piece.strip()) <= width for piece in pieces)


def _wrapped(pieces: Sequence[str], width: int) -> list[list[str]]:
    """As many pieces on each line as fit."""
    lines: list[list[str]] = [[]]
    used = 0
    for piece in pieces:
        bare = columns(piece.strip())
        if lines[-1] and used + columns(piece) > width:
            lines.append([])
            used = 0
        used += columns(piece) if lines[-1] else bare
        lines[-1].append(piece)
    return lines


class _Times:
    """When each character of a segment is spoken; spaces do not count."""

    def __init__(self, segment: Segment) -> None:
        self._begin = max(0.0, segment.start)
        self._finish = max(self._begin, segment.end)
        self._size = max(1, _spoken(segment.text))
        self._words: list[tuple[int, int, float, float]] = []  # first and last character, times
        at = 0
        for word in segment.words:
            if size := _spoken(word.text):
                self._words.append((at, at + size, word.start, word.end))
                at += size
        if at != _spoken(segment.text):  # the words are not those of the text
            self._words = []

    def start(self, character: int) -> float:
        """When the character with this number begins."""
        if character == 0:
            return self._begin
        for first, past, start, _ in self._words:
            if first <= character < past:
                return self._within(start)
        return self._share(character)

    def end(self, characters: int) -> float:
        """When so many characters have been spoken."""
        if characters >= self._size:
            return self._finish
        for first, past, _, end in self._words:
            if first < characters <= past:
                return self._within(end)
        return self._share(characters)

    def _share(self, character: int) -> float:
        return self._begin + (self._finish - self._begin) * character / self._size

    def _within(self, seconds: float) -> float:
        return min(max(seconds, self._begin), self._finish)


def _spoken(text: str) -> int:
    return sum(not character.isspace() for character in text)
