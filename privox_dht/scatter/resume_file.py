"""The pieces of a long recording that are done, so that an interrupted run can be resumed.

a piece is done    a line of JSON: a hash of the piece, and its segments
the next run       cuts the same sound into the same pieces; those with a line are not sent again
all are done       the file is removed

A line counts only for the same sound at the same place with the same options. Lines that cannot be
read, such as one that a power cut broke off, are ignored.
"""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any, TextIO

from privox_dht.atomic_file import SECRET
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.scatter.cut import Piece
from privox_dht.speech import Segment, Word

log = logging.getLogger("privox.client")


class ResumeFile:
    """The pieces that earlier runs did, and those that this one does.

    Args:
        path: the file, which need not exist yet.
        options: of the transcription.
    """

    def __init__(self, path: Path, options: TranscriptionOptions) -> None:
        self._path = path
        self._options = repr((
            options.backend, options.model, options.language, options.translate, options.words,
            options.prompt, options.temperature, options.hotwords,
        )).encode()  # fmt: skip
        self._transcribed = dict(_read(path))
        self._writable = True

    def __repr__(self) -> str:
        return f"<ResumeFile {self._path}, {len(self._transcribed)} pieces>"

    def find(self, piece: Piece) -> Sequence[Segment] | None:
        """The segments of `piece`; None: it is not done yet."""
        return self._transcribed.get(self._name(piece))

    def add(self, piece: Piece, segments: Sequence[Segment]) -> None:
        """Keep the segments of a piece. If that fails, a warning is logged once."""
        name = self._name(piece)
        if self._transcribed.get(name) == segments or not self._writable:
            return
        self._transcribed[name] = segments
        line = json.dumps({"piece": name, "segments": [astuple(segment) for segment in segments]})
        try:
            with _opened(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
                file.write(f"\n{line}")  # on a line of its own, whatever the last one is
        except OSError as exc:
            self._writable = False
            log.warning(
                "the pieces that are done cannot be kept in %s: %s", self._path, exc.strerror
            )

    def remove(self) -> None:
        """All pieces are done."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _name(self, piece: Piece) -> str:
        place = repr((piece.first, piece.joint_before, piece.joint_after)).encode()
        name = hashlib.sha256(b"\0".join([self._options, place, b""]))
        name.update(piece.samples.tobytes())
        return name.hexdigest()


def _read(path: Path) -> Iterable[tuple[str, Sequence[Segment]]]:
    try:
        with _opened(path, os.O_RDONLY) as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in filter(None, lines):
        with suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            yield str(entry["piece"]), tuple(map(_segment, entry["segments"]))


def _opened(path: Path, flags: int) -> TextIO:
    """Open a file that belongs to this user; in a shared folder somebody else may have made it.

    Raises:
        OSError: it does not exist, or belongs to another user.
    """
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, SECRET)
    file = os.fdopen(
        number, "r" if flags == os.O_RDONLY else "a", encoding="utf-8", errors="replace"
    )
    if os.fstat(number).st_uid != os.geteuid():
        file.close()
        raise PermissionError(errno.EPERM, "it belongs to somebody else", str(path))
    return file


def _segment(entry: Sequence[Any]) -> Segment:
    text, start, end, words, language = entry
    read = tuple(Word(str(w), float(s), float(e), float(p)) for w, s, e, p in words)
    return Segment(str(text), float(start), float(end), read, str(language))
