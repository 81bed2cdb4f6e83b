"""A transcript as people and programs want to read it.

    Transcript --render--> json           {"text": ...}
                           verbose_json   text, language, duration, segments, words
                           text           one line
                           srt, vtt       subtitles, one cue for each segment
                           tsv            start and end in milliseconds, text; a line a segment

Pure: a transcript and a format in, a content type and a string out.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from typing import Any

from privox_dht.speech import Segment, Transcript, Word

JSON = "application/json"
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
) -> str:
    """`transcript` in one of `CONTENT_TYPES`.

    Args:
        translated: verbose_json says so.
        words: verbose_json lists words with their times.
        segments: verbose_json lists segments.

    Raises:
        KeyError: there is no such format.
    """
    if format == "verbose_json":
        return _dumps(verbose(transcript, translated=translated, words=words, segments=segments))
    return _RENDER[format](transcript)


def verbose(
    transcript: Transcript, *, translated: bool = False, words: bool = False, segments: bool = True
) -> dict[str, Any]:
    """What `verbose_json` says, before it is JSON."""
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
    """A word as verbose_json and the streamed events have it."""
    return {
        "word": word.text,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "probability": round(word.probability, 4),
    }


def gather(segments: list[Segment], seconds: float, language: str = "") -> Transcript:
    """The transcript that `segments` make; the language is the first one an engine named."""
    named = (segment.language for segment in segments if segment.language)
    return Transcript(tuple(segments), seconds, next(named, language))


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    """A segment as OpenAI's clients expect it. What only Whisper's decoder could tell is neutral:
    strictly typed clients insist on the fields."""
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


def _json(transcript: Transcript) -> str:
    return _dumps({"text": transcript.text, **transcript.extra})


def _text(transcript: Transcript) -> str:
    return transcript.text + "\n"


def _srt(transcript: Transcript) -> str:
    cues = (
        f"{n}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text.replace('-->', '->')}\n"
        for n, (start, end, text) in enumerate(_cues(transcript), 1)
    )
    return "\n".join(cues)


def _vtt(transcript: Transcript) -> str:
    cues = (
        f"\n{_clock(start, '.')} --> {_clock(end, '.')}\n{html.escape(text, quote=False)}\n"
        for start, end, text in _cues(transcript)
    )
    return "WEBVTT\n" + "".join(cues)


def _tsv(transcript: Transcript) -> str:
    """As Whisper's own program writes it."""
    lines = (
        f"{round(start * 1000)}\t{round(end * 1000)}\t{text}\n"
        for start, end, text in _cues(transcript)
    )
    return "start\tend\ttext\n" + "".join(lines)


_RENDER: dict[str, Callable[[Transcript], str]] = {
    "json": _json,
    "text": _text,
    "srt": _srt,
    "vtt": _vtt,
    "tsv": _tsv,
}


def _cues(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Segments with words in them; on one line each, since a blank line would end the cue."""
    for segment in transcript.segments:
        text = " ".join(segment.text.split())
        if text:
            start = max(0.0, segment.start)
            yield start, max(start, segment.end), text


def _clock(seconds: float, point: str) -> str:
    """`01:02:03,456`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
