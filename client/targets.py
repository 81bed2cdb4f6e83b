"""Where each transcript goes.

--file a.ogg                                     stdout
--file a.ogg --output a.srt                      a.srt
--file a.ogg --output subs/ --format srt         subs/a.srt
--file a.ogg --file b.ogg --output subs/ ...     subs/a.srt, subs/b.srt
--file a.ogg --file b.ogg --json                 no files: one JSON object a line
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.files import STDIO
from client.formats import ending_of, format_for
from privox_dht.errors import ConfigError
from privox_dht.speech import STT


@dataclass(frozen=True, slots=True)
class Target:
    """One recording and where its transcript goes."""

    recording: str  # a path, or "-" for stdin
    output: str  # a path, "-" for stdout, "" for nowhere: it is in the JSON
    format: str


def targets_of(
    recordings: Sequence[str], output: str, asked: str, *, as_json: bool
) -> list[Target]:
    """What becomes of each recording.

    Args:
        recordings: paths, or "-" for stdin.
        output: what `--output` says; "" if nothing.
        asked: what `--format` says; "" if nothing.
        as_json: stdout takes JSON.

    Raises:
        ConfigError: the name says no format; two transcripts would go to one file; several go to
            none.
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
    _check_apart(targets)
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


def _check_apart(targets: Sequence[Target]) -> None:
    if sum(target.recording == STDIO for target in targets) > 1:
        raise ConfigError("--file - can be said once: there is one stdin")
    taken: dict[str, str] = {}
    for target in targets:
        if target.output in ("", STDIO):
            continue
        if other := taken.get(target.output):
            raise ConfigError(
                f"the transcripts of {other} and {target.recording} would both go to"
                f" {target.output}: rename one of them, or ask for them apart"
            )
        taken[target.output] = target.recording
