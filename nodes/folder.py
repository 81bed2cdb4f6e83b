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
        raise ConfigError(
            f"cannot use the state folder {folder}: {exc.strerror}{_whose(folder)}"
        ) from exc
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


def _whose(folder: Path) -> str:
    """What to do about a folder that is another user's, such as one mounted into a container."""
    mine, place = os.geteuid(), folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        owner = place.stat().st_uid
    except OSError:
        return ""
    if owner == mine:
        return ""
    return (
        f"; {place} belongs to user {owner}, and this node runs as user {mine}. To fix it: "
        f"sudo chown -R {mine}:{os.getegid()} that folder (in a container: the host's folder that "
        f"is mounted there), or run the node as user {owner} (docker run --user {owner})"
    )
