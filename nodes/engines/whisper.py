"""faster-whisper: a hundred languages, as well as the chosen model hears.

    model    "small", "large-v3", ...     downloaded into the cache at the first start
             "owner/name"                 the same, from anybody on the Hugging Face hub
             "/path/to/folder"            a CTranslate2 model on this machine

What is loaded is looked at first: a missing file is told at once, and not after half a minute of
attempts to download it. The work is done in a process of its own, see `whisper_worker`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodes.engines import measure, whisper_worker
from nodes.engines.pooled_engine import PooledTranscriber
from nodes.engines.whisper_worker import INSTALL
from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors, languages, speech
from privox_dht.recording import Recording

DEFAULT_MODELS = {"cpu": "base", "gpu": "small"}  # what hears faster than people speak there
COMPUTE_TYPES = {"cpu": "int8", "gpu": "float16"}
DEVICES = {"cpu": whisper_worker.CPU, "gpu": "cuda"}
NEEDED = ("config.json", "model.bin", "tokenizer.json")  # and one of:
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
BLOCK = 300.0  # seconds of audio at a time; the features of five minutes take 10 MB
NAMED = 6  # languages named in a refusal, beside their number
TRIED_SECONDS = 1  # of sound, before anybody is told of it
LOAD_WITHIN = 600.0  # seconds; three gigabytes of large-v3 on a slow disk, and a first try
AT_MOST = 64  # jobs at a time, each in its turn; a node has slots of its own
UNTAUGHT = (
    "turbo",
    "distil",
)  # in the names of models that hear many languages, and translate none


class FasterWhisper(PooledTranscriber):
    """Speech to text in a process of its own."""

    service, name, rank = speech.STT, "faster-whisper", 10
    rate = whisper_worker.RATE
    reinstall = f"{INSTALL} --upgrade"

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._model_name = model or DEFAULT_MODELS[backend]
        self._cache = cache
        self._languages: tuple[str, ...] = ()  # as Whisper calls them
        shown = Path(self._model_name).name if _is_path(self._model_name) else self._model_name
        super().__init__(
            WorkerPool("nodes.engines.whisper_worker", at_most=AT_MOST, start_within=LOAD_WITHIN),
            speech.EngineInfo(self.service, backend, self.name, models=(shown,)),
        )

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

    async def _arguments(self) -> Sequence[str]:
        folder = await asyncio.to_thread(model_folder, self._model_name, self._cache)
        backend = self.ability.backend
        return str(folder.resolve()), DEVICES[backend], COMPUTE_TYPES[backend]

    async def _tried(self, hello: Mapping[str, Any]) -> speech.EngineInfo:
        self._languages = tuple(hello["languages"])
        await measure.hearing(self, measure.babble(TRIED_SECONDS, self.rate))  # behind the wall
        taught = not any(word in self.ability.models[0] for word in UNTAUGHT)
        return replace(
            self.ability,
            languages=languages.published(self._languages),
            speed=hello["speed"],
            translates=taught and hello["multilingual"],
        )

    async def transcribe_recording(
        self, recording: Recording, request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        self._refuse_what_it_cannot(request)
        asked = {"samples": recording.count, "options": self._options(request), "block": BLOCK}
        async with aclosing(
            self._pool.ask(asked, files=[recording.file], seconds=recording.seconds)
        ) as answer:
            async for told, _ in answer:
                words = tuple(speech.Word(*word) for word in told["words"])
                language = languages.primary(told["language"])
                yield speech.Segment(told["text"], told["start"], told["end"], words, language)

    def _refuse_what_it_cannot(self, request: speech.TranscriptionRequest) -> None:
        model = measure.named(request.model, self.name)
        if model not in ("", *self.ability.models):
            raise errors.RequestRejected(
                f"faster-whisper has no model {model!r} here; it has {self.ability.models[0]}",
                status=404,
                code="model_not_found",
                param="model",
            )
        known = self._languages
        if request.language and not languages.nearest(request.language, known):
            some = ", ".join(known[:NAMED])
            raise errors.RequestRejected(
                f"{self.ability.models[0]} does not know the language {request.language!r};"
                f" it knows {len(known)}, such as {some}",
                status=404,
                code="language_not_found",
                param="language",
            )

    def _options(self, request: speech.TranscriptionRequest) -> dict[str, Any]:
        options: dict[str, Any] = {
            "language": languages.nearest(request.language, self._languages),
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
