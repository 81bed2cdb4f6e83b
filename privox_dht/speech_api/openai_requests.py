"""Parses requests of OpenAI's audio API: form fields and JSON.

    transcription(fields)  model, language, prompt, hotwords, response_format, temperature, stream,
                           timestamp_granularities[]
    speech(body)           model, input, voice, response_format, speed, stream_format, language

Fields of the API without a meaning here (`instructions`, `include[]`, ...) are ignored. Pure:
length, then type, then meaning; every error is a RequestRejected.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from privox_dht.errors import RequestRejected
from privox_dht.limits import MAX_TEXT
from privox_dht.speech import AUDIO_FORMATS, TEXT_FORMATS, SpeechRequest, TranscriptionRequest
from privox_dht.speech_api.model_selection import validate_language

MAX_NAME = 128  # characters of the name of a model, voice or format
STREAMED_FORMATS = ("json", "text", "verbose_json")  # subtitles are not streamed
STREAM_FORMATS = ("audio", "sse")
SLOWEST, FASTEST = 0.25, 4.0  # speed, as OpenAI's API has it
GRANULARITIES = ("segment", "word")
_TRUE, _FALSE = ("true", "1"), ("false", "0", "")


@dataclass(frozen=True, slots=True)
class TranscriptionCall:
    """A parsed transcription form."""

    request: TranscriptionRequest
    format: str  # one of speech.TEXT_FORMATS
    stream: bool
    segments: bool  # verbose_json lists them


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """A parsed speech request."""

    request: SpeechRequest
    format: str  # one of speech.AUDIO_FORMATS, or "" for the default
    events: bool  # as server-sent events rather than as plain audio


def transcription(fields: Sequence[tuple[str, str]], *, translate: bool) -> TranscriptionCall:
    """Parse the text fields of a form.

    Raises:
        RequestRejected: 400, naming the field.
    """
    given = _by_name(fields)
    granularities = [v for n, v in fields if n.removesuffix("[]") == "timestamp_granularities"]
    for granularity in granularities:
        one_of("timestamp_granularities", granularity, GRANULARITIES)
    stream = _flag("stream", given.get("stream", ""))
    format = one_of("response_format", given.get("response_format", "json"), TEXT_FORMATS)
    if stream and format not in STREAMED_FORMATS:
        raise _rejection("response_format", f"cannot be streamed as {format}", STREAMED_FORMATS)
    request = TranscriptionRequest(
        model=_name("model", given.get("model", "")),
        language=validate_language(given.get("language", "").strip()),
        translate=translate,
        prompt=given.get("prompt", ""),
        hotwords=given.get("hotwords", ""),
        temperature=_number("temperature", given.get("temperature", "") or "0", 0.0, 1.0),
        words="word" in granularities,
        streamed=stream,
    )
    return TranscriptionCall(
        request, format, stream, not granularities or "segment" in granularities
    )


def speech(body: bytes, *, text: int = MAX_TEXT) -> SpeechCall:
    """Parse a JSON body; `text` is the most characters to speak.

    Raises:
        RequestRejected: 400 or 413, naming the field.
    """
    given = json_object(body)
    speed = given.get("speed")
    request = SpeechRequest(
        text=text_to_speak(given, "input", text),
        voice=_voice(given),
        language=validate_language(_string(given, "language").strip()),
        model=_name("model", _string(given, "model")),
        speed=_number("speed", 1.0 if speed is None else speed, SLOWEST, FASTEST),
    )
    return SpeechCall(
        request,
        _format(_string(given, "response_format")),
        one_of("stream_format", _string(given, "stream_format") or "audio", STREAM_FORMATS)
        == "sse",
    )


def text_to_speak(given: Mapping[str, Any], name: str, most: int) -> str:
    """The text in the field `name`, which may have `most` characters.

    Raises:
        RequestRejected: 400 or 413.
    """
    words = _string(given, name)
    if not words.strip():
        raise RequestRejected(
            f"{name} is empty: there is nothing to say", code="empty_input", param=name
        )
    if len(words) > most:
        raise RequestRejected(
            f"{name} has {len(words)} characters; one request speaks at most {most}",
            status=413,
            code="input_too_long",
            param=name,
        )
    return words


def json_object(body: bytes) -> Mapping[str, Any]:
    """The object that a body holds.

    Raises:
        RequestRejected: 400, it is none.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as exc:  # UnicodeDecodeError is a ValueError
        raise RequestRejected("the body is not JSON", code="bad_json") from exc
    if not isinstance(value, dict):
        raise RequestRejected("the body is JSON, but not an object", code="bad_json")
    return value


def _string(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RequestRejected(f"{name} is not a string", code=f"bad_{name}", param=name)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise RequestRejected(
            f"{name} holds half a character", code=f"bad_{name}", param=name
        ) from exc
    return value


def _voice(given: Mapping[str, Any]) -> str:
    """A voice is a name, or an object with the name as its id (OpenAI's custom voices)."""
    value = given.get("voice")
    if isinstance(value, dict):
        return _name("voice", _string(value, "id"))
    return _name("voice", _string(given, "voice"))


def _by_name(fields: Sequence[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in fields:
        if name in given and not name.endswith("[]") and name != "timestamp_granularities":
            raise RequestRejected(
                f"the field {name!r} is given twice", code="field_twice", param=name
            )
        given[name] = value
    return given


def _name(param: str, value: str) -> str:
    value = value.strip()
    if len(value) > MAX_NAME or not value.isprintable():
        raise RequestRejected(f"{param} is not a name", code=f"bad_{param}", param=param)
    return value


def _flag(param: str, value: str) -> bool:
    value = value.strip().lower()
    if value not in _TRUE + _FALSE:
        raise _rejection(param, "is neither true nor false", ("true", "false"))
    return value in _TRUE


def _number(param: str, value: object, least: float, most: float) -> float:
    problem = RequestRejected(
        f"{param} is not a number from {least:g} to {most:g}", code=f"bad_{param}", param=param
    )
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise problem
    try:
        number = float(value)
    except (ValueError, OverflowError) as exc:
        raise problem from exc
    if not least <= number <= most:  # which NaN is not
        raise problem
    return number


def one_of(param: str, value: str, choices: Sequence[str]) -> str:
    """`value`, if it is one of these.

    Raises:
        RequestRejected: 400, naming them.
    """
    value = value.strip()
    if value not in choices:
        raise _rejection(param, f"cannot be {value[:64]!r}", choices)
    return value


def _rejection(param: str, why: str, choices: Sequence[str]) -> RequestRejected:
    return RequestRejected(
        f"{param} {why}; there is {', '.join(choices)}", code=f"bad_{param}", param=param
    )


def _format(value: str) -> str:
    return value and one_of("response_format", value, AUDIO_FORMATS)
