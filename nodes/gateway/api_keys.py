"""Keys of a gateway. Pure: text is an argument.

    a line of the file     NAME  SHA-256 of the key in hex  SECONDS of sound an hour
    a request's key     -> its name; unknown: 401
    its quota           -> see `nodes.sound_quota`; used up: 429

Keys are generated with 256 random bits, so a plain hash is safe. They are looked up by their hash,
so timing reveals nothing.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from nodes.gateway import gateway_limits
from privox_dht.errors import ConfigError

NAME = r"[\w.@-]{1,64}"  # of a key
_LINE = re.compile(rf"(?P<name>{NAME})\s+(?P<digest>[0-9a-f]{{64}})\s+(?P<seconds>\d{{1,7}})")


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
    """The hash of a key that the file holds."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """The keys in a file; empty lines and those that begin with # are ignored.

    Raises:
        ConfigError: a line is malformed, or a name occurs twice.
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
            raise ConfigError(f"line {number}: the name {match['name']} is there twice")
        keys[match["name"]] = ApiKey(match["name"], match["digest"], int(match["seconds"]))
    return tuple(keys.values())


class KeyRing:
    """A set of keys."""

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
