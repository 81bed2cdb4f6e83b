"""A pause that the owner takes from lending: a file in the node's state folder.

privox-node pause   -> pause.json     {"until": seconds since the epoch, or null}
node                   looks at it each second, and when it starts
privox-node resume  -> the file goes
"""

import json
from contextlib import suppress
from pathlib import Path

from nodes.lending import Pause
from privox_dht.atomic_file import replace_file
from privox_dht.errors import ConfigError

PAUSE_FILE = "pause.json"
READABLE = 0o644  # to the node's user, where root paused it; others are kept out of the folder


def write(folder: Path, pause: Pause) -> None:
    """Begin a pause, in place of any other.

    Raises:
        ConfigError: the folder takes no file.
    """
    path = folder / PAUSE_FILE
    try:
        replace_file(path, json.dumps({"until": pause.until}).encode() + b"\n", mode=READABLE)
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror or exc}") from exc


def end(folder: Path) -> bool:
    """End the pause; whether there was one.

    Raises:
        ConfigError: it cannot be ended.
    """
    path = folder / PAUSE_FILE
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise ConfigError(f"cannot remove {path}: {exc.strerror or exc}") from exc
    return True


def read(folder: Path) -> Pause | None:
    """The pause that stands there, be it over or not. A file that makes no sense is a pause without
    an end: somebody wanted one."""
    try:
        told = json.loads((folder / PAUSE_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return Pause()
    until = told.get("until") if isinstance(told, dict) else None
    return Pause(float(until) if isinstance(until, int | float) else None)


def forget(folder: Path) -> None:
    """A pause that is over need not stay."""
    with suppress(OSError):
        (folder / PAUSE_FILE).unlink()
