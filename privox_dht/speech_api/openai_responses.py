"""What a stranger's answer says, believed only as far as its shape. Pure.

    events of a transcription -> Listening, Segment, ... and the end
    events of speech          -> bytes, ... and the end
    verbose_json              -> Listening, Segment, ...

An answer of another shape is a BadMessage; an `error` in it is the JobError that it tells of.
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
LONGEST = 10 * limits.MAX_AUDIO_SECONDS  # seconds; a time beyond this is nonsense
_CONTROL = {c: None for c in (*range(32), *range(127, 160)) if chr(c) not in "\n\t"}


class TranscriptionEvents:
    """A transcription's events, one after the other."""

    def __init__(self) -> None:
        self.done = False
        self._segments = 0

    def take(self, event: Mapping[str, Any]) -> Iterator[AudioInfo | Segment]:
        """What one event says.

        Raises:
            BadMessage: it has another shape.
            JobError: it tells of an error.
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
            _told_error(event)

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
            JobError: it tells of an error.
        """
        kind = event["type"]
        if kind == AUDIO_DELTA:
            return self._audio(event.get("audio"))
        if kind == AUDIO_DONE:
            self.done = True
            if event.get("bytes", self._size) != self._size:
                raise BadMessage("size", "a part of the audio is missing")
        else:
            _told_error(event)
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
    """What `verbose_json` (or a server's plain `json`) says.

    Raises:
        BadMessage: it has another shape.
    """
    told = _mapping(answer)
    listed = told.get("segments") or []
    text = told.get("text")
    if not isinstance(listed, list) or len(listed) > limits.MAX_SEGMENTS:
        raise BadMessage("shape", "segments")
    seconds = _seconds(told.get("duration") or 0.0)
    language = _short(told.get("language"))
    yield AudioInfo(seconds)
    if not listed and isinstance(text, str) and text.strip():
        yield Segment(_text(text), 0.0, seconds, language=language)
    for entry in listed:
        segment = _mapping(entry)
        yield _segment({"language": language, **segment}, segment.get("text"))


def voices_in(answer: object) -> list[tuple[str, str, str]]:
    """What a list of voices says: each voice, its engine, its language ("" where it is not said).

    Raises:
        BadMessage: it has another shape.
    """
    told = _mapping(answer)
    listed = told.get("data") or told.get("voices") or []
    if not isinstance(listed, list) or len(listed) > limits.MAX_VOICES:
        raise BadMessage("shape", "voices")
    entries = [{"id": entry} if isinstance(entry, str) else _mapping(entry) for entry in listed]
    names = ("id", "engine", "language")
    voices = [tuple(_short(entry.get(name)) for name in names) for entry in entries]
    return [(voice, engine, language) for voice, engine, language in voices if voice]


def segment_fields(segment: Segment) -> dict[str, Any]:
    """What a delta tells beside its text; `TranscriptionEvents` reads it."""
    fields: dict[str, Any] = {"start": round(segment.start, 3), "end": round(segment.end, 3)}
    if segment.language:
        fields["language"] = segment.language
    if segment.words:
        fields["words"] = [word_out(word) for word in segment.words]
    return fields


def _segment(told: Mapping[str, Any], text: object) -> Segment:
    words = told.get("words") or []
    if not isinstance(words, list) or len(words) > limits.MAX_SEGMENTS:
        raise BadMessage("shape", "words")
    start = _seconds(told.get("start"))
    return Segment(
        _text(text).strip(),
        start,
        max(start, _seconds(told.get("end"))),
        tuple(_word(_mapping(word)) for word in words),
        _short(told.get("language")),
    )


def _word(told: Mapping[str, Any]) -> Word:
    start = _seconds(told.get("start"))
    return Word(
        _text(told.get("word")),
        start,
        max(start, _seconds(told.get("end"))),
        min(1.0, _seconds(told.get("probability", 1.0))),
    )


def _told_error(event: Mapping[str, Any]) -> None:
    """Raise what an error event tells; events of other types are none of ours."""
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
    """A stranger's words, without what is no character or would move a terminal's cursor."""
    if not isinstance(value, str):
        raise BadMessage("shape", "a text is not a string")
    return value.translate(_CONTROL).encode("utf-8", "replace").decode("utf-8")


def _short(value: object) -> str:
    return _text(value)[: limits.MAX_NAME] if isinstance(value, str) else ""
