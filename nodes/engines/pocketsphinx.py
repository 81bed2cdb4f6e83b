"""pocketsphinx: English only, small; its model is part of its wheel.

a recording  ->  a worker process: utterances, a little noise, words  ->  segments
"""

import importlib.util
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodes.engines import benchmark, pocketsphinx_worker
from nodes.engines.pooled_engine import PooledTranscriber, not_found
from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors, languages, model_names, speech
from privox_dht.recording import Recording

LANGUAGE, MODEL = "en", "en-us"
TOO_NEW = (3, 14)  # there is no wheel for this Python and later ones
SELF_TEST_SECONDS = 1  # of audio; more gives the same result and a slower start


class PocketSphinx(PooledTranscriber):
    """Speech to text in a process of its own."""

    service, name, rank = speech.STT, "pocketsphinx", 20
    rate = pocketsphinx_worker.RATE
    reinstall = "pip install --force-reinstall pocketsphinx"

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._model = model
        super().__init__(
            WorkerPool("nodes.engines.pocketsphinx_worker"),
            speech.EngineInfo(
                self.service, backend, self.name, models=(MODEL,), languages=(LANGUAGE,)
            ),
        )

    @classmethod
    def check(cls, backend: str) -> None:
        if backend != "cpu":
            raise errors.EngineUnavailable("pocketsphinx works on the CPU only", "use stt/cpu")
        if importlib.util.find_spec("pocketsphinx") is not None:
            return
        if sys.version_info >= TOO_NEW:
            raise errors.EngineUnavailable(
                "pocketsphinx is not installed, and has no wheel for Python 3.14",
                "with a C compiler: pip install pocketsphinx; without one use faster-whisper"
                " (pip install 'privox-dht[whisper]') or Python 3.13",
            )
        raise errors.EngineUnavailable(
            "pocketsphinx is not installed", "pip install 'privox-dht[embedded]'"
        )

    async def _arguments(self) -> Sequence[str]:
        if self._model not in ("", MODEL):
            raise errors.EngineUnavailable(
                f"pocketsphinx has no model {self._model!r}", f"use pocketsphinx or {MODEL}"
            )
        return ()

    async def _self_test(self, hello: Mapping[str, Any]) -> speech.EngineInfo:
        babble = benchmark.babble(SELF_TEST_SECONDS, self.rate)
        # The first run is slower
        await benchmark.transcribing_speed(self, babble[: self.rate // 4])
        return replace(self.info, speed=await benchmark.transcribing_speed(self, babble))

    async def transcribe_recording(
        self, recording: Recording, request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        self._check_request(request)
        message = {"samples": recording.count}
        async with aclosing(self._ask(message, [recording.file], recording.seconds)) as answer:
            async for head, _ in answer:
                yield _segment(head["words"], head["at"])

    def _check_request(self, request: speech.TranscriptionRequest) -> None:
        if request.translate:
            raise errors.RequestRejected("pocketsphinx does not translate", code="not_supported")
        if model_names.for_engine(request.model, self.name) not in ("", MODEL):
            raise not_found(self.name, "model", request.model, [MODEL])
        if request.language and not languages.nearest(request.language, (LANGUAGE,)):
            raise not_found(self.name, "language", request.language, [LANGUAGE])


def _segment(words: list[tuple[str, float, float, float]], offset: float) -> speech.Segment:
    placed = tuple(
        speech.Word(text, round(offset + start, 2), round(offset + end, 2), round(probability, 3))
        for text, start, end, probability in words
    )
    text = " ".join(word.text for word in placed)
    return speech.Segment(text, placed[0].start, placed[-1].end, placed, LANGUAGE)
