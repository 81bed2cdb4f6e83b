"""Engines, found by name.

    "stt/cpu"                          the best engine that is installed and can be started
    "stt/cpu/pocketsphinx"             this one
    "tts/cpu/piper:en_US-lessac-low"   this one, with this model or voice
    "stt/gpu/http://10.0.0.7:8000"     a remote server with OpenAI's audio API
    "stt/cpu/wyoming://10.0.0.7:10300" a remote server with Home Assistant's protocol, Wyoming
    "stt/cpu/10.0.0.7:8888"            a remote server with SOVA's API

Any installed package can add an engine: it names a class in the entry point group
`privox_dht.transcribers` or `privox_dht.speakers` (see docs/engines.md). The class has the members
of `EngineClass`, and its objects those of a protocol in `privox_dht.speech`.
"""

import importlib
import importlib.metadata
import re
from pathlib import Path
from typing import Protocol, cast

from privox_dht import errors, speech

GROUPS = {speech.STT: "privox_dht.transcribers", speech.TTS: "privox_dht.speakers"}
NEVER_CHOSEN = 1000  # engines of this rank and above are used only if they are named
CPU_ADVICE = "pip install 'privox-dht[embedded]'"
GPU_ADVICE = {
    speech.STT: "lend stt/cpu; for a GPU: its driver, CUDA 12 and 'privox-dht[whisper]'",
    speech.TTS: "lend tts/cpu; for a GPU: its driver, onnxruntime-gpu and 'privox-dht[piper]'",
}
# Modules for remote servers, by the scheme of their address; one without a scheme is SOVA's
SCHEMES = {"http": "remote_openai", "https": "remote_openai", "wyoming": "remote_wyoming"}
SOVA = "remote_sova"
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):[0-9]{1,5}")  # host:port


class EngineClass(Protocol):
    """The class of an engine: enough to choose one without loading it."""

    service: str  # "stt" or "tts"
    name: str  # as in "service/backend/name"
    rank: int  # the lowest is chosen where no engine is named; never NEVER_CHOSEN

    def __call__(
        self, *, model: str = "", backend: str = "cpu", cache: Path | None = None
    ) -> speech.Engine:
        """An engine that is not loaded yet. `cache` is where models are downloaded to."""

    def check(self, backend: str) -> None:
        """Check, without loading anything, that it could work on this machine.

        Raises:
            EngineUnavailable: a package is missing, there is no GPU, ...
        """


def known(service: str) -> list[str]:
    """The names of all engines of a service, usable on this machine or not."""
    entries = importlib.metadata.entry_points(group=_group(service))
    return sorted({entry.name for entry in entries})


def find(service: str, name: str) -> EngineClass:
    """The class of an engine.

    Raises:
        ConfigError: there is no engine of that name.
        ImportError, AttributeError: its module cannot be imported, or has no such class.
    """
    for entry in importlib.metadata.entry_points(group=_group(service), name=name):
        return cast(EngineClass, entry.load())
    raise errors.ConfigError(
        f"there is no engine {name!r} for {service}; there are {', '.join(known(service))}"
    )


def make_engines(
    service: str, backend: str, engine: str = "", *, cache: Path | None = None
) -> list[speech.Engine]:
    """The engines that "service/backend/engine" may mean, best first, none started yet: one if
    `engine` names one, else all that pass their `check`. Whether one really works (its model can
    be downloaded, for example) shows when it starts.

    Raises:
        ConfigError: there is no such service, backend or engine.
        EngineUnavailable: it cannot work on this machine; says why, and how to fix it.
    """
    if backend not in speech.BACKENDS:
        backends = " and ".join(speech.BACKENDS)
        raise errors.ConfigError(f"there is no backend {backend!r}; there are {backends}")
    service = speech.ALIASES.get(service, service)
    name, _, model = engine.partition(":")
    if not engine:
        return [make(backend=backend, cache=cache) for make in _usable(service, backend)]
    if name in SCHEMES or (ADDRESS.fullmatch(engine) and name not in known(service)):
        module = importlib.import_module(f"nodes.engines.{SCHEMES.get(name, SOVA)}")
        url = engine if name in SCHEMES else f"http://{engine}"
        remote: speech.Engine = module.ENGINES[service](url, backend)
        return [remote]
    engine_class = _able(service, name, backend)
    return [engine_class(model=model, backend=backend, cache=cache)]


def _able(service: str, name: str, backend: str) -> EngineClass:
    """The class of an engine that could work on this machine.

    Raises:
        ConfigError: there is no engine of that name.
        EngineUnavailable: see `EngineClass.check`; or it, or a library of it, cannot be imported.
    """
    try:
        engine_class = find(service, name)
        engine_class.check(backend)
    except (ImportError, AttributeError) as exc:
        raise errors.EngineUnavailable(
            f"the engine {name} cannot be imported ({exc})", f"reinstall what brings {name}"
        ) from exc
    return engine_class


def _usable(service: str, backend: str) -> list[EngineClass]:
    """The engines that could work on this machine, by rank."""
    usable, reasons = [], []
    for name in known(service):
        try:
            usable.append(_able(service, name, backend))
        except errors.EngineUnavailable as exc:
            reasons.append(exc.why if name in exc.why else f"{name}: {exc.why}")
    usable = [engine_class for engine_class in usable if engine_class.rank < NEVER_CHOSEN]
    if not usable:
        why = f"no engine can do {service}/{backend} here ({'; '.join(reasons) or 'none is known'})"
        raise errors.EngineUnavailable(why, CPU_ADVICE if backend == "cpu" else GPU_ADVICE[service])
    return sorted(usable, key=lambda engine_class: engine_class.rank)


def _group(service: str) -> str:
    try:
        return GROUPS[service]
    except KeyError:
        known_services = " and ".join(GROUPS)
        raise errors.ConfigError(
            f"there is no service {service!r}; there are {known_services}"
        ) from None
