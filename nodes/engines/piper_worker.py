"""piper in a process of its own, a thread for each job.

    python -m nodes.engines.piper_worker VOICE.onnx DEVICE FOLDER

    parent  -> {"text", "speaker", "speed", "from": sentences}     from: how many to skip
    worker  -> {"rate", "at": sentences} + 16-bit PCM               for each sentence
    worker  -> {"done": true}

FOLDER is for downloads that some languages need. Only one job at a time may use piper, since its
copy of espeak-ng has global state.
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
WARM_UP_TEXT = "Good day."  # spoken outside the sandbox: piper loads files at its first use
MEMORY = 2048 * MIB  # beyond the loaded voice; the longest sentence takes 200 MiB
FILES = 256  # open at a time: one for each job, and a dictionary
PROVIDERS = {CPU: "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def data_folder() -> Path:
    """The folder of espeak-ng's dictionaries, which it reads while it speaks."""
    package = importlib.util.find_spec("piper")
    assert package is not None and package.submodule_search_locations  # `check` found it
    return Path(package.submodule_search_locations[0], "espeak-ng-data")


def load() -> tuple[dict[str, Any], worker_main.Handler]:
    file, device, folder = sys.argv[1:]
    name, downloads = str(Path(file).resolve()), Path(folder).resolve()
    try:
        import onnxruntime
        from piper import PiperVoice
        from piper.config import PiperConfig, SynthesisConfig
    except ImportError as exc:  # a package that it needs is not installed
        raise errors.EngineUnavailable(
            f"piper cannot be imported ({exc})", f"{INSTALL} --upgrade"
        ) from exc
    with _reporting_errors_of(name):  # whatever piper raises for an incomplete file
        config = PiperConfig.from_dict(json.loads(Path(f"{name}.json").read_bytes()))
    os.chdir(data_folder())  # the sandbox's user may have no access to the folders above
    # piper-tts 1.3 downloads nothing, and has no such argument
    has_folder = "download_dir" in inspect.signature(PiperVoice).parameters
    where: dict[str, Any] = {"download_dir": downloads} if has_folder else {}
    voice: Any = PiperVoice(session=None, config=config, espeak_data_dir=Path(), **where)
    voice.phonemize(WARM_UP_TEXT)
    if device == CPU:  # the files that GPU drivers read are not known
        sandbox.confine([Path(name), data_folder()])
    with _reporting_errors_of(name):  # whatever onnxruntime raises for a broken model
        options = onnxruntime.SessionOptions()
        if (cores := usable_cores()) < (os.cpu_count() or 1):  # else it uses all
            options.intra_op_num_threads = cores
        voice.session = onnxruntime.InferenceSession(
            name, sess_options=options, providers=[PROVIDERS[device]]
        )
        for _ in voice.synthesize(WARM_UP_TEXT):
            pass
    lock = PriorityLock()

    def answer(request: dict[str, Any], _payload: bytes, link: Link) -> None:
        synthesis = SynthesisConfig(
            speaker_id=request["speaker"], length_scale=config.length_scale / request["speed"]
        )
        seconds = len(request["text"]) * limits.SPEECH_PER_CHARACTER
        short = seconds <= limits.SHORT_JOB_SECONDS
        for at, chunk in lock.each(link, _spoken(voice, request, synthesis), short=short):
            link.send({"rate": chunk.sample_rate, "at": at}, chunk.audio_int16_bytes)

    hello = {
        "language": config.espeak_voice,
        "speakers": config.speaker_id_map,
        "count": config.num_speakers,
    }
    return hello, answer


@contextmanager
def _reporting_errors_of(voice: str) -> Iterator[None]:
    """Report an error of whatever kind as one of the voice's files."""
    try:
        yield
    except Exception as exc:
        raise errors.EngineUnavailable(
            f"the voice {voice} cannot be loaded ({type(exc).__name__})", "download it again"
        ) from exc


def _spoken(voice: Any, request: dict[str, Any], synthesis: Any) -> Generator[tuple[int, Any]]:
    """The number (from 1) and the sound of each sentence that is not skipped."""
    for at, chunk in enumerate(voice.synthesize(request["text"], synthesis), 1):
        if at > request.get("from", 0):
            yield at, chunk


def main(load: worker_main.Load = load) -> None:
    _, _, device, _ = sys.argv
    gpu = device != CPU
    confinement = Sandbox(
        memory=0 if gpu else MEMORY,
        seconds=0,
        files=FILES,
        threads=True,
        readable=(data_folder(),),
        gpu=gpu,
    )
    worker_main.serve(load, confinement, worker_main.THREADS)


if __name__ == "__main__":
    main()
