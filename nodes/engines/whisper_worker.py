"""faster-whisper in a process of its own, a thread for each job.

    python -m nodes.engines.whisper_worker FOLDER DEVICE COMPUTE_TYPE BATCH

    parent  -> {"samples": count, "options": {...}, "block": seconds, "from": seconds}
               + the samples' file (see `privox_dht.recording`), at 16 kHz
               options: of faster-whisper's `transcribe`; from: seconds to skip (default 0)
    worker  -> {"text", "start", "end", "language", "at": end,
                "words": [[text, start, end, probability], ...]}        for each segment
    worker  -> {"done": true}

All times are from the start of the whole recording. It is transcribed in blocks that are cut where
it is quiet, so that memory does not grow with its length. Only one job at a time uses the model.
With a BATCH above 1, so many windows are transcribed at once: faster, but sometimes words are lost.
"""

import importlib
import sys
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nodes.cores import usable_cores
from nodes.engines import benchmark, pauses, sandbox, worker_main
from nodes.engines.link import Link
from nodes.engines.priority_lock import PriorityLock
from nodes.engines.sandbox import MIB, Sandbox
from nodes.engines.whisper_models import INSTALL
from privox_dht import errors, limits
from privox_dht.recording import Recording

RATE = 16_000  # Hz, what Whisper was trained on
CPU = "cpu"
SELF_TEST_SECONDS = 30  # one window of Whisper
SELF_TEST_TOKENS = 80  # of half a minute of ordinary speech
SELF_TEST_LANGUAGE = "en"
# Bytes beyond the loaded model; large-v3 needs 1 GiB to search for words
MEMORY = 4096 * MIB
IMPORTED_LATE = ("numpy.fft", "numpy.ma")  # by numpy, at their first use
THREADS = 4  # for one job; more gain little
FILES = 256  # open at a time: two for each job


def load() -> tuple[dict[str, Any], worker_main.Handler]:
    folder, device, compute_type, batch = sys.argv[1:]
    try:
        from faster_whisper import BatchedInferencePipeline, WhisperModel
        from faster_whisper.vad import get_vad_model
    except ImportError as exc:  # a package that it needs is not installed
        raise errors.EngineUnavailable(
            f"faster-whisper cannot be imported ({exc})", f"{INSTALL} --upgrade"
        ) from exc
    get_vad_model()  # its file cannot be read from within the sandbox
    for module in IMPORTED_LATE:
        importlib.import_module(module)
    if device == CPU:  # the files that GPU drivers read are not known
        sandbox.confine([Path(folder), *(file.resolve() for file in Path(folder).iterdir())])
    try:
        model = WhisperModel(
            folder, device=device, compute_type=compute_type,
            cpu_threads=min(THREADS, usable_cores()),
        )  # fmt: skip
    except Exception as exc:  # whatever CTranslate2 and the tokenizer raise for broken files
        raise errors.EngineUnavailable(
            f"the model in {folder} cannot be loaded ({exc})", "download or convert it again"
        ) from exc
    lock = PriorityLock()
    transcribe = model.transcribe
    if int(batch) > 1:
        pipeline = BatchedInferencePipeline(model)
        transcribe = partial(pipeline.transcribe, batch_size=int(batch), without_timestamps=False)

    def answer(request: dict[str, Any], _payload: bytes, link: Link) -> None:
        [file] = link.files
        recording = Recording(RATE, file, request["samples"])
        short = recording.seconds <= limits.SHORT_JOB_SECONDS
        for segment in lock.each(link, _transcribed(transcribe, recording, request), short=short):
            link.send(segment)

    hello = {
        "languages": list(model.supported_languages),
        "multilingual": model.model.is_multilingual,
        "speed": _speed(model),
    }
    return hello, answer


def _speed(model: Any) -> float:
    """Seconds of audio per second of work; this also warms the model."""
    babble = benchmark.babble(SELF_TEST_SECONDS, RATE)
    began = time.monotonic()
    segments, _ = model.transcribe(
        babble, language=SELF_TEST_LANGUAGE, temperature=0.0, max_new_tokens=SELF_TEST_TOKENS
    )
    for _ in segments:
        pass
    return round(SELF_TEST_SECONDS / max(time.monotonic() - began, 1e-6), 1)


def _transcribed(
    transcribe: Callable[..., Any], recording: Recording, request: dict[str, Any]
) -> Generator[dict[str, Any]]:
    options = request["options"]
    begin = int(request.get("from", 0.0) * RATE)
    for start, end in _blocks(recording, begin, request["block"]):
        segments, info = transcribe(recording.part(start, end), **options)
        for segment in segments:
            options["language"] = info.language  # detected once; for all later blocks
            yield _as_dict(segment, start / RATE, info.language)


def _blocks(recording: Recording, start: int, longest: float) -> Iterator[pauses.Span]:
    """The rest of a recording in blocks that are cut where it is quietest."""
    while start < recording.count:
        ahead = recording.part(start, start + int((longest + pauses.PAUSE) * RATE))
        _, length = pauses.blocks(ahead, RATE, longest)[0]
        yield start, start + length
        start += length


def _as_dict(segment: Any, offset: float, language: str) -> dict[str, Any]:
    """faster-whisper's segment as JSON values, with times from the recording's start."""

    def shifted(seconds: float) -> float:
        return round(offset + float(seconds), 2)

    return {
        "text": segment.text.strip(),
        "start": shifted(segment.start),
        "end": shifted(segment.end),
        "at": shifted(segment.end),
        "language": language,
        "words": [
            (w.word.strip(), shifted(w.start), shifted(w.end), round(float(w.probability), 3))
            for w in segment.words or ()
        ],
    }


def main(load: worker_main.Load = load) -> None:
    _, _, device, *_ = sys.argv
    gpu = device != CPU
    confinement = Sandbox(
        memory=0 if gpu else MEMORY,
        seconds=0,
        files=FILES,
        threads=True,
        machine_code=True,
        gpu=gpu,
    )
    worker_main.serve(load, confinement, worker_main.THREADS)


if __name__ == "__main__":
    main()
