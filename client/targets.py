"""Where each result is written, and in which format.

--file a.ogg                                     stdout
--file a.ogg --output a.srt                      a.srt
--file a.ogg --output subs/ --format srt         subs/a.srt
--file a.ogg --file b.ogg --output subs/ ...     subs/a.srt, subs/b.srt
--file a.ogg --file b.ogg --json                 no files: one JSON object a line

The format is that of `--format`, or of the ending of the output's name:

speech.mp3            mp3            an unknown ending is rejected,
talk.srt              srt            and so is one that contradicts --format
-, /dev/null, talk    the default    no ending
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from client.files import STDIO
from privox_dht.errors import ConfigError
from privox_dht.speech import STT, TTS

# The format of each ending of a file name. New files get the first ending of their format.
AUDIO = {
    "wav": "wav", "wave": "wav", "mp3": "mp3", "flac": "flac", "opus": "opus", "ogg": "opus",
    "oga": "opus", "aac": "aac", "m4a": "m4a", "mp4": "m4a", "pcm": "pcm", "raw": "pcm",
}  # fmt: skip
TEXT = {"txt": "text", "text": "text", "json": "json", "srt": "srt", "vtt": "vtt", "tsv": "tsv"}
PART = ".part"
ENDINGS = {STT: TEXT, TTS: AUDIO}
DEFAULTS = {STT: "text", TTS: "wav"}


def formats_of(service: str) -> tuple[str, ...]:
    """The formats of a service, the default first."""
    return tuple(dict.fromkeys((DEFAULTS[service], *ENDINGS[service].values())))


def format_for(service: str, output: str, asked: str) -> str:
    """The format of the result that is written to `output`.

    Args:
        output: the name of a file; "" or "-" for stdout.
        asked: the value of `--format`, a format or its ending; "": not given.

    Raises:
        ConfigError: there is no such format, or the name has an unknown or contrary ending.
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
            f" {_endings_of(service)}, or say --format"
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
            f" {'sound' if service == STT else 'text'}; let it end in {_endings_of(service)}"
        )
    return format or named or DEFAULTS[service]


def ending_of(service: str, format: str) -> str:
    """The ending of the names of files in this format."""
    return next(ending for ending, name in ENDINGS[service].items() if name == format)


def _endings_of(service: str) -> str:
    return ", ".join(f".{ending_of(service, format)}" for format in formats_of(service))


@dataclass(frozen=True, slots=True)
class Target:
    """One recording, and where its transcript is written."""

    recording: str  # a path, or "-" for stdin
    output: str  # a path, "-" for stdout, "": only in the JSON
    format: str

    @property
    def part(self) -> Path | None:
        """The resume file of an unfinished transcript; None: the output is not a file."""
        is_special = os.path.exists(self.output) and not os.path.isfile(self.output)
        if is_special or self.output in ("", STDIO):
            return None
        return Path(self.output + PART)


def targets_of(
    recordings: Sequence[str], output: str, asked: str, *, as_json: bool
) -> list[Target]:
    """The target of each recording.

    Args:
        recordings: paths, or "-" for stdin.
        output: the value of `--output`; "": not given.
        asked: the value of `--format`; "": not given.
        as_json: JSON is printed on stdout.

    Raises:
        ConfigError: the format is unknown; two transcripts would go to one file; several
            recordings have no folder.
    """
    if _is_folder(output):
        targets = _in_folder(recordings, output, format_for(STT, "", asked))
    elif len(recordings) == 1:
        where = output or ("" if as_json else STDIO)
        targets = [Target(recordings[0], where, format_for(STT, output, asked))]
    elif as_json and not output:
        targets = [Target(name, "", format_for(STT, "", asked)) for name in recordings]
    else:
        raise ConfigError(
            f"{len(recordings)} recordings need a folder for their transcripts: --output FOLDER/"
            " (or --json, which prints one object a line)"
        )
    _check_distinct(targets)
    return targets


def _is_folder(output: str) -> bool:
    return output.endswith(os.sep) or os.path.isdir(output)


def _in_folder(recordings: Sequence[str], folder: str, format: str) -> list[Target]:
    ending = ending_of(STT, format)
    stems = ["stdin" if name == STDIO else Path(name).stem for name in recordings]
    return [
        Target(name, str(Path(folder, f"{stem}.{ending}")), format)
        for name, stem in zip(recordings, stems, strict=True)
    ]


def _check_distinct(targets: Sequence[Target]) -> None:
    if sum(target.recording == STDIO for target in targets) > 1:
        raise ConfigError("--file - can be given only once: there is one stdin")
    taken: dict[str, str] = {}
    for target in targets:
        if target.output in ("", STDIO):
            continue
        if other := taken.get(target.output):
            raise ConfigError(
                f"the transcripts of {other} and {target.recording} would both go to"
                f" {target.output}: rename one of them, or transcribe them in two runs"
            )
        taken[target.output] = target.recording
