"""Keys of a gateway, and how much sound each may bring. Pure: text and time are arguments.

    a line of the file     NAME  SHA-256 of the key in hex  SECONDS of sound an hour
    a request's key     -> whose it is; nobody's: 401
    what it has left    -> a bucket of an hour's sound that fills while it is not used; empty: 429

Keys are made by us, with 256 bits of chance: a plain hash gives nothing away, and there is no
telling by time which part of one is right, since it is looked up by its hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from privox_dht import limits
from privox_dht.errors import ConfigError

HOUR = 3600.0  # seconds
LEAST = 1.0  # seconds of sound that must be left
_LINE = re.compile(r"(?P<name>[\w.@-]{1,64})\s+(?P<digest>[0-9a-f]{64})\s+(?P<seconds>\d{1,7})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Whose key it is, and what it is good for."""

    name: str
    digest: str  # SHA-256 of the key, in hex
    seconds: int = limits.GATEWAY_KEY_SECONDS  # of sound in an hour

    def __str__(self) -> str:
        """As a line of the file."""
        return f"{self.name} {self.digest} {self.seconds}"


def digest_of(key: str) -> str:
    """What the file has of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """The keys that a file holds; empty lines and those that begin with # are for people.

    Raises:
        ConfigError: a line says something else, or a name stands twice.
    """
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"line {number} is no key; make one with privox-node key NAME")
        if match["name"] in keys:
            raise ConfigError(f"line {number}: the name {match['name']} stands twice")
        keys[match["name"]] = ApiKey(match["name"], match["digest"], int(match["seconds"]))
    return tuple(keys.values())


class KeyRing:
    """The keys that are good now."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._by_name = {key.name: key for key in keys}
        self._by_digest = {key.digest: key for key in self._by_name.values()}

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._by_digest)}>"

    def named(self, name: str) -> ApiKey | None:
        """The key of this name."""
        return self._by_name.get(name)

    def find(self, key: str) -> ApiKey | None:
        """Whose key this is; None: nobody's."""
        return self._by_digest.get(digest_of(key))


class SoundQuota:
    """How much sound each key has left: an hour's worth at most, and so much again in each hour.

    What is begun is finished: a long recording may take more than was left, and is paid for later.
    """

    def __init__(self, most: int = limits.SOURCES) -> None:
        """
        Args:
            most: names that are remembered; of more, those go that have the most left.
        """
        self._most = most
        self._left: dict[str, tuple[float, float]] = {}  # by name: seconds left, and when

    def __len__(self) -> int:
        return len(self._left)

    def left(self, key: ApiKey, now: float) -> float:
        """Seconds of sound; may be below 0."""
        left, when = self._left.get(key.name, (float(key.seconds), now))
        return min(float(key.seconds), left + (now - when) * key.seconds / HOUR)

    def charge(self, key: ApiKey, seconds: float, now: float) -> None:
        """So much was brought."""
        self._left[key.name] = (self.left(key, now) - seconds, now)
        if len(self._left) > self._most:
            del self._left[max(self._left, key=lambda name: self._left[name])]

    def wait(self, key: ApiKey, now: float) -> float:
        """Seconds until there is something left again; 0: there is."""
        left = self.left(key, now)
        if left >= LEAST:
            return 0.0
        return (LEAST - left) * HOUR / key.seconds + LEAST if key.seconds else HOUR
