"""Good contacts across restarts: `contacts.json` in the state folder.

    {"version": 1, "contacts": [{"host": "192.0.2.7", "port": 5678, "seen": 1760000000}, ...]}

Written atomically; whatever is wrong with the file, a node starts without it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from privox_dht import limits
from privox_dht.atomic_file import SECRET, replace_file
from privox_dht.dht.addresses import Address, is_somebody

FILE = "contacts.json"
VERSION = 1
log = logging.getLogger(__name__)


def load(folder: Path, now: float) -> list[Address]:
    """The contacts kept there, the latest seen first; those not seen for a month are left out."""
    return [address for address, seen in _read(folder) if now - seen < limits.CONTACTS_KEPT_FOR]


def _read(folder: Path) -> list[tuple[Address, float]]:
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        kept = content["contacts"] if content["version"] == VERSION else []
        some = [(float(c["seen"]), str(c["host"]), int(c["port"])) for c in kept]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as exc:
        log.warning("%s is not readable (%s): starting without it", folder / FILE, exc)
        return []
    some.sort(reverse=True)
    return [
        ((host, port), seen)
        for seen, host, port in some[: limits.CONTACTS_KEPT]
        if is_somebody(host) and 0 < port < 65536
    ]


def add(folder: Path, met: Iterable[Address], now: float) -> None:
    """Keep nodes that were met in another way than by UDP, beside those that are there."""
    save(folder, {**dict(_read(folder)), **dict.fromkeys(met, now)}.items())


def save(folder: Path, contacts: Iterable[tuple[Address, float]]) -> None:
    """Keep contacts with the time each was last seen (seconds since the epoch)."""
    latest = sorted(contacts, key=lambda contact: -contact[1])[: limits.CONTACTS_KEPT]
    content = {
        "version": VERSION,
        "contacts": [
            {"host": host, "port": port, "seen": round(seen)} for (host, port), seen in latest
        ],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(folder / FILE, json.dumps(content, indent=1).encode(), mode=SECRET)
    except OSError as exc:
        log.warning("cannot keep contacts in %s: %s", folder, exc)
