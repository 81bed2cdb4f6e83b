"""The services of a node as options: `service/backend[/engine]`.

stt/cpu                            the best engine that is installed
tts/cpu/espeak-ng                  this engine
stt/gpu/faster-whisper:small.en    this engine with this model (tts: this voice)
stt/cpu/http://192.0.2.7:8000      a remote server with OpenAI's audio API
tts/cpu/192.0.2.7:8899             a remote server with SOVA's API
"""

from collections.abc import Iterable
from dataclasses import dataclass

from privox_dht.addresses import without_key
from privox_dht.errors import ConfigError
from privox_dht.speech import ALIASES, BACKENDS, SERVICES

FORM = "service/backend[/engine[:model]], such as stt/cpu or tts/gpu/piper:en_US-lessac-medium"


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service to lend."""

    service: str  # "stt" or "tts"
    backend: str  # "cpu" or "gpu"
    engine: str = ""  # an engine, "engine:model", or the address of a server; "": the best there is

    def __str__(self) -> str:
        return "/".join(filter(None, (self.service, self.backend, without_key(self.engine))))


def parse_service(text: str) -> ServiceSpec:
    """The spec in `text`.

    Raises:
        ConfigError: it does not have that form.
    """
    shown = without_key(text)
    service, _, rest = text.strip().partition("/")
    backend, _, engine = rest.partition("/")
    service = ALIASES.get(service, service)
    if service not in SERVICES:
        raise ConfigError(
            f"{shown!r}: {service!r} is no service; there is {' and '.join(SERVICES)}"
        )
    if backend not in BACKENDS:
        raise ConfigError(f"{shown!r} is not {FORM}: the backend is {' or '.join(BACKENDS)}")
    return ServiceSpec(service, backend, engine)


def parse_services(texts: Iterable[str]) -> list[ServiceSpec]:
    """Several specs, each once, in order."""
    return list(dict.fromkeys(parse_service(text) for text in texts))
