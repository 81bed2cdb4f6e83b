"""piper: natural voices, faster than real time on a CPU.

    model    "en_US-lessac-medium"     downloaded into the cache at the first start
             "/path/to/voice.onnx"     a voice on this machine, its .onnx.json beside it
    voice    ""                        the voice that was loaded, its own speaker
             "en_US-libritts-high+p3922", "...+7"       one of its speakers, by name or number

One sentence is one piece of sound. Its phonemes come from a copy of espeak-ng inside piper that
is one big global variable, so that only one thread of this process may be in piper at a time. It
has espeak-ng's holes too: what would overflow its stack is bounded before (`espeak_text`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodes.engines import measure, threads
from nodes.engines.espeak_text import bounded
from privox_dht import errors, languages, limits, speech
from privox_dht.atomic_file import replacing

DEFAULT_VOICE = "en_US-lessac-medium"
VOICES = "https://huggingface.co/rhasspy/piper-voices/resolve/main"
NAME = re.compile(r"([a-z]{2,3})_([A-Z]{2})-([A-Za-z0-9_]+)-(x_low|low|medium|high)")
SILENCE = 30.0  # seconds without a byte of a download
CACHE = Path("~/.cache/privox-dht/piper")
SPEAKER = "+"  # between a voice and its speaker
NAMED = 6  # speakers named in a refusal, beside their number
SAMPLE = "The quick brown fox jumps over the lazy dog near the old river bank."
INSTALL = "pip install 'privox-dht[piper]'"
ONE_AT_A_TIME = threading.Lock()  # held by whichever voice is in piper now


class Piper:
    """Text to speech in a thread of this process."""

    service, name, rank = speech.TTS, "piper", 10

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._model_name = model or DEFAULT_VOICE
        self._cache = (cache or CACHE).expanduser()
        self._voice: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        shown = Path(self._model_name).name.removesuffix(".onnx")
        self.ability = speech.Ability(self.service, backend, self.name, models=(shown,))

    @classmethod
    def check(cls, backend: str) -> None:
        if importlib.util.find_spec("piper") is None:
            raise errors.EngineUnavailable("piper is not installed", INSTALL)
        if backend == "gpu":
            import onnxruntime

            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                raise errors.EngineUnavailable(
                    "onnxruntime sees no CUDA GPU", "pip install onnxruntime-gpu, or use tts/cpu"
                )

    async def start(self) -> None:
        self.check(self.ability.backend)
        loop = asyncio.get_running_loop()
        try:
            self._voice = await loop.run_in_executor(self._thread, self._load)
            await measure.speaking(self, SAMPLE)  # the first time is slower
            speed = await measure.speaking(self, SAMPLE)
        except errors.Failed as exc:
            await self.close()
            raise errors.EngineUnavailable(
                f"the voice {self.ability.models[0]} does not work: {exc}", "download it again"
            ) from exc
        except BaseException:
            await self.close()
            raise
        tag = self._voice.config.espeak_voice
        self.ability = replace(
            self.ability,
            languages=languages.published([tag]),
            speed=speed,
            spoken={voice: languages.written(tag) for voice in self.ability.models},
        )

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._voice = None

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.Sound]:
        named = measure.named(request.voice or request.model, self.name)
        config = self._voice.config
        speaker = choose(named, self.ability.models[0], config.speaker_id_map, config.num_speakers)
        self._refuse_language(request)
        sounds = threads.stream(self._thread, self._work(request, speaker))
        try:
            async for sound in sounds:
                yield sound
        finally:
            await sounds.aclose()

    def _refuse_language(self, request: speech.SpeechRequest) -> None:
        known = self.ability.languages
        asked = "" if request.voice else request.language
        if asked and known and not languages.nearest(asked, known):
            raise errors.Refused(
                f"{self.ability.models[0]} speaks {known[0]}, not {request.language!r}",
                status=404,
                code="language_not_found",
                param="language",
            )

    def _load(self) -> Any:
        try:
            from piper import PiperVoice
        except ImportError as exc:  # it is there, and something that it needs is not
            raise errors.EngineUnavailable(
                f"piper cannot be imported ({exc})", f"{INSTALL} --upgrade"
            ) from exc
        file = voice_file(self._model_name, self._cache)
        try:
            voice = PiperVoice.load(file, use_cuda=self.ability.backend == "gpu")
        except Exception as exc:  # whatever onnxruntime says of broken files
            raise errors.EngineUnavailable(
                f"the voice {file} cannot be loaded ({type(exc).__name__})", "download it again"
            ) from exc
        voice.download_dir = self._cache  # what some languages need besides
        return voice

    def _work(self, request: speech.SpeechRequest, speaker: int | None) -> Generator[speech.Sound]:
        from piper.config import SynthesisConfig

        length = self._voice.config.length_scale / request.speed
        config = SynthesisConfig(speaker_id=speaker, length_scale=length)
        left = limits.MAX_SPEECH_SECONDS
        text = bounded(measure.speakable(request.text))
        chunks = iter(self._voice.synthesize(text, config))
        while True:
            with ONE_AT_A_TIME:
                chunk = next(chunks, None)
            if chunk is None:
                return
            sound = speech.Sound(chunk.sample_rate, chunk.audio_int16_bytes)
            left -= sound.seconds
            if left < 0:
                raise errors.Refused(
                    f"the text is longer than {limits.MAX_SPEECH_SECONDS:.0f} s of speech",
                    status=413,
                    param="input",
                )
            yield sound


def choose(named: str, voice: str, speakers: Mapping[str, int], count: int) -> int | None:
    """The number of the speaker that is meant; None where a voice has one only.

    Raises:
        Refused: 404, there is no such voice or speaker.
    """
    asked, _, speaker = named.partition(SPEAKER)
    if asked not in ("", voice):
        raise _unknown("voice", asked, [voice])
    if not speaker:
        return None
    if speaker in speakers:
        return speakers[speaker]
    if speaker.isdecimal() and int(speaker) < count:
        return int(speaker) if count > 1 else None
    raise _unknown("speaker", speaker, list(speakers) or ["0"])


def _unknown(kind: str, missing: str, known: list[str]) -> errors.Refused:
    some = ", ".join(known[:NAMED])
    return errors.Refused(
        f"piper has no {kind} {missing[: limits.MAX_NAME]!r} here;"
        f" it has {len(known)}, such as {some}",
        status=404,
        code="voice_not_found",
        param="voice",
    )


def voice_file(name: str, cache: Path) -> Path:
    """The ONNX file of a voice, downloaded if need be, with its JSON file beside it.

    Raises:
        EngineUnavailable: there is no such voice, or a file is missing or empty.
    """
    if "/" in name or name.endswith(".onnx"):
        file = Path(name).expanduser()
    else:
        file = _downloaded(name, cache)
    config = file.with_name(f"{file.name}.json")
    for needed in (file, config):
        if not needed.is_file() or not needed.stat().st_size:
            raise errors.EngineUnavailable(
                f"{needed} is missing or empty", "download the voice again, both its files"
            )
    try:
        json.loads(config.read_bytes())
    except ValueError as exc:
        raise errors.EngineUnavailable(f"{config} is not JSON", "download it again") from exc
    return file


def _downloaded(name: str, cache: Path) -> Path:
    parts = NAME.fullmatch(name)
    if parts is None:
        raise errors.EngineUnavailable(
            f"{name!r} is not the name of a voice", f"name one such as {DEFAULT_VOICE}"
        )
    language, region, voice, quality = parts.groups()
    folder = f"{VOICES}/{language}/{language}_{region}/{voice}/{quality}"
    file = cache / f"{name}.onnx"
    try:
        # The big file last: when it is there, all is.
        for wanted in (file.with_name(f"{file.name}.json"), file):
            if not wanted.is_file():
                fetch(f"{folder}/{wanted.name}", wanted)
    except OSError as exc:
        if isinstance(exc, urllib.error.HTTPError):
            exc.close()  # it holds the answer's connection open
        raise errors.EngineUnavailable(
            f"the voice {name} cannot be downloaded ({exc})",
            "look at its name, connect to the internet once, or name an .onnx file",
        ) from exc
    return file


def fetch(url: str, file: Path) -> None:
    """Download `url` into `file`, which is there completely or not at all.

    Raises:
        OSError: it cannot be had.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        urllib.request.urlopen(url, timeout=SILENCE) as response,
        replacing(file, durable=True) as out,
    ):
        shutil.copyfileobj(response, out)
