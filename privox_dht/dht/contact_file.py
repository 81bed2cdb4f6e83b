"""Good contacts across restarts: files in the folder `contacts` of the state folder.

    contacts/3f0c9a1b7e5d2468.json   one for each mesh name and set of neighbours
    {"version": 2, "network": "privox", "neighbours": ["host:5678"], "used": 1760000000,
     "contacts": [{"host": "192.0.2.7", "port": 5678, "seen": 1760000000}, ...]}

neighbours named     -> the contacts met through those neighbours, and no others: they may be of
                        another mesh of the same name
no neighbours named  -> the contacts of the last run in a mesh of this name

Written atomically. A node starts without a file that it cannot read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privox_dht import limits
from privox_dht.addresses import Address, is_unicast, join_host, split_host
from privox_dht.atomic_file import SECRET, replace_file
from privox_dht.dht import dht_limits
from privox_dht.errors import ConfigError

FOLDER = "contacts"
NAME = re.compile(r"[0-9a-f]{16}\.json")
VERSION = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ContactFile:
    """The contacts met in the mesh of one name through one set of neighbours."""

    state: Path  # the state folder
    network: str
    neighbours: tuple[Address, ...] = ()  # empty: of a first node, which others joined

    @classmethod
    def choose(cls, state: Path, network: str, named: Sequence[Address]) -> ContactFile:
        """The one for these neighbours; if none are named, the latest."""
        return cls(state, network, tuple(named)) if named else cls.latest(state, network)

    @classmethod
    def latest(cls, state: Path, network: str) -> ContactFile:
        """The one that was written last in the mesh of this name; an empty one if there is none."""
        for _, path, content in _files(state, _warn):
            if content.get("network") == network:
                try:
                    named = [split_host(str(n), limits.DHT_PORT) for n in content["neighbours"]]
                except (ConfigError, KeyError, TypeError) as exc:
                    _warn(path, exc)
                else:
                    return cls(state, network, tuple(named))
        return cls(state, network)

    @property
    def path(self) -> Path:
        """Where it lies; the order in which neighbours were named does not matter."""
        named = json.dumps([self.network, self._names()])
        return self.state / FOLDER / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}.json"

    def known(self, now: float) -> list[Address]:
        """The contacts in it, the latest seen first (those not seen for a month are left out), and
        the neighbours they were met through."""
        kept = [a for a, seen in self._contacts() if now - seen < dht_limits.CONTACTS_KEPT_FOR]
        return list(dict.fromkeys([*kept, *self.neighbours]))

    def add(self, met: Iterable[Address], now: float) -> None:
        """Add nodes that were met over HTTPS to those in the file."""
        self.save({**dict(self._contacts()), **dict.fromkeys(met, now)}.items(), now)

    def save(self, contacts: Iterable[tuple[Address, float]], now: float) -> None:
        """Write contacts with the time each was last seen (seconds since the epoch)."""
        latest = sorted(contacts, key=lambda contact: -contact[1])[: dht_limits.CONTACTS_KEPT]
        content = {
            "version": VERSION,
            "network": self.network,
            "neighbours": self._names(),
            "used": now,
            "contacts": [
                {"host": host, "port": port, "seen": round(seen)} for (host, port), seen in latest
            ],
        }
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(self.path, json.dumps(content, indent=1).encode(), mode=SECRET)
        except OSError as exc:
            log.warning("cannot write contacts to %s: %s", folder, exc)
        _drop_oldest(self.state)

    def _names(self) -> list[str]:
        return sorted({join_host(host.lower(), port) for host, port in self.neighbours})

    def _contacts(self) -> list[tuple[Address, float]]:
        try:
            kept = _read(self.path)["contacts"]
            contacts = [(float(c["seen"]), str(c["host"]), int(c["port"])) for c in kept]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as exc:
            _warn(self.path, exc)
            return []
        contacts.sort(reverse=True)
        return [
            ((host, port), seen)
            for seen, host, port in contacts[: dht_limits.CONTACTS_KEPT]
            if is_unicast(host) and 0 < port < 65536
        ]


def _read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError(f"it is not of version {VERSION}")
    return content


def _warn(path: Path, exc: Exception) -> None:
    log.warning("%s is not readable (%s): starting without it", path, exc)


def _files(
    state: Path, unreadable: Callable[[Path, Exception], None] = lambda path, exc: None
) -> list[tuple[float, Path, dict[str, Any]]]:
    """Each file, the last written first: time of writing, path, content. One that is not readable
    is empty and the oldest; `unreadable` is called for it."""
    try:
        paths = [path for path in (state / FOLDER).iterdir() if NAME.fullmatch(path.name)]
    except OSError:
        return []
    files: list[tuple[float, Path, dict[str, Any]]] = []
    for path in paths:
        try:
            content = _read(path)
            files.append((float(content["used"]), path, content))
        except (OSError, ValueError, KeyError, TypeError) as exc:
            unreadable(path, exc)
            files.append((0.0, path, {}))
    return sorted(files, key=lambda file: -file[0])


def _drop_oldest(state: Path) -> None:
    """Keep the files of the last `CONTACT_FILES_KEPT` sets of neighbours."""
    for _, path, _ in _files(state)[dht_limits.CONTACT_FILES_KEPT :]:
        with suppress(OSError):
            path.unlink()
