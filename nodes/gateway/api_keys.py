"""Keys of a gateway. Pure: text is an argument.

    a line of the file     NAME  SHA-256 of the key in hex  SECONDS of sound an hour
    a request's key     -> whose it is; nobody's: 401
    what it has left    -> see `nodes.sound_quota`; nothing: 429

Keys are made by us, with 256 bits of chance: a plain hash gives nothing away, and there is no
telling by time which part of one is right, since it is looked up by its hash.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from nodes.gateway import gateway_limits
from privox_dht.errors import ConfigError

_LINE = re.compile(r"(?P<name>[\w.@-]{1,64})\s+(?P<digest>[0-9a-f]{64})\s+(?P<seconds>\d{1,7})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The name of a key, and its quota."""

    name: str
    digest: str  # SHA-256 of the key, in hex
    seconds: int = gateway_limits.KEY_SECONDS  # of sound in an hour

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
        """The entry of this key; None: unknown."""
        return self._by_digest.get(digest_of(key))
