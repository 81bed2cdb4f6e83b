"""piper in a process of its own, a thread for each job.

    python -m nodes.engines.piper_worker VOICE.onnx DEVICE FOLDER

    parent  -> {"text", "speaker", "speed", "from": sentences}     from: spoken before
    worker  -> {"rate", "at": sentences} + 16-bit PCM               a sentence; ...
    worker  -> {"done": true}

FOLDER is where the software for some languages keeps what it downloads while it loads. One job at a
time is in piper: its phonemes come from a copy of espeak-ng inside it that is one big global
variable.
"""

import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodes.cores import usable_cores
from nodes.engines import sandbox, worker_main
from nodes.engines.link import Link
from nodes.engines.priority_lock import PriorityLock
from nodes.engines.sandbox import MIB, Sandbox
from privox_dht import errors, limits

CPU = "cpu"
INSTALL = "pip install 'privox-dht[piper]'"
WORDS = "Good day."  # spoken once outside the sandbox, so that what loads at first use is loaded
MEMORY = 2048 * MIB  # bytes above the loaded voice; a sentence of the longest takes 200
FILES = 256  # open at a time: one for each job, and a dictionary
PROVIDERS = {CPU: "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def data_folder() -> Path:
    """Where the phonemes' dictionaries are: read while it speaks, as languages change in a text."""
    package = importlib.util.find_spec("piper")
    assert package is not None and package.submodule_search_locations  # it was looked for before
    return Path(package.submodule_search_locations[0], "espeak-ng-data")


def load() -> tuple[dict[str, Any], worker_main.Handler]:
    file, device, folder = sys.argv[1:]
    name, downloads = str(Path(file).resolve()), Path(folder).resolve()
    try:
        import onnxruntime
        from piper import PiperVoice
        from piper.config import PiperConfig, SynthesisConfig
    except ImportError as exc:  # it is there, and something that it needs is not
        raise errors.EngineUnavailable(
            f"piper cannot be imported ({exc})", f"{INSTALL} --upgrade"
        ) from exc
    with _blamed_on(name):  # whatever piper says of a file that lacks something
        config = PiperConfig.from_dict(json.loads(Path(f"{name}.json").read_bytes()))
    os.chdir(data_folder())  # the sandbox's user may not look into what is above it
    # piper-tts 1.3 downloads nothing, and has no such argument
    has_folder = "download_dir" in inspect.signature(PiperVoice).parameters
    where: dict[str, Any] = {"download_dir": downloads} if has_folder else {}
    voice: Any = PiperVoice(session=None, config=config, espeak_data_dir=Path(), **where)
    voice.phonemize(WORDS)
    if device == CPU:  # what the drivers of a GPU read, nobody lists
        sandbox.confine([Path(name), data_folder()])
    with _blamed_on(name):  # whatever onnxruntime says of a broken model, or one of something else
        options = onnxruntime.SessionOptions()
        if (cores := usable_cores()) < (os.cpu_count() or 1):  # else it would take all
            options.intra_op_num_threads = cores
        voice.session = onnxruntime.InferenceSession(
            name, sess_options=options, providers=[PROVIDERS[device]]
        )
        for _ in voice.synthesize(WORDS):
            pass
    lock = PriorityLock()

    def answer(asked: dict[str, Any], _payload: bytes, link: Link) -> None:
        how = SynthesisConfig(
            speaker_id=asked["speaker"], length_scale=config.length_scale / asked["speed"]
        )
        seconds = len(asked["text"]) * limits.SPEECH_PER_CHARACTER
        short = seconds <= limits.SHORT_JOB_SECONDS
        for at, chunk in lock.each(link, _spoken(voice, asked, how), short=short):
            link.send({"rate": chunk.sample_rate, "at": at}, chunk.audio_int16_bytes)

    hello = {
        "language": config.espeak_voice,
        "speakers": config.speaker_id_map,
        "count": config.num_speakers,
    }
    return hello, answer


@contextmanager
def _blamed_on(voice: str) -> Iterator[None]:
    """What is raised while its files are read is their fault."""
    try:
        yield
    except Exception as exc:
        raise errors.EngineUnavailable(
            f"the voice {voice} cannot be loaded ({type(exc).__name__})", "download it again"
        ) from exc


def _spoken(voice: Any, asked: dict[str, Any], how: Any) -> Generator[tuple[int, Any]]:
    """Each sentence that was not spoken before, and how many there are with it."""
    for at, chunk in enumerate(voice.synthesize(asked["text"], how), 1):
        if at > asked.get("from", 0):
            yield at, chunk


def main(load: worker_main.Load = load) -> None:
    _, _, device, _ = sys.argv
    gpu = device != CPU
    around = Sandbox(
        memory=0 if gpu else MEMORY,
        seconds=0,
        files=FILES,
        threads=True,
        readable=(data_folder(),),
        gpu=gpu,
    )
    worker_main.serve(load, around, worker_main.THREADS)


if __name__ == "__main__":
    main()
