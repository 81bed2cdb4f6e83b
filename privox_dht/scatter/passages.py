"""Where a long text is cut: between its sentences, so that the joints are not audible. Pure.

    text       paragraphs, with lines that may be wrapped
    passages   the first sentence alone, so that there is sound soon; then whole sentences, as many
               as make about half a minute of sound

A sentence that is too long is cut at a space.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from privox_dht import limits

LONGEST = 400  # characters of a passage of several sentences: about 25 s of sound
LONGEST_SENTENCE = 1000  # characters; a longer one is cut
MOST = limits.MAX_TEXT - LONGEST_SENTENCE - 2  # characters of a passage before its last sentence
AT_ONCE = 4096  # characters in which sentences are looked for at a time
BORDER = "\n\n"  # after the last sentence of a paragraph, where engines pause
PARAGRAPH = re.compile(r"\n\s*\n")
MARK = re.compile(r"<break\s+")  # the start of a pause mark, which must not be cut
MARKS = re.compile(r"<break\s[^<>]*>")
WHOLE_MARK = "<break\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of the text."""

    number: int  # from 0
    text: str
    seconds: float  # of sound, estimated


def passages(text: str, speed: float = 1.0) -> Iterator[Passage]:
    """The passages of a text in order, cut as they are taken.

    Args:
        text: a mark such as `<break time="..."/>` stays whole.
        speed: of speech; 1.0 is the usual one.
    """
    per_character = limits.SPEECH_PER_CHARACTER / speed
    for number, part in enumerate(_grouped(_sentences(text))):
        yield Passage(number, part, len(part) * per_character)


def _grouped(sentences: Iterator[str]) -> Iterator[str]:
    """Short sentences together; a sentence without words (punctuation, a mark) never alone, and
    left out where there is no room for it in one job."""
    group = next(sentences, "")
    first = True
    for sentence in sentences:
        size = len(group) + len(sentence)
        if size > MOST and not _has_words(sentence):
            continue
        if (size < LONGEST and not first) or not _has_words(sentence) or not _has_words(group):
            group += sentence if group.endswith(BORDER) else f" {sentence}"
            continue
        yield group
        group, first = sentence, False
    if group:
        yield group


def _sentences(text: str) -> Iterator[str]:
    """Sentences of at most `LONGEST_SENTENCE` characters; a border follows a paragraph's last."""
    for paragraph in _paragraphs(MARK.sub(WHOLE_MARK, text)):
        before = ""
        for sentence in _sentences_of(" ".join(_words(paragraph))):
            for part in textwrap.wrap(sentence, LONGEST_SENTENCE, break_on_hyphens=False):
                if before:
                    yield before
                before = part
        if before:
            yield before + BORDER


def _paragraphs(text: str) -> Iterator[str]:
    at = 0
    for border in PARAGRAPH.finditer(text):
        yield text[at : border.start()]
        at = border.end()
    yield text[at:]


def _words(paragraph: str) -> list[str]:
    return [word for word in re.split(r"[ \t\n\r\f\v]+", paragraph) if word]


def _sentences_of(paragraph: str) -> Iterator[str]:
    from sentence_stream import SentenceBoundaryDetector  # 30 ms, which most jobs do not need

    detector, begun = SentenceBoundaryDetector(), ""
    for at in range(0, len(paragraph), AT_ONCE):
        sentences = list(detector.add_chunk(begun + paragraph[at : at + AT_ONCE]))
        yield from sentences
        begun = ""
        if not sentences and at + AT_ONCE < len(paragraph):
            # Or the same text would be scanned again and again
            rest = detector.finish()
            between_words = paragraph[at + AT_ONCE - 1] == " "
            border = len(rest) if between_words else rest.rfind(" ") + 1 or len(rest)
            yield rest[:border]
            detector, begun = SentenceBoundaryDetector(), rest[border:]
    if rest := detector.finish() + begun:
        yield rest


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, MARKS.sub("", text)))
