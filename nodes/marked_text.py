"""A text with pauses or SSML in it, as parts to speak one after the other. Pure.

    Wait <break time="1.5s"/> for it.                   pauses, in any text
    <speak>Wait <break strength="weak"/> for it.</speak>    SSML, where a text begins with <speak>

Of SSML, `break`, `sub alias`, `prosody rate`, `p` and `s` are honoured; of other elements only the
text is spoken. No element may refer to a file or URL (`audio`, `lexicon`, a DOCTYPE), and the depth
of elements within each other is limited.
"""

import re
from dataclasses import dataclass
from xml.parsers import expat

from privox_dht import limits
from privox_dht.errors import RequestRejected
from privox_dht.speech import is_ssml

BREAK = re.compile(r"""<break\s+time\s*=\s*["']([^"'<>]*)["']\s*/>""")
# A number that is matched in one way only: otherwise 4,000 digits would block the node for 0.3 s
NUMBER = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
TIME = re.compile(rf"\+?{NUMBER}\s*(ms|s)")
STRENGTHS = {
    "none": 0.0,
    "x-weak": 0.1,
    "weak": 0.25,
    "medium": 0.5,
    "strong": 0.75,
    "x-strong": 1.0,
}
RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
PERCENT = re.compile(rf"{NUMBER}\s*%?")
REFERENCES = ("src", "uri", "href", "fetchtimeout")  # attributes that refer to a file or URL
ELEMENTS = ("audio", "lexicon", "lookup", "metadata", "meta")  # elements that do
BLOCK_ELEMENTS = ("p", "s", "paragraph", "sentence", "speak")  # each is a part of its own
SLOWEST, FASTEST = 0.25, 4.0  # speeds that engines support


@dataclass(frozen=True, slots=True)
class SpokenText:
    """Words to speak."""

    text: str
    speed: float = 1.0  # times the requested speed


@dataclass(frozen=True, slots=True)
class Break:
    """Silence."""

    seconds: float


Part = SpokenText | Break


def parts(text: str) -> list[Part]:
    """The parts of `text`, in order.

    Raises:
        RequestRejected: 400; the message names the invalid element.
    """
    found = _ssml(text) if is_ssml(text) else _plain(text)
    if not any(isinstance(part, SpokenText) for part in found):
        raise _wrong("input has no words to speak", "empty_input")
    return found


def _plain(text: str) -> list[Part]:
    """Text that is not SSML: only pauses are honoured."""
    pieces = BREAK.split(text)
    found: list[Part] = []
    for at, piece in enumerate(pieces):
        if at % 2:
            found.append(Break(_seconds(piece)))
        elif piece.strip():
            found.append(SpokenText(piece))
    return found


def _ssml(text: str) -> list[Part]:
    reader = _MarkupReader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.words
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(text.strip().encode("utf-8", "replace"), True)
    except expat.ExpatError as exc:
        where = f"line {exc.lineno}, column {exc.offset + 1}"
        raise _wrong(f"the SSML is broken at {where}: {expat.ErrorString(exc.code)}") from exc
    reader.flush()
    return reader.parts


class _MarkupReader:
    """Collects the parts; expat calls it for each element, in order."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._words: list[str] = []
        self._speeds = [1.0]
        self._hidden = 0  # open elements whose text is not spoken

    def begin(self, name: str, given: dict[str, str]) -> None:
        name = name.rpartition(":")[2].lower()
        if len(self._speeds) > limits.MAX_SSML_DEPTH:
            raise _wrong(f"<{name}> stands more than {limits.MAX_SSML_DEPTH} elements deep")
        attributes = {key.rpartition(":")[2].lower(): value for key, value in given.items()}
        if name in ELEMENTS or not attributes.keys().isdisjoint(REFERENCES):
            raise _wrong(f"<{name}> names something elsewhere, and nothing is fetched here")
        if name == "break":
            self.flush()
            self.parts.append(Break(_pause(attributes)))
        elif name == "sub" and "alias" in attributes and not self._hidden:
            self._words.append(attributes["alias"])
        elif name in BLOCK_ELEMENTS or name == "prosody":
            self.flush()
        if self._hidden or (name == "sub" and "alias" in attributes):
            self._hidden += 1
        rate = attributes.get("rate", "") if name == "prosody" else ""
        self._speeds.append(clamp_speed(self._speeds[-1] * _rate(rate)))

    def end(self, name: str) -> None:
        name = name.rpartition(":")[2].lower()
        if name in BLOCK_ELEMENTS or name == "prosody":
            self.flush()
        self._hidden = max(0, self._hidden - 1)
        self._speeds.pop()

    def words(self, text: str) -> None:
        if not self._hidden:
            self._words.append(text)

    def doctype(self, name: str, *_: object) -> None:
        raise _wrong(f"<!DOCTYPE {name}> names something elsewhere, and nothing is fetched here")

    def flush(self) -> None:
        """End the current part."""
        text, self._words = " ".join("".join(self._words).split()), []
        if text:
            self.parts.append(SpokenText(text, self._speeds[-1]))


def _pause(given: dict[str, str]) -> float:
    if "time" in given:
        return _seconds(given["time"])
    return STRENGTHS.get(given.get("strength", "medium"), STRENGTHS["medium"])


def _seconds(written: str) -> float:
    time = TIME.fullmatch(written.strip())
    if time is None:
        raise _wrong(f'<break time="{written[:32]}"/>: a time is written 500ms or 1.5s')
    seconds = float(time[1]) / (1000 if time[2] == "ms" else 1)
    if seconds > limits.MAX_BREAK:
        raise _wrong(f"<break> of {seconds:g} s: at most {limits.MAX_BREAK:g} s")
    return seconds


def _rate(written: str) -> float:
    """A speed; 1.0 if it is invalid."""
    if written in RATES:
        return RATES[written]
    number = PERCENT.fullmatch(written.strip())
    if number is None:
        return 1.0
    return float(number[1]) / (100 if "%" in written else 1) or 1.0


def clamp_speed(speed: float) -> float:
    """`speed` within what engines support."""
    return min(max(speed, SLOWEST), FASTEST)


def _wrong(message: str, code: str = "bad_ssml") -> RequestRejected:
    return RequestRejected(message, code=code, param="input")
