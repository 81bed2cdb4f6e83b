"""faster-whisper: a hundred languages, as well as the chosen model hears.

    model    "small", "large-v3", ...     downloaded into the cache at the first start
             "owner/name"                 the same, from anybody on the Hugging Face hub
             "/path/to/folder"            a CTranslate2 model on this machine

A long recording is worked on in blocks that are cut where it is quiet, so that memory does not
grow with its length. What is loaded is looked at first: a missing file is told at once, and not
after half a minute of attempts to download it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.engines import measure, pauses, threads
from privox_dht import errors, languages, speech

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_MODELS = {"cpu": "base", "gpu": "small"}  # what hears faster than people speak there
COMPUTE_TYPES = {"cpu": "int8", "gpu": "float16"}
DEVICES = {"cpu": "cpu", "gpu": "cuda"}
NEEDED = ("config.json", "model.bin", "tokenizer.json")  # and one of:
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
BLOCK = 300.0  # seconds of audio at a time; the features of five minutes take 10 MB
NAMED = 6  # languages named in a refusal, beside their number
SELF_TEST_SECONDS = 30  # one window: Whisper hears no less at a time
SELF_TEST_TOKENS = 80  # tokens that half a minute of ordinary speech gives
INSTALL = "pip install 'privox-dht[whisper]'"
TRANSLATES_INTO = "en"
UNTAUGHT = (
    "turbo",
    "distil",
)  # in the names of models that hear many languages, and translate none


class FasterWhisper:
    """Speech to text in a thread of this process."""

    service, name, rank = speech.STT, "faster-whisper", 10
    rate = 16_000  # Hz, what Whisper was trained on

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._model_name = model or DEFAULT_MODELS[backend]
        self._cache = cache
        self._model: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        shown = Path(self._model_name).name if _is_path(self._model_name) else self._model_name
        self.ability = speech.Ability(self.service, backend, self.name, models=(shown,))

    @classmethod
    def check(cls, backend: str) -> None:
        if importlib.util.find_spec("faster_whisper") is None:
            raise errors.EngineUnavailable("faster-whisper is not installed", INSTALL)
        if backend == "gpu":
            import ctranslate2

            if not ctranslate2.get_cuda_device_count():
                raise errors.EngineUnavailable(
                    "no CUDA GPU is visible", "install its driver and CUDA 12, or use stt/cpu"
                )

    async def start(self) -> None:
        self.check(self.ability.backend)
        loop = asyncio.get_running_loop()
        try:
            self._model = await loop.run_in_executor(self._thread, self._load)
            speed = await loop.run_in_executor(self._thread, self._measure)
        except BaseException:
            await self.close()
            raise
        known = languages.published(self._model.supported_languages)
        taught = not any(word in self.ability.models[0] for word in UNTAUGHT)
        translates = taught and self._model.model.is_multilingual
        self.ability = replace(self.ability, languages=known, speed=speed, translates=translates)

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._model = None

    async def transcribe(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        self._refuse_what_it_cannot(request)
        segments = threads.stream(self._thread, self._work(pcm, request))
        try:
            async for segment in segments:
                yield segment
        finally:
            await segments.aclose()

    def _refuse_what_it_cannot(self, request: speech.TranscriptionRequest) -> None:
        model = measure.named(request.model, self.name)
        if model not in ("", *self.ability.models):
            raise errors.Refused(
                f"faster-whisper has no model {model!r} here; it has {self.ability.models[0]}",
                status=404,
                code="model_not_found",
                param="model",
            )
        known = self._model.supported_languages
        if request.language and not languages.nearest(request.language, known):
            some = ", ".join(known[:NAMED])
            raise errors.Refused(
                f"{self.ability.models[0]} does not know the language {request.language!r};"
                f" it knows {len(known)}, such as {some}",
                status=404,
                code="language_not_found",
                param="language",
            )

    def _load(self) -> Any:
        try:
            from faster_whisper import WhisperModel
        except ImportError as exc:  # it is there, and something that it needs is not
            raise errors.EngineUnavailable(
                f"faster-whisper cannot be imported ({exc})", f"{INSTALL} --upgrade"
            ) from exc
        folder = model_folder(self._model_name, self._cache)
        backend = self.ability.backend
        try:
            return WhisperModel(
                str(folder), device=DEVICES[backend], compute_type=COMPUTE_TYPES[backend]
            )
        except Exception as exc:  # whatever CTranslate2 and the tokenizer say of broken files
            raise errors.EngineUnavailable(
                f"the model in {folder} cannot be loaded ({exc})", "download or convert it again"
            ) from exc

    def _measure(self) -> float:
        """Seconds of audio per second of work; it warms the model as well."""
        babble = measure.babble(SELF_TEST_SECONDS, self.rate)
        began = time.monotonic()
        segments, _ = self._model.transcribe(
            babble,
            language=TRANSLATES_INTO,
            temperature=0.0,
            max_new_tokens=SELF_TEST_TOKENS,
        )
        for _ in segments:
            pass
        return round(SELF_TEST_SECONDS / max(time.monotonic() - began, 1e-6), 1)

    def _work(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> Generator[speech.Segment]:
        options = self._options(request)
        for start, end in pauses.blocks(pcm, self.rate, BLOCK):
            segments, info = self._model.transcribe(pcm[start:end], **options)
            for segment in segments:
                options["language"] = info.language  # of this recording, from here on
                yield _as_ours(segment, start / self.rate, languages.primary(info.language))

    def _options(self, request: speech.TranscriptionRequest) -> dict[str, Any]:
        options: dict[str, Any] = {
            "language": languages.nearest(request.language, self._model.supported_languages),
            "task": "translate" if request.translate else "transcribe",
            "initial_prompt": request.prompt or None,
            "word_timestamps": request.words,
            "vad_filter": True,  # it invents words for silence otherwise
        }
        if request.temperature > 0:  # at 0, it tries higher ones by itself where it is unsure
            options["temperature"] = request.temperature
        return options


def model_folder(name: str, cache: Path | None) -> Path:
    """The folder of a model, downloaded if need be, with all its files in place.

    Raises:
        EngineUnavailable: there is no such model, or a file is missing or empty.
    """
    folder = Path(name).expanduser() if _is_path(name) else _downloaded(name, cache)
    if not folder.is_dir():
        raise errors.EngineUnavailable(
            f"there is no folder {folder}", "name a folder, or a model such as 'small'"
        )
    missing = [file for file in NEEDED if not _holds_something(folder / file)]
    if not any(_holds_something(folder / file) for file in VOCABULARIES):
        missing.append(VOCABULARIES[0])
    if missing:
        raise errors.EngineUnavailable(
            f"the model in {folder} lacks {', '.join(missing)}",
            "copy the files there, or convert the model again with --copy_files tokenizer.json",
        )
    try:
        json.loads((folder / "config.json").read_bytes())
    except ValueError as exc:
        raise errors.EngineUnavailable(
            f"{folder / 'config.json'} is not JSON", "download or convert the model again"
        ) from exc
    return folder


def _downloaded(name: str, cache: Path | None) -> Path:
    from faster_whisper.utils import available_models, download_model

    if "/" not in name and name not in available_models():
        raise errors.EngineUnavailable(
            f"there is no model {name!r}", f"name one of {', '.join(available_models())}"
        )
    cache_dir = None if cache is None else str(cache)
    try:
        return Path(download_model(name, local_files_only=True, cache_dir=cache_dir))
    except Exception:  # not there yet; huggingface_hub has many words for it
        pass
    try:
        return Path(download_model(name, cache_dir=cache_dir))
    except Exception as exc:
        raise errors.EngineUnavailable(
            f"the model {name} cannot be downloaded ({type(exc).__name__})",
            "connect to the internet once, or name a folder that holds the model",
        ) from exc


def _is_path(name: str) -> bool:
    return name.startswith(("/", ".", "~"))


def _holds_something(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _as_ours(segment: Any, offset: float, language: str) -> speech.Segment:
    """faster-whisper's segment as ours, in the time of the whole recording."""

    def place(seconds: float) -> float:
        return round(offset + float(seconds), 2)

    words = tuple(
        speech.Word(
            word.word.strip(), place(word.start), place(word.end), round(float(word.probability), 3)
        )
        for word in segment.words or ()
    )
    start, end = place(segment.start), place(segment.end)
    return speech.Segment(segment.text.strip(), start, end, words, language)
