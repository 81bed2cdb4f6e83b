"""Parses a stranger's responses, and validates all of them. Pure.

    events of a transcription -> AudioInfo, Segment, ... and the end
    events of speech          -> bytes, ... and the end
    verbose_json              -> AudioInfo, Segment, ...

A malformed one raises BadMessage; an `error` in it raises the JobError that it means.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from privox_dht import limits
from privox_dht.errors import BadMessage
from privox_dht.http import sse
from privox_dht.http.error_mapping import read_error_object
from privox_dht.speech import AudioInfo, Segment, Word
from privox_dht.transcript import word_out

TEXT_DELTA, TEXT_DONE = "transcript.text.delta", "transcript.text.done"
AUDIO_DELTA, AUDIO_DONE = "speech.audio.delta", "speech.audio.done"
LONGEST = 10 * limits.MAX_AUDIO_SECONDS  # seconds; a later time is invalid
_CONTROL = {c: None for c in (*range(32), *range(127, 160)) if chr(c) not in "\n\t"}


class TranscriptionEvents:
    """A transcription's events, one after the other."""

    def __init__(self) -> None:
        self.done = False
        self._segments = 0

    def take(self, event: Mapping[str, Any]) -> Iterator[AudioInfo | Segment]:
        """Parse one event.

        Raises:
            BadMessage: it has another shape.
            JobError: it is an error event.
        """
        kind = event["type"]
        if kind == TEXT_DELTA:
            if "seconds" in event:
                yield AudioInfo(_seconds(event["seconds"]))
            if "segment" in event:
                self._count()
                yield _segment(_mapping(event["segment"]), event.get("delta"))
        elif kind == TEXT_DONE:
            self.done = True
        else:
            _raise_error(event)

    def _count(self) -> None:
        self._segments += 1
        if self._segments > limits.MAX_SEGMENTS:
            raise BadMessage("size", "too many segments")


class SpeechEvents:
    """Speech in events, one after the other."""

    def __init__(self) -> None:
        self.done = False
        self._size = 0  # bytes of audio so far

    def take(self, event: Mapping[str, Any]) -> bytes:
        """The audio in one event; may be empty.

        Raises:
            BadMessage: it has another shape.
            JobError: it is an error event.
        """
        kind = event["type"]
        if kind == AUDIO_DELTA:
            return self._audio(event.get("audio"))
        if kind == AUDIO_DONE:
            self.done = True
            if event.get("bytes", self._size) != self._size:
                raise BadMessage("size", "a part of the audio is missing")
        else:
            _raise_error(event)
        return b""

    def _audio(self, value: object) -> bytes:
        if not isinstance(value, str):
            raise BadMessage("shape", "audio is not a string")
        try:
            audio = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise BadMessage("shape", "audio is not base64") from exc
        self._size += len(audio)
        if self._size > limits.MAX_ANSWER_AUDIO:
            raise BadMessage("size", "too much audio")
        return audio


def parse_verbose_json(answer: object) -> Iterator[AudioInfo | Segment]:
    """Parse `verbose_json` (or a server's plain `json`).

    Raises:
        BadMessage: it has another shape.
    """
    fields = _mapping(answer)
    listed = fields.get("segments") or []
    text = fields.get("text")
    if not isinstance(listed, list) or len(listed) > limits.MAX_SEGMENTS:
        raise BadMessage("shape", "segments")
    seconds = _seconds(fields.get("duration") or 0.0)
    language = _short(fields.get("language"))
    yield AudioInfo(seconds)
    if not listed and isinstance(text, str) and text.strip():
        yield Segment(_text(text), 0.0, seconds, language=language)
    for entry in listed:
        segment = _mapping(entry)
        yield _segment({"language": language, **segment}, segment.get("text"))


def voices_in(answer: object) -> list[tuple[str, str, str]]:
    """Parse a list of voices: each voice, its engine, its language ("": unknown).

    Raises:
        BadMessage: it has another shape.
    """
    fields = _mapping(answer)
    listed = fields.get("data") or fields.get("voices") or []
    if not isinstance(listed, list) or len(listed) > limits.MAX_VOICES:
        raise BadMessage("shape", "voices")
    entries = [{"id": entry} if isinstance(entry, str) else _mapping(entry) for entry in listed]
    names = ("id", "engine", "language")
    voices = [tuple(_short(entry.get(name)) for name in names) for entry in entries]
    return [(voice, engine, language) for voice, engine, language in voices if voice]


def segment_fields(segment: Segment) -> dict[str, Any]:
    """The fields of a delta except its text; `TranscriptionEvents` reads them."""
    fields: dict[str, Any] = {"start": round(segment.start, 3), "end": round(segment.end, 3)}
    if segment.language:
        fields["language"] = segment.language
    if segment.words:
        fields["words"] = [word_out(word) for word in segment.words]
    return fields


def _segment(fields: Mapping[str, Any], text: object) -> Segment:
    words = fields.get("words") or []
    if not isinstance(words, list) or len(words) > limits.MAX_SEGMENTS:
        raise BadMessage("shape", "words")
    start = _seconds(fields.get("start"))
    return Segment(
        _text(text).strip(),
        start,
        max(start, _seconds(fields.get("end"))),
        tuple(_word(_mapping(word)) for word in words),
        _short(fields.get("language")),
    )


def _word(fields: Mapping[str, Any]) -> Word:
    start = _seconds(fields.get("start"))
    return Word(
        _text(fields.get("word")),
        start,
        max(start, _seconds(fields.get("end"))),
        min(1.0, _seconds(fields.get("probability", 1.0))),
    )


def _raise_error(event: Mapping[str, Any]) -> None:
    """Raise the error of an error event; other unknown types are ignored."""
    if event["type"] != sse.ERROR and "error" not in event:
        return
    status = event.get("status")
    number = status if type(status) is int and 400 <= status < 600 else 500
    error = event.get("error")
    raise read_error_object(number, error if isinstance(error, dict) else {}, None)


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadMessage("shape", "an object is missing")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage("shape", "a time is not a number")
    if not 0 <= value <= LONGEST:  # which neither NaN nor an infinity is
        raise BadMessage("shape", "a time is impossible")
    return float(value)


def _text(value: object) -> str:
    """A stranger's text, without control characters and halves of characters."""
    if not isinstance(value, str):
        raise BadMessage("shape", "a text is not a string")
    return value.translate(_CONTROL).encode("utf-8", "replace").decode("utf-8")


def _short(value: object) -> str:
    return _text(value)[: limits.MAX_NAME] if isinstance(value, str) else ""
