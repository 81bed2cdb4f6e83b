"""The options of a job: the one place where they are named, with their defaults.

mesh.transcribe(audio, language="de")     keywords, checked and made into options at once
mesh.transcription_events(audio, options) from here on they are one object
options.request(model)                    the request to one producer
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from privox_dht import limits
from privox_dht.dispatch.selection import ANY, Requirements
from privox_dht.errors import ConfigError
from privox_dht.speech import SpeechRequest, TranscriptionRequest

P = ParamSpec("P")
MeshT = TypeVar("MeshT")
InputT = TypeVar("InputT")
OptionsT = TypeVar("OptionsT")
ResultT = TypeVar("ResultT")

AUTO, NEVER, PRIVATE = "auto", "never", "private"
SCATTER = (AUTO, NEVER, PRIVATE)
SHARE = 0.25  # of a recording that one producer may hear, if it is scattered in private
PIECES = 16  # requested at a time, of a recording or text that is scattered


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The options of any job. All have a default."""

    language: str = ""  # a BCP 47 tag; stt: empty, the engine detects it
    model: str = ""  # an engine, a model, "engine:model", or (tts) "engine:voice"; empty: any
    backend: str = ANY  # the hardware that the engine must use: "cpu", "gpu" or "any"
    only: Sequence[str] = ()  # peer ids or their prefixes, in a list or in one string with commas
    # between them: no other producers
    prefer: Sequence[str] = ()  # these first
    avoid: Sequence[str] = ()  # never these
    via_farm: bool = False  # through a farm, so that the producer does not learn our address
    wait: float = limits.WAIT  # seconds to retry while all are busy or silent
    timeout: float | None = None  # seconds for the whole job; None: `limits.JOB_DEADLINE`
    jobs: int = PIECES  # requested at a time, if it is scattered

    def needs(self, service: str, **more: Any) -> Requirements:
        """The requirements of these options; `more` are further fields."""
        return Requirements(
            service,
            backend=self.backend,
            model=self.model,
            language=self.language,
            only=_peer_ids(self.only),
            prefer=_peer_ids(self.prefer),
            avoid=_peer_ids(self.avoid),
            via_farm=self.via_farm,
            **more,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionOptions(JobOptions):
    """The options of a transcription."""

    translate: bool = False  # into English
    words: bool = False  # with the times of words, if the engine has them
    prompt: str = ""  # words to expect, or how the text before it ended
    temperature: float = 0.0  # 0 to 1; above 0 an engine may guess more freely
    hotwords: str = ""  # words to prefer, such as names
    scatter: str = AUTO  # "auto": a long recording to many producers; "never"; "private": through
    # farms, and no producer hears two neighbouring pieces, nor more than `share`
    share: float = SHARE
    # A file with the finished pieces of a scattered recording, from which the next run goes on;
    # removed at the end. Not used if it is scattered in private
    resume: str | Path | None = None
    max_seconds: float = float("inf")  # of a scattered recording; a longer one is rejected

    def __post_init__(self) -> None:
        """
        Raises:
            ConfigError: `scatter` or `share` is invalid: it would be less private than was meant.
        """
        if self.scatter not in SCATTER:
            raise ConfigError(f"scatter={self.scatter!r}; there is: {', '.join(SCATTER)}")
        if not 0 < self.share <= 1:
            raise ConfigError(f"share={self.share!r} is not above 0 and at most 1")

    @classmethod
    def of(cls, request: TranscriptionRequest, **more: Any) -> Self:
        """The options of a request to a server of ours, and `more`."""
        return cls(**{**_common(request, cls), **more})

    def request(self, model: str) -> TranscriptionRequest:
        """What one producer is asked, with the model's name as it knows it."""
        return TranscriptionRequest(**{**_common(self, TranscriptionRequest), "model": model})


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions(JobOptions):
    """The options of speech."""

    voice: str = ""  # empty: the producer's default for the language
    speed: float = 1.0  # 0.25 to 4
    format: str = "wav"  # wav, mp3, flac, opus, aac, m4a or pcm
    keep: bool = True  # whether `Done` has the file of a scattered text too, not only the events

    @classmethod
    def of(cls, request: SpeechRequest, **more: Any) -> Self:
        """The options of a request to a server of ours, and `more`."""
        return cls(**{**_common(request, cls), **more})

    def request(self, text: str, model: str) -> SpeechRequest:
        """What one producer is asked, with the model's name as it knows it."""
        return SpeechRequest(**{**_common(self, SpeechRequest), "text": text, "model": model})


DEFAULT_TRANSCRIPTION, DEFAULT_SPEECH = TranscriptionOptions(), SpeechOptions()


def _peer_ids(given: Sequence[str]) -> tuple[str, ...]:
    """A string is a list with commas, not a sequence of letters, with which many ids begin."""
    some = given.split(",") if given and isinstance(given, str) else given
    return tuple(peer_id.strip() for peer_id in some)


def _common(source: Any, kind: type[Any]) -> dict[str, Any]:
    """The fields of `source` that `kind` has too."""
    names = {field.name for field in fields(source)} & {field.name for field in fields(kind)}
    return {name: getattr(source, name) for name in names}


def takes_keywords(
    options: Callable[P, OptionsT],
) -> Callable[
    [Callable[[MeshT, InputT, OptionsT], ResultT]], Callable[Concatenate[MeshT, InputT, P], ResultT]
]:
    """A decorator: the method is called with keywords, and gets them as `options`.

    Raises (when the method is called):
        TypeError: there is no such option.
    """
    known = inspect.signature(options).parameters

    def decorate(
        method: Callable[[MeshT, InputT, OptionsT], ResultT],
    ) -> Callable[Concatenate[MeshT, InputT, P], ResultT]:
        @functools.wraps(method)
        def call(mesh: MeshT, given: InputT, /, *args: P.args, **keywords: P.kwargs) -> ResultT:
            if unknown := keywords.keys() - known.keys():
                there_is = ", ".join(known)
                raise TypeError(
                    f"{method.__name__}() has no option {min(unknown)!r}; there is: {there_is}"
                )
            return method(mesh, given, options(*args, **keywords))

        own = list(inspect.signature(method).parameters.values())[:2]
        call.__signature__ = inspect.Signature([*own, *known.values()])  # type: ignore[attr-defined]
        return call

    return decorate
