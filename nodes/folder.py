"""A node's state folder belongs to one running node at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privox_dht.errors import ConfigError

try:
    import fcntl
except ImportError:  # not on this system: two nodes with one key are told apart by the farms
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock"


@contextmanager
def owned(folder: Path) -> Iterator[Path]:
    """`folder`, made if need be and locked while the context is open. The lock goes with the
    process, so a crash leaves nothing behind.

    Raises:
        ConfigError: another node uses it, or it cannot be used at all.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise ConfigError(f"cannot use the state folder {folder}: {exc.strerror}") from exc
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    except BlockingIOError as exc:
        raise ConfigError(
            f"another privox-node uses {folder}; give this one its own --state-dir"
        ) from exc
    finally:
        os.close(handle)
