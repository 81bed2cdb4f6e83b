"""A pause of lending: a file in the node's state folder.

privox-node pause   -> pause.json     {"until": seconds since the epoch, or null}
node                   reads it when it starts, and every second
privox-node resume  -> the file is removed
"""

import json
from pathlib import Path

from nodes.lending import Pause
from privox_dht.atomic_file import replace_file
from privox_dht.errors import ConfigError

PAUSE_FILE = "pause.json"
READABLE = 0o644  # by the node's user, if root paused it; the folder keeps other users out


def write(folder: Path, pause: Pause) -> None:
    """Begin a pause; it replaces any other.

    Raises:
        ConfigError: the file cannot be written.
    """
    path = folder / PAUSE_FILE
    try:
        replace_file(path, json.dumps({"until": pause.until}).encode() + b"\n", mode=READABLE)
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror or exc}") from exc


def end(folder: Path) -> bool:
    """End the pause. Returns whether there was one.

    Raises:
        ConfigError: the file cannot be removed.
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
    """The pause in the folder, even if it is over. A malformed file is a pause without an end."""
    try:
        fields = json.loads((folder / PAUSE_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return Pause()
    until = fields.get("until") if isinstance(fields, dict) else None
    return Pause(float(until) if isinstance(until, int | float) else None)
