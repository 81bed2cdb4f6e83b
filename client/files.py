"""Reads texts and recordings, and writes results: files, pipes and terminals."""

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from privox_dht import limits, units
from privox_dht.atomic_file import replace_file, write_all
from privox_dht.cli.output import stop_signals_raise, to_stderr, to_stdout, to_stdout_within
from privox_dht.errors import ConfigError, RequestRejected

STDIO = "-"
MAX_TEXT_BYTES = 4 * limits.MAX_BOOK + 4  # bytes; a character has at most 4
PIECE = 1 * limits.MIB  # bytes read from a pipe at a time


def read_text(text: str) -> str:
    """The text to speak: `text` itself, or stdin if it is "-".

    Raises:
        RequestRejected: it is empty, too long, or not UTF-8.
    """
    if text == STDIO:
        text = _decoded(_stdin().read(MAX_TEXT_BYTES))
    return _checked(text)


def read_text_file(name: str) -> str:
    """The text to speak from a file; from stdin if its name is "-".

    Raises:
        RequestRejected: it cannot be read, is empty, too long, or not UTF-8.
    """
    if name == STDIO:
        return read_text(STDIO)
    try:
        with Path(name).open("rb") as file:
            return _checked(_decoded(file.read(MAX_TEXT_BYTES)))
    except OSError as exc:
        raise RequestRejected(f"cannot read {name}: {exc.strerror or exc}") from exc


def _decoded(data: bytes) -> str:
    return data.decode("utf-8-sig", "surrogateescape")


def _checked(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestRejected("the text to speak is not UTF-8")
    if not text.strip():
        raise RequestRejected("the text to speak is empty")
    if len(text) > limits.MAX_BOOK:
        raise RequestRejected(
            f"the text is longer than {limits.MAX_BOOK:,} characters: have it spoken in parts",
            status=413,
        )
    return text


def read_secret(path: Path) -> str:
    """The one line in a file, such as a token.

    Raises:
        ConfigError: there is none.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {path}: {exc}") from exc
    if not secret or "\n" in secret:
        raise ConfigError(f"{path} should hold one line, the token")
    return secret


def open_recording(name: str) -> BinaryIO:
    """A recording that can be read repeatedly, which failover needs: a file is read in place, and
    the content of a pipe is stored (on disk, if it is large).

    Raises:
        RequestRejected: it cannot be read, is empty, or is too large.
    """
    if name == STDIO:
        return _spooled(_stdin(), "stdin")
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed by the caller
    except OSError as exc:
        raise RequestRejected(f"cannot read {name}: {exc.strerror}") from exc
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a named pipe, <(command), /dev/stdin
        with file:
            return _spooled(file, name)
    if not os.fstat(file.fileno()).st_size:
        file.close()
        raise _empty(name)
    return file


def check_writable(output: str) -> None:
    """Check before the job that its result can be written.

    Raises:
        ConfigError: it cannot.
    """
    if output == STDIO:
        return
    path = _place(output) if os.path.islink(output) else Path(output)
    if os.path.isdir(path):  # Path.is_dir raises PermissionError
        raise ConfigError(f"cannot write {output}: it is a folder")
    try:
        is_folder = stat.S_ISDIR(path.parent.stat().st_mode)
    except PermissionError as exc:
        raise ConfigError(f"cannot write {output}: permission denied") from exc
    except OSError:
        is_folder = False
    if not is_folder:
        raise ConfigError(f"cannot write {output}: there is no folder {path.parent}")
    if not os.access(path if os.path.exists(path) else path.parent, os.W_OK):
        raise ConfigError(f"cannot write {output}: permission denied")


def make_folder(name: str) -> None:
    """Make a folder for results, if there is none yet.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        Path(name).mkdir(exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"cannot make the folder {name}: {exc.strerror or exc}") from exc


def write(output: str, data: bytes) -> None:
    """Write to stdout, or replace a file in one step, so that nobody sees half of it.

    Raises:
        ConfigError: it cannot be written.
    """
    with writing_to(output):
        if output == STDIO:
            to_stdout(data)
        else:
            _to_file(_place(output), data)


def write_so_far(output: str, data: bytes) -> None:
    """Replace a file by an unfinished version, until `write` follows. Does nothing if it cannot be
    replaced (a pipe, a device, a file in another user's folder).

    Raises:
        ConfigError: it cannot be written.
    """
    path = _place(output)
    if not _in_place(path):
        with writing_to(output):
            replace_file(path, data)


def write_within(data: bytes, seconds: float = 0.0) -> bytes:
    """Write as much as stdout takes within `seconds`; returns the rest.

    Raises:
        ConfigError: stdout cannot be written.
    """
    with writing_to(STDIO):
        return to_stdout_within(data, seconds)


@contextmanager
def writing_to(output: str) -> Iterator[None]:
    """Raise errors of writing to `output` as ConfigError, with a message."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        where = "to stdout" if output == STDIO else output
        raise ConfigError(f"cannot write {where}: {exc.strerror or exc}") from exc


def write_stderr(line: str) -> None:
    """Write a line to stderr, for programs that read it there since stdout takes the audio.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        to_stderr(line.encode() + b"\n")
    except OSError as exc:
        raise ConfigError(f"cannot write to stderr: {exc.strerror or exc}") from exc


def _place(output: str) -> Path:
    """Where `output` leads. A pipe or device keeps its name: links such as /dev/stdout and those
    of `>(command)` lead to no other."""
    is_file = os.path.isfile(output) or not os.path.exists(output)
    return Path(os.path.realpath(output) if is_file else output)


def _to_file(path: Path, data: bytes) -> None:
    if not _in_place(path):
        replace_file(path, data, durable=True)
        return
    # /dev/null, a pipe; a file in another user's folder
    with stop_signals_raise():
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)


def _in_place(path: Path) -> bool:
    return (path.exists() and not path.is_file()) or not os.access(path.parent, os.W_OK)


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise RequestRejected("stdin is closed: there is nothing in it")
    return sys.stdin.buffer


def _spooled(pipe: IO[bytes], name: str) -> BinaryIO:
    """The whole content of a pipe, in an unnamed temporary file."""
    kept = tempfile.SpooledTemporaryFile(max_size=limits.SPOOL_IN_MEMORY)  # noqa: SIM115
    size = 0
    try:
        while piece := _read_piece(pipe, name):
            size += len(piece)
            if size > limits.MAX_RECORDING:
                raise RequestRejected(
                    f"{name} holds more than {units.size(limits.MAX_RECORDING)}: save it as a file",
                    status=413,
                )
            kept.write(piece)
        if not size:
            raise _empty(name)
        kept.seek(0, io.SEEK_SET)  # and flushes what was only in memory
    except OSError as exc:
        with suppress(OSError):  # it tries to flush once more
            kept.close()
        folder = tempfile.gettempdir()
        raise ConfigError(
            f"cannot keep {name} in {folder}: {exc.strerror or exc}; name a folder with more room"
            " in TMPDIR"
        ) from exc
    except BaseException:
        kept.close()
        raise
    return cast(BinaryIO, kept)


def _read_piece(pipe: IO[bytes], name: str) -> bytes:
    try:
        return pipe.read(PIECE)
    except OSError as exc:
        raise RequestRejected(f"cannot read {name}: {exc.strerror or exc}") from exc


def _empty(name: str) -> RequestRejected:
    return RequestRejected(f"{name} is empty: there is no recording in it")
