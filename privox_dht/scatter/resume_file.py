"""What was heard of a long recording until it was interrupted, so that the next run goes on there.

a piece is heard    a line of JSON: what the piece is, by its hash, and its segments
the next run        the same sound is cut into the same pieces: those with a line are sent to nobody
all is heard        the file is removed

A line is of use for the very same sound at the same place, asked for in the same way. Lines that
make no sense, such as one that a power cut broke off, are none.
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
    """The pieces that were heard before, and those that are heard now.

    Args:
        path: where it is kept; there need not be anything yet.
        options: how the recording is to be heard.
    """

    def __init__(self, path: Path, options: TranscriptionOptions) -> None:
        self._path = path
        self._how = repr((
            options.backend, options.model, options.language, options.translate, options.words,
            options.prompt, options.temperature, options.hotwords,
        )).encode()  # fmt: skip
        self._heard = dict(_read(path))
        self._writable = True

    def __repr__(self) -> str:
        return f"<ResumeFile {self._path}, {len(self._heard)} pieces>"

    def find(self, piece: Piece) -> Sequence[Segment] | None:
        """What was heard in `piece`; None: nobody heard it yet."""
        return self._heard.get(self._name(piece))

    def add(self, piece: Piece, segments: Sequence[Segment]) -> None:
        """It was heard. Where that cannot be written, the next run has to ask again."""
        name = self._name(piece)
        if self._heard.get(name) == segments or not self._writable:
            return
        self._heard[name] = segments
        line = json.dumps({"piece": name, "segments": [astuple(segment) for segment in segments]})
        try:
            with _opened(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
                file.write(f"\n{line}")  # a line that was broken off stays one of its own
        except OSError as exc:
            self._writable = False
            log.warning("what was heard cannot be kept in %s: %s", self._path, exc.strerror)

    def remove(self) -> None:
        """All was heard."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _name(self, piece: Piece) -> str:
        place = repr((piece.first, piece.joint_before, piece.joint_after)).encode()
        name = hashlib.sha256(b"\0".join([self._how, place, b""]))
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
            told = json.loads(line)
            yield str(told["piece"]), tuple(map(_segment, told["segments"]))


def _opened(path: Path, flags: int) -> TextIO:
    """A file that is ours: in a folder for everybody, somebody else may have made one of its name.

    Raises:
        OSError: it is not there, or not ours.
    """
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, SECRET)
    file = os.fdopen(
        number, "r" if flags == os.O_RDONLY else "a", encoding="utf-8", errors="replace"
    )
    if os.fstat(number).st_uid != os.geteuid():
        file.close()
        raise PermissionError(errno.EPERM, "it belongs to somebody else", str(path))
    return file


def _segment(told: Sequence[Any]) -> Segment:
    text, start, end, words, language = told
    heard = tuple(Word(str(w), float(s), float(e), float(p)) for w, s, e, p in words)
    return Segment(str(text), float(start), float(end), heard, str(language))
