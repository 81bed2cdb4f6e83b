"""The secret of a private mesh: made once, given to every member, kept in a file."""

import secrets
from pathlib import Path

from privox_dht import limits
from privox_dht.errors import ConfigError
from privox_dht.identity import keep_secret
from privox_dht.membership.members import Membership

PREFIX = "privox-mesh-"  # so that a secret that is found can be recognised
RANDOM = 32  # bytes of chance in a new one


def new_secret() -> str:
    """A good secret, as one line."""
    return PREFIX + secrets.token_urlsafe(RANDOM)


def read_secret(path: Path) -> bytes:
    """The secret in a file, without the white space around it. A file that others can read is made
    unreadable to them, as with a node's key; where that is not ours to do (containers and systemd
    hand secrets over as another's, read-only), there is a warning.

    Raises:
        ConfigError: it cannot be read, or is too short or too long.
    """
    try:
        keep_secret(path, "secret", "make another for all members then", insist=False)
        with path.open("rb") as file:
            secret = file.read(limits.MAX_SECRET + 1).strip()
    except OSError as exc:
        raise ConfigError(f"cannot read the secret {path}: {exc.strerror or exc}") from exc
    if len(secret) < limits.MIN_SECRET:
        raise ConfigError(
            f"the secret in {path} has {len(secret)} bytes, and needs at least"
            f" {limits.MIN_SECRET}; to make a good one: privox-node secret new FILE"
        )
    if len(secret) > limits.MAX_SECRET:
        raise ConfigError(f"{path} holds more than {limits.MAX_SECRET} bytes: not a secret")
    return secret


def membership_of(path: Path | None, network: str) -> Membership | None:
    """What the secret in a file makes us a member of; without a file, of no private mesh.

    Raises:
        ConfigError: see `read_secret`.
    """
    return Membership(read_secret(path), network) if path else None
