"""The downloaded models and voices on this machine: listed, downloaded, removed.

"faster-whisper:small"            a model, by any name that `--services` takes
"piper:en_US-lessac-medium"       a voice
"small", "en_US-lessac-medium"    the same: the form of the name tells that it is a voice
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from nodes.engines import piper, whisper_models
from privox_dht.errors import ConfigError, EngineUnavailable

WHISPER, PIPER = "faster-whisper", "piper"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One downloaded model."""

    engine: str
    model: str
    size: int  # bytes
    folder: str

    def __str__(self) -> str:
        return f"{self.engine}:{self.model}"


def stored(cache: Path | None) -> list[StoredModel]:
    """The downloaded models, by engine and name."""
    models = [
        StoredModel(WHISPER, name, size, str(folder))
        for name, size, folder in whisper_models.cached(cache)
    ]
    voices = [
        StoredModel(PIPER, file.stem, sum(part.stat().st_size for part in piper.files_of(file)),
               str(file.parent))
        for file in piper.cached(cache)
    ]  # fmt: skip
    return sorted([*models, *voices], key=str)


def fetch(name: str, cache: Path | None) -> StoredModel:
    """Download a model if it is not here; its files are checked as an engine's start checks them.

    Raises:
        EngineUnavailable: it cannot be downloaded, or the engine is not installed.
        ConfigError: the name is not one of a model that can be downloaded.
    """
    engine, model = named(name)
    if engine == PIPER:
        file = piper.voice_file(model, (cache or piper.CACHE).expanduser())
        wanted = file.stem
    else:
        if importlib.util.find_spec("faster_whisper") is None:
            raise EngineUnavailable("faster-whisper is not installed", whisper_models.INSTALL)
        whisper_models.model_folder(model, cache)
        wanted = whisper_models.name_in_cache(model)
    return next(one for one in stored(cache) if (one.engine, one.model) == (engine, wanted))


def remove(name: str, cache: Path | None) -> StoredModel:
    """Delete a model from this machine.

    Raises:
        ConfigError: it is not here, and the message lists those that are; or it cannot be deleted.
    """
    engine, model = named(name)
    wanted = model if engine == PIPER else whisper_models.name_in_cache(model)
    here = stored(cache)
    for one in here:
        if (one.engine, one.model) == (engine, wanted):
            try:
                if engine == PIPER:
                    for file in piper.files_of(Path(one.folder, f"{model}.onnx")):
                        file.unlink()
                else:
                    whisper_models.remove(wanted, cache)
            except OSError as exc:
                raise ConfigError(f"cannot remove {one} from {one.folder}: {exc.strerror}") from exc
            if one in stored(cache):  # the hub's library only logs that
                raise ConfigError(f"cannot remove {one} from {one.folder}: whose is it?")
            return one
    there_is = ", ".join(map(str, here)) or "none"
    raise ConfigError(f"{engine}:{wanted} is not on this machine; there is {there_is}")


def named(name: str) -> tuple[str, str]:
    """The engine and the model in `name`.

    Raises:
        ConfigError: it is a path, or its engine downloads no models.
    """
    engine, colon, model = name.partition(":")
    if not colon:
        engine, model = (PIPER if piper.NAME.fullmatch(name) else WHISPER), name
    if engine not in (WHISPER, PIPER):
        raise ConfigError(f"{name!r}: only {WHISPER} and {PIPER} download models")
    if whisper_models.is_path(model) or not model:
        raise ConfigError(f"{name!r} is not the name of a model that can be downloaded")
    return engine, model
