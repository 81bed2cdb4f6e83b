"""Which format a result has: what `--format` says, or what the output's name says. Pure.

speech.mp3            mp3            a name that ends in nothing known is refused,
talk.srt              srt            and so is one that contradicts --format
-, /dev/null, talk    the default    a name without an ending says nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from privox_dht.errors import ConfigError
from privox_dht.speech import STT, TTS

# Endings of names and the format that each stands for. The first of a format's is the one that
# new files get.
AUDIO = {
    "wav": "wav", "wave": "wav", "mp3": "mp3", "flac": "flac", "opus": "opus", "ogg": "opus",
    "oga": "opus", "aac": "aac", "m4a": "m4a", "mp4": "m4a", "pcm": "pcm", "raw": "pcm",
}  # fmt: skip
TEXT = {"txt": "text", "text": "text", "json": "json", "srt": "srt", "vtt": "vtt", "tsv": "tsv"}
ENDINGS = {STT: TEXT, TTS: AUDIO}
DEFAULTS = {STT: "text", TTS: "wav"}


def formats_of(service: str) -> tuple[str, ...]:
    """The formats of a service, the default first."""
    return tuple(dict.fromkeys((DEFAULTS[service], *ENDINGS[service].values())))


def format_for(service: str, output: str, asked: str) -> str:
    """The format of what goes to `output`.

    Args:
        output: the name of a file; "" or "-" for stdout.
        asked: what `--format` says, a format or an ending of one; "" if nothing.

    Raises:
        ConfigError: there is no such format, or the name says none, or says another one.
    """
    endings, known = ENDINGS[service], ", ".join(formats_of(service))
    if asked and asked not in endings and asked not in endings.values():
        raise ConfigError(f"--format {asked} is not for {service}; there is: {known}")
    format = endings.get(asked, asked)
    ending = PurePath(output).suffix.lower().lstrip(".")
    named = endings.get(ending, "")
    if ending and not named and not format:
        raise ConfigError(
            f"the name {output} does not say which format it is to have; let it end in"
            f" {_listed(endings)}, or say --format"
        )
    if named and format and named != format:
        raise ConfigError(
            f"--format {asked} contradicts the name {output}, which says {named}: change one of"
            " them"
        )
    other = ENDINGS[TTS if service == STT else STT]
    if ending in other and not named:
        raise ConfigError(
            f"--service {service} cannot write {output}, since .{ending} files hold"
            f" {'sound' if service == STT else 'text'}; let it end in {_listed(endings)}"
        )
    return format or named or DEFAULTS[service]


def ending_of(service: str, format: str) -> str:
    """How the names of files in this format end."""
    return next(ending for ending, name in ENDINGS[service].items() if name == format)


def _listed(endings: Mapping[str, str]) -> str:
    first = [next(e for e, name in endings.items() if name == f) for f in dict.fromkeys(
        endings.values())]  # fmt: skip
    return ", ".join(f".{ending}" for ending in first)
