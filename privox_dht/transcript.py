"""A transcript in the formats that people and programs read.

    Transcript --render--> json           {"text": ...}
                           verbose_json   text, language, duration, segments, words
                           text           one line
                           srt, vtt       subtitles: one cue for each segment, or as a layout says
                           tsv            start and end in milliseconds, text; a line a segment

Pure: a transcript and a format in, a content type and a string out.
"""

import html
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from privox_dht.caption_layout import Caption, CaptionLayout, captions
from privox_dht.speech import Segment, Transcript, Word

JSON = "application/json"
CAPTIONS = ("srt", "vtt")  # formats that a layout is for
CONTENT_TYPES = {
    "json": JSON,
    "verbose_json": JSON,
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "tsv": "text/tab-separated-values",
}


def render(
    transcript: Transcript,
    format: str,
    *,
    translated: bool = False,
    words: bool = False,
    segments: bool = True,
    layout: CaptionLayout | None = None,
) -> str:
    """`transcript` in one of `CONTENT_TYPES`.

    Args:
        translated: verbose_json states that it is a translation.
        words: verbose_json lists words with their times.
        segments: verbose_json lists segments.
        layout: how large captions of srt and vtt may be; None: one line for each segment.

    Raises:
        KeyError: there is no such format.
    """
    if format == "verbose_json":
        return _dumps(verbose(transcript, translated=translated, words=words, segments=segments))
    if format == "json":
        return _dumps({"text": transcript.text, **transcript.extra})
    growing = GrowingText(format, layout)
    return "".join(map(growing.piece, transcript.segments)) + growing.end()


class GrowingText:
    """Writes a transcript as it is recognised, in one of the formats `GROWING`."""

    def __init__(self, format: str, layout: CaptionLayout | None = None) -> None:
        """
        Args:
            layout: see `render`.

        Raises:
            KeyError: the format is not in `GROWING`.
        """
        self._format = GROWING[format]
        self._layout = layout if format in CAPTIONS else None
        self._cues = 0  # so far

    def piece(self, segment: Segment) -> str:
        """The text that a segment adds; may be empty."""
        added = ""
        for cue in _cues(segment, self._layout):
            before = self._format.between if self._cues else self._format.begin
            self._cues += 1
            added += before + self._format.cue(self._cues, cue)
        return added

    def end(self) -> str:
        """The text after the last segment."""
        return self._format.end if self._cues else self._format.begin + self._format.end


def verbose(
    transcript: Transcript, *, translated: bool = False, words: bool = False, segments: bool = True
) -> dict[str, Any]:
    """The object of `verbose_json`."""
    answer: dict[str, Any] = {
        "task": "translate" if translated else "transcribe",
        "language": transcript.language,
        "duration": round(transcript.seconds, 3),
        "text": transcript.text,
    }
    if segments:
        answer["segments"] = [_segment(n, s) for n, s in enumerate(transcript.segments)]
    if words:
        answer["words"] = [word_out(word) for s in transcript.segments for word in s.words]
    return {**answer, **transcript.extra}


def word_out(word: Word) -> dict[str, Any]:
    """A word in verbose_json and in the streamed events."""
    return {
        "word": word.text,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "probability": round(word.probability, 4),
    }


def gather(segments: list[Segment], seconds: float, language: str = "") -> Transcript:
    """The transcript of `segments`; its language is the first one that an engine named."""
    named = (segment.language for segment in segments if segment.language)
    return Transcript(tuple(segments), seconds, next(named, language))


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    """A segment as OpenAI's clients expect it. Fields that only Whisper knows have neutral values:
    strictly typed clients require them."""
    return {
        "id": number,
        "seek": 0,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


def _text(number: int, cue: Caption) -> str:
    return " ".join(cue.lines)


def _srt(number: int, cue: Caption) -> str:
    return (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        f"{_lines(cue).replace('-->', '->')}\n"
    )


def _vtt(number: int, cue: Caption) -> str:
    return (
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        f"{html.escape(_lines(cue), quote=False)}\n"
    )


def _tsv(number: int, cue: Caption) -> str:
    """As Whisper's own program writes it."""
    return f"{round(cue.start * 1000)}\t{round(cue.end * 1000)}\t{_lines(cue)}\n"


@dataclass(frozen=True, slots=True)
class _Growing:
    """A format whose beginning does not depend on what comes later."""

    cue: Callable[[int, Caption], str]  # its number from 1, and the cue
    begin: str = ""
    between: str = ""
    end: str = ""


GROWING: Mapping[str, _Growing] = {
    "text": _Growing(_text, between=" ", end="\n"),
    "srt": _Growing(_srt, between="\n"),
    "vtt": _Growing(_vtt, begin="WEBVTT\n"),
    "tsv": _Growing(_tsv, begin="start\tend\ttext\n"),
}


def _cues(segment: Segment, layout: CaptionLayout | None) -> Iterator[Caption]:
    """The captions of a segment, none if it has no words. Without a layout there is one of one
    line: a blank line would end the cue."""
    if layout is not None:
        yield from captions(segment, layout)
    elif text := " ".join(segment.text.split()):
        start = max(0.0, segment.start)
        yield Caption(start, max(start, segment.end), (text,))


def _lines(cue: Caption) -> str:
    return "\n".join(cue.lines)


def _clock(seconds: float, point: str) -> str:
    """`01:02:03,456`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
