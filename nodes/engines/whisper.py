"""faster-whisper: a hundred languages; the quality depends on the model.

For its models see `whisper_models`. Each is an engine with a process of its own (`whisper_worker`),
which starts when a job needs it and ends when other models need its memory.
"""

import importlib.util
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nodes.engines import benchmark, whisper_worker
from nodes.engines.pooled_engine import PooledTranscriber, not_found
from nodes.engines.whisper_models import (
    CANNOT_TRANSLATE,
    INSTALL,
    model_folder,
    request_names,
    resolve_model,
    size_of,
)
from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors, languages, limits, model_names, speech
from privox_dht.daemon_thread import in_daemon_thread
from privox_dht.recording import Recording

DEFAULT_MODELS = {"cpu": "base", "gpu": "small"}  # faster than real time on these
COMPUTE_TYPES = {"cpu": "int8", "gpu": "float16"}
DEVICES = {"cpu": whisper_worker.CPU, "gpu": "cuda"}
BLOCK = 300.0  # seconds of audio at a time; the features of five minutes take 10 MB
WORKER = "nodes.engines.whisper_worker"
SELF_TEST_SECONDS = 1  # of sound, to test it
WORKER_OVERHEAD = 150 * limits.MIB  # bytes of a worker without the model, about
LOAD_TIMEOUT = 600.0  # seconds; three gigabytes of large-v3 on a slow disk, and a test
MAX_JOBS = 64  # jobs at a time, which take turns; the node's slots are the real limit


class FasterWhisper(PooledTranscriber):
    """Speech to text in a process of its own."""

    service, name, rank = speech.STT, "faster-whisper", 10
    rate = whisper_worker.RATE
    reinstall = f"{INSTALL} --upgrade"
    load_timeout = LOAD_TIMEOUT

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._model_name = model or DEFAULT_MODELS[backend]
        self._cache = cache
        self._languages: tuple[str, ...] = ()  # Whisper's codes
        models = request_names(resolve_model(self._model_name))
        super().__init__(
            WorkerPool(WORKER, max_jobs=MAX_JOBS, start_timeout=LOAD_TIMEOUT),
            speech.EngineInfo(self.service, backend, self.name, models=models),
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
        folder = await in_daemon_thread(partial(model_folder, self._model_name, self._cache))
        backend = self.info.backend
        self._needs = size_of(folder) + WORKER_OVERHEAD
        batch = str(self._settings.batch)
        return str(folder.resolve()), DEVICES[backend], COMPUTE_TYPES[backend], batch

    async def _self_test(self, hello: Mapping[str, Any]) -> speech.EngineInfo:
        self._languages = tuple(hello["languages"])
        # In the sandbox
        await benchmark.transcribing_speed(self, benchmark.babble(SELF_TEST_SECONDS, self.rate))
        can_translate = not any(word in self.info.models[0] for word in CANNOT_TRANSLATE)
        return replace(
            self.info,
            languages=languages.published(self._languages),
            all_languages=tuple(sorted({languages.primary(tag) for tag in self._languages})),
            speed=hello["speed"],
            translates=can_translate and hello["multilingual"],
        )

    async def transcribe_recording(
        self, recording: Recording, request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        self._check_request(request)
        message = {"samples": recording.count, "options": self._options(request), "block": BLOCK}
        async with aclosing(self._ask(message, [recording.file], recording.seconds)) as answer:
            async for found, _ in answer:
                words = tuple(speech.Word(*word) for word in found["words"])
                language = languages.primary(found["language"])
                yield speech.Segment(found["text"], found["start"], found["end"], words, language)

    def _check_request(self, request: speech.TranscriptionRequest) -> None:
        model = model_names.for_engine(request.model, self.name)
        if model not in ("", *self.info.models):
            raise not_found(self.name, "model", model, self.info.models)
        if request.language and not languages.nearest(request.language, self._languages):
            raise not_found(self.info.models[0], "language", request.language, self._languages)

    def _options(self, request: speech.TranscriptionRequest) -> dict[str, Any]:
        options: dict[str, Any] = {
            "language": languages.nearest(request.language, self._languages),
            "task": "translate" if request.translate else "transcribe",
            "initial_prompt": request.prompt or None,
            "hotwords": request.hotwords or None,
            "word_timestamps": request.words,
            "vad_filter": True,  # without it Whisper invents words in silence
        }
        if request.temperature > 0:  # at 0 faster-whisper tries higher ones where it is unsure
            options["temperature"] = request.temperature
        return options
