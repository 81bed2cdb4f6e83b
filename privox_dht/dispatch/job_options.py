"""What may be said of a job beside its input: the keywords of `Mesh.transcribe` and the like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from privox_dht import limits
from privox_dht.dispatch.selection import ANY, Requirements

AUTO, NEVER, PRIVATE = "auto", "never", "private"
SCATTER = (AUTO, NEVER, PRIVATE)
SHARE = 0.25  # of a recording that one may hear at most, where it is scattered in private
PIECES = 16  # of something long that is scattered, at a time


class JobKeywords(TypedDict, total=False):
    """Who may do the job, and how long it may take."""

    language: str
    model: str
    backend: str
    only: Sequence[str]
    prefer: Sequence[str]
    avoid: Sequence[str]
    via_farm: bool
    wait: float
    timeout: float | None
    jobs: int


class TranscriptionKeywords(JobKeywords, total=False):
    """Of speech to text; each is told at `JobOptions`."""

    translate: bool
    words: bool
    prompt: str
    temperature: float
    hotwords: str
    scatter: str
    share: float
    max_seconds: float


class SpeechKeywords(JobKeywords, total=False):
    """Of text to speech; each is told at `JobOptions`."""

    voice: str
    speed: float
    format: str
    keep: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How a job is to be done. All have a default."""

    language: str = ""  # a BCP 47 tag; stt: empty, the engine detects it
    model: str = ""  # an engine, a model, "engine:model", or (tts) "engine:voice"; empty: any
    backend: str = ANY  # what the work must run on: "cpu", "gpu" or "any"
    only: Sequence[str] = ()  # peer ids, or their beginnings: nobody but these
    prefer: Sequence[str] = ()  # these first
    avoid: Sequence[str] = ()  # never these
    via_farm: bool = False  # through a farm, so that the producer does not learn our address
    wait: float = limits.WAIT  # seconds to go on asking while everybody is busy
    timeout: float | None = None  # seconds for the whole job; None: `limits.JOB_DEADLINE`
    jobs: int = PIECES  # of something long that is scattered: pieces at a time

    def wish(self, service: str, **more: Any) -> Requirements:
        """What is asked of the mesh; `more` goes into it as it is."""
        return Requirements(
            service,
            backend=self.backend,
            model=self.model,
            language=self.language,
            only=tuple(self.only),
            prefer=tuple(self.prefer),
            avoid=tuple(self.avoid),
            via_farm=self.via_farm,
            **more,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionOptions(JobOptions):
    """How speech becomes text."""

    translate: bool = False  # into English
    words: bool = False  # times of words too, from engines that have them
    prompt: str = ""  # words to expect, or how the text before it ended
    temperature: float = 0.0  # 0 to 1; above 0 an engine may guess more freely
    hotwords: str = ""  # words to prefer, such as names
    scatter: str = AUTO  # "auto": a long recording to many producers; "never"; "private": no
    # producer hears two neighbouring pieces, nor more than `share`; through farms
    share: float = SHARE
    max_seconds: float = float("inf")  # of a recording that is scattered; what is longer is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions(JobOptions):
    """How text becomes speech."""

    voice: str = ""  # empty: the producer's default for the language
    speed: float = 1.0  # 0.25 to 4
    format: str = "wav"  # wav, mp3, flac, opus, aac, m4a or pcm
    keep: bool = True  # of a text that is cut: whether `Done` has the file, or the events alone
