"""Atomic replacement of files, and writes of every byte or an error.

    replace_file(path, data)     a temporary file beside it -> written, closed -> renamed over it
    replacing(path)              the same for data in pieces: yields the file to write to
    create_file(path, data)      the same, but an existing file stays unchanged (keys)
    close_unnamed(close, size)   closes a file without a name, a large one in a thread
    write_all(descriptor, data)  for what cannot be replaced: a pipe, a terminal, a device

All raise OSError, and remove the temporary file in that case.
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
SECRET = 0o600  # the mode of a file that other users may not read
ORDINARY = 0o666  # the mode of any other new file, less the umask
CLOSED_AT_ONCE = 1 << 22  # bytes of a file without a name; closing it takes less than 1 ms
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def replace_file(
    path: Path, data: bytes, *, mode: int | None = None, durable: bool = False
) -> None:
    """Make `data` the content of `path`. See `replacing`."""
    with replacing(path, mode=mode, durable=durable) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, mode: int | None = None, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which replaces `path` when the context is left. After an exception in it
    `path` is unchanged.

    Args:
        path: in an existing folder. A symbolic link is replaced, not followed.
        mode: permissions; None: those of `path`, or those that the umask gives a new file.
        durable: write to the disk, not only to the system's cache, before the context is left.
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
    """Make `data` the content of a new file that only its owner can read, durably. An existing
    file stays unchanged."""
    with _temporary(path, SECRET) as temporary:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`: one `write` may write only a part, and nothing to a non-blocking pipe
    that is full."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            room = select.poll()
            room.register(descriptor, select.POLLOUT)
            room.poll()


async def close_unnamed(close: Callable[[], None], size: int) -> None:
    """Close a file without a name, of so many bytes, which frees its memory or disk. For two hours
    of sound that takes 0.2 s: a large file is closed in a thread, even if the caller is
    cancelled."""
    if size > CLOSED_AT_ONCE:
        await asyncio.shield(asyncio.to_thread(close))
    else:
        close()


@contextmanager
def _temporary(path: Path, mode: int) -> Iterator[Path]:
    """A new empty file beside `path`, removed when the context is left unless it was renamed."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    os.close(os.open(temporary, _FRESH, mode))
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
