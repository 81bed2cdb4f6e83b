"""A pause of lending: a file in the node's state folder.

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
    """The pause in the folder, also one that is over. A malformed file is one without an end."""
    try:
        fields = json.loads((folder / PAUSE_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return Pause()
    until = fields.get("until") if isinstance(fields, dict) else None
    return Pause(float(until) if isinstance(until, int | float) else None)


def forget(folder: Path) -> None:
    """Remove a pause that is over."""
    with suppress(OSError):
        (folder / PAUSE_FILE).unlink()
