"""piper: natural voices, faster than real time on a CPU.

    model    "en_US-lessac-medium"     downloaded into the cache at the first start
             "/path/to/voice.onnx"     a voice on this machine, with its .onnx.json beside it
    voice    ""                        the loaded voice, with its default speaker
             "en_US-libritts-high+p3922", "...+7"       one of its speakers, by name or number

Each sentence is one piece of sound. piper runs in a process of its own, `piper_worker`. Its copy of
espeak-ng has the same bugs, so texts are made safe for it (`espeak_text`).
"""

import importlib.util
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nodes.engines import benchmark, piper_worker
from nodes.engines.espeak_text import make_safe
from nodes.engines.piper_text import split_long_sentences
from nodes.engines.piper_worker import INSTALL
from nodes.engines.pooled_engine import PooledEngine, not_found
from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors, languages, limits, model_names, speech
from privox_dht.atomic_file import TEMPORARY, replacing
from privox_dht.daemon_thread import in_daemon_thread

DEFAULT_VOICE = "en_US-lessac-medium"
HUB = "https://huggingface.co"  # unless HF_ENDPOINT is set
VOICES = "rhasspy/piper-voices/resolve/main"
NAME = re.compile(r"([a-z]{2,3})_([A-Z]{2})-([A-Za-z0-9_]+)-(x_low|low|medium|high)")
DOWNLOAD_TIMEOUT = 30.0  # seconds without a byte of a download
ABANDONED = 3600.0  # seconds without a byte, after which a part of a download is removed
CACHE = Path("~/.cache/privox-dht/piper")
DEVICES = {"cpu": piper_worker.CPU, "gpu": "cuda"}
SPEAKER = "+"  # between a voice and its speaker
WORKER_OVERHEAD = 100 * limits.MIB  # bytes of a worker without the voice, about
LOAD_TIMEOUT = 300.0  # seconds; a large voice on a slow disk, and downloads for its language
MAX_JOBS = 64  # jobs at a time, which take turns; the node's slots are the real limit


class Piper(PooledEngine):
    """Text to speech in a process of its own."""

    service, name, rank = speech.TTS, "piper", 10
    reinstall = f"{INSTALL} --upgrade"
    load_timeout = LOAD_TIMEOUT

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._model_name = model or DEFAULT_VOICE
        self._cache = (cache or CACHE).expanduser()
        self._speakers: Mapping[str, int] = {}
        self._count = 1  # of speakers
        shown = Path(self._model_name).name.removesuffix(".onnx")
        super().__init__(
            WorkerPool("nodes.engines.piper_worker", max_jobs=MAX_JOBS, start_timeout=LOAD_TIMEOUT),
            speech.EngineInfo(self.service, backend, self.name, models=(shown,)),
        )

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

    async def _arguments(self) -> Sequence[str]:
        file = await in_daemon_thread(partial(voice_file, self._model_name, self._cache))
        self._needs = file.stat().st_size + WORKER_OVERHEAD
        return str(file.resolve()), DEVICES[self.info.backend], str(self._cache)

    async def _self_test(self, hello: Mapping[str, Any]) -> speech.EngineInfo:
        self._speakers, self._count = hello["speakers"], hello["count"]
        await benchmark.speaking_speed(self)  # the first run is slower
        tag = hello["language"]
        return replace(
            self.info,
            languages=languages.published([tag]),
            speed=await benchmark.speaking_speed(self),
            speakers={voice: tuple(self._speakers) for voice in self.info.models},
            voice_languages={voice: languages.written(tag) for voice in self.info.models},
        )

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.AudioChunk]:
        named = model_names.for_engine(request.voice or request.model, self.name)
        speaker = choose(named, self.info.models[0], self._speakers, self._count)
        self._check_language(request)
        message = {
            "text": split_long_sentences(make_safe(request.speakable)),
            "speaker": speaker,
            "speed": request.speed,
        }
        async with aclosing(self._ask(message)) as answer:
            async for head, pcm in answer:
                yield speech.AudioChunk(head["rate"], pcm)

    def _check_language(self, request: speech.SpeechRequest) -> None:
        known = self.info.languages
        language = "" if request.voice else request.language
        if language and known and not languages.nearest(language, known):
            raise not_found(self.info.models[0], "language", language, known)


def choose(named: str, voice: str, speakers: Mapping[str, int], count: int) -> int | None:
    """The number of the speaker; None: the voice's default.

    Raises:
        RequestRejected: 404, there is no such voice or speaker.
    """
    base, _, speaker = named.partition(SPEAKER)
    if base not in ("", voice):
        raise not_found(Piper.name, "voice", base, [voice])
    if not speaker:
        return None
    if speaker in speakers:
        return speakers[speaker]
    if speaker.isdecimal() and int(speaker) < count:
        return int(speaker) if count > 1 else None
    raise not_found(Piper.name, "speaker", speaker, list(speakers) or ["0"], param="voice")


def voice_file(name: str, cache: Path) -> Path:
    """The ONNX file of a voice, downloaded if necessary, with its JSON file beside it.

    Raises:
        EngineUnavailable: there is no such voice, or a file is missing or empty.
    """
    if "/" in name or name.endswith(".onnx"):
        file = Path(name).expanduser()
    else:
        file = _downloaded(name, cache)
    _, config = files_of(file)
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


def cached(cache: Path | None) -> list[Path]:
    """The ONNX files of downloaded voices."""
    folder = (cache or CACHE).expanduser()
    return sorted(
        file for file in folder.glob("*.onnx") if all(f.is_file() for f in files_of(file))
    )


def files_of(file: Path) -> tuple[Path, Path]:
    """Both files of a voice."""
    return file, file.with_name(f"{file.name}.json")


def _downloaded(name: str, cache: Path) -> Path:
    parts = NAME.fullmatch(name)
    if parts is None:
        raise errors.EngineUnavailable(
            f"{name!r} is not the name of a voice", f"name one such as {DEFAULT_VOICE}"
        )
    language, region, voice, quality = parts.groups()
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    folder = f"{hub}/{VOICES}/{language}/{language}_{region}/{voice}/{quality}"
    file = cache / f"{name}.onnx"
    try:
        # The large file last: if it exists, both do
        for wanted in (file.with_name(f"{file.name}.json"), file):
            if not wanted.is_file():
                fetch(f"{folder}/{wanted.name}", wanted)
    except OSError as exc:
        if isinstance(exc, urllib.error.HTTPError):
            exc.close()  # it keeps the connection open
        raise errors.EngineUnavailable(
            f"the voice {name} cannot be downloaded ({exc})",
            "check its name, connect to the internet once, or name an .onnx file",
        ) from exc
    return file


def fetch(url: str, file: Path) -> None:
    """Download `url` into `file`; it is never left incomplete.

    Raises:
        OSError: it cannot be downloaded.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for part in file.parent.glob(f"{TEMPORARY}*"):  # of a download that was interrupted
        with suppress(FileNotFoundError):  # another node has removed it
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()
    with (
        urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as response,
        replacing(file, durable=True) as out,
    ):
        shutil.copyfileobj(response, out)
        if response.length:  # bytes that were announced and did not come: no error for urllib
            raise OSError(f"the connection ended {response.length} bytes too early")
