"""A node's state folder belongs to one running node at a time."""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from privox_dht.errors import ConfigError

try:
    import fcntl
except ImportError:  # not on this system: two nodes with one key are told apart by the farms
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
log = logging.getLogger("privox.node")


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """`folder`, created if necessary, and locked while the context is open. The lock ends with the
    process, so a crash leaves no lock.

    Raises:
        ConfigError: another node uses the folder, or it cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _keep_others_out(folder)
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise ConfigError(
            f"cannot use the state folder {folder}: {exc.strerror}{_whose(folder)}"
        ) from exc
    try:
        if not _is_ours(folder, handle):
            raise ConfigError(
                f"another privox-node uses {folder}; give this one its own --state-dir"
            )
        yield folder
    finally:
        os.close(handle)


def is_in_use(folder: Path) -> bool:
    """Whether a running node has locked `folder`."""
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _is_ours(folder, handle)
    finally:
        os.close(handle)


def _is_ours(folder: Path, handle: int) -> bool:
    """Lock an open file of `folder`. Returns False if another process has locked it."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:  # such as a network file system without locks
        raise ConfigError(
            f"files in {folder} cannot be locked ({exc.strerror}); give a --state-dir on a disk of"
            " this machine"
        ) from exc
    return True


def _keep_others_out(folder: Path) -> None:
    """Make the folder unwritable for other users, who could put a key of their own there.

    Raises:
        ConfigError: all users can write to it, and that cannot be changed.
    """
    if os.name != "posix" or not (mode := _mode(folder)) & OTHERS_WRITE:
        return
    if not mode & stat.S_ISVTX:  # /tmp has it: it is for all users
        with suppress(OSError):
            folder.chmod(mode & ~OTHERS_WRITE)
    if _mode(folder) & stat.S_IWOTH:
        raise ConfigError(
            f"everybody on this machine can write to the state folder {folder}, and so give this"
            f" node another key: make it yours alone (chmod 700 {folder}) or give a --state-dir"
            " of its own"
        )
    if not _mode(folder) & OTHERS_WRITE:
        log.warning(
            "others could write to the state folder %s (mode %o); now they cannot. If somebody"
            " may have done so, remove its key.pem: this node gets a new one then", folder, mode,
        )  # fmt: skip


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _whose(folder: Path) -> str:
    """What to do about a folder that is another user's, such as one mounted into a container."""
    mine, place = os.geteuid(), folder
    while not os.path.exists(place) and place != place.parent:  # Path.exists raises if forbidden
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
