"""Atomic replacement of files, and writes of every byte or an error.

    replace_file(path, data)     a temporary file beside it -> written, closed -> renamed over it
    replacing(path)              the same for what comes in pieces: yields the file to write to
    create_file(path, data)      the same, but a file that is there already stays as it is (keys)
    close_unnamed(close, size)   gives up a file without a name, off the loop
    write_all(descriptor, data)  what cannot be replaced: a pipe, a terminal, a device

All raise OSError, and then nothing of the temporary file is left.
"""

import asyncio
import os
import secrets
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".privox-"  # how the names of temporary files begin
SECRET = 0o600  # the mode of a file that nobody else may read
ORDINARY = 0o666  # the mode of any other new file, less the umask
CLOSED_AT_ONCE = 1 << 22  # bytes of a file without a name; to close it takes under 1 ms
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def replace_file(
    path: Path, data: bytes, *, mode: int | None = None, durable: bool = False
) -> None:
    """Make `data` the content of `path`. See `replacing`."""
    with replacing(path, mode=mode, durable=durable) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, mode: int | None = None, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` once the context is left. An exception
    in it leaves `path` as it was.

    Args:
        path: in a folder that is there. A symbolic link would be replaced, not followed.
        mode: permissions; None: those that `path` has, or those that the umask gives a new file.
        durable: on the disk, and not only in the system's memory, when the context is left.
    """
    had = stat.S_IMODE(path.stat().st_mode) if mode is None and path.exists() else None
    with _temporary(path, ORDINARY if mode is None and had is None else SECRET) as temporary:
        with temporary.open("wb") as file:
            if (wanted := mode if mode is not None else had) is not None:
                os.fchmod(file.fileno(), wanted)
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)


def create_file(path: Path, data: bytes) -> None:
    """Make `data` the content of a new file that only its owner can read, durably. If somebody
    else was first, theirs stays."""
    with _temporary(path, SECRET) as temporary:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`: one `write` may take less than it is given, and one to a pipe that does
    not block may take nothing until its reader has read."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            room = select.poll()
            room.register(descriptor, select.POLLOUT)
            room.poll()


async def close_unnamed(close: Callable[[], None], size: int) -> None:
    """Close a file without a name, of so many bytes, which gives its memory or disk back. Of two
    hours of sound that takes the system 0.2 s: a large one is closed by a thread, to which whoever
    is cancelled meanwhile leaves it."""
    if size > CLOSED_AT_ONCE:
        await asyncio.shield(asyncio.to_thread(close))
    else:
        close()


@contextmanager
def _temporary(path: Path, mode: int) -> Iterator[Path]:
    """A new empty file beside `path`, gone when the context is left unless it was renamed."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    os.close(os.open(temporary, _FRESH, mode))
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
