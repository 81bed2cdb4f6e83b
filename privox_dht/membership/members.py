"""What one program has of its membership: keys, a clock, a memory, and who was turned away.

seal      a text, with the time and whom it is for, under the key of its purpose
open      the text again, if it is ours to read: else counted by its reason and dropped
"""

import logging
import struct
import time
from collections import Counter
from collections.abc import Callable

from privox_dht import limits
from privox_dht.addresses import Address, pack_address, unpack_address
from privox_dht.errors import BadMessage
from privox_dht.membership.destinations import OwnAddresses
from privox_dht.membership.keys import NetworkKeys
from privox_dht.membership.replays import ReplayMemory

log = logging.getLogger("privox.membership")

REASONS = (
    "stranger",  # not sealed with our key: somebody without the secret, or of another mesh
    "stale",  # sent more than CLOCK_SKEW ago by its clock and ours, or as much in the future
    "replay",  # heard before
    "elsewhere",  # meant for another member
    "unfinished",  # a connection that ended before it had said anything whole
)
TAG = 8  # bytes of a mesh's tag
KNOWN, CALLED = 0, 1  # a destination: a node by its key, whoever is at an address
_TIME = struct.Struct(">Q")  # milliseconds since the epoch


class Membership:
    """One program's share in a private mesh."""

    def __init__(self, secret: bytes, network: str, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            secret: at least `limits.MIN_SECRET` bytes.
            network: the name of the mesh.
            clock: seconds since the epoch.
        """
        self.keys = NetworkKeys(secret, network)
        self.clock = clock
        self.replays = ReplayMemory(clock())
        self.own = OwnAddresses()
        self.turned_away: Counter[str] = Counter()  # by "tcp stranger", "relay replay" and so on

    def __repr__(self) -> str:
        return f"<Membership {sum(self.turned_away.values())} turned away>"

    @property
    def tag(self) -> bytes:
        """The 8-byte tag of the mesh, for records and for the keys of the DHT."""
        return self.keys.mesh[:TAG]

    def now(self) -> bytes:
        """The time, as messages carry it."""
        return _TIME.pack(int(self.clock() * 1000))

    def check(self, moment: bytes, nonce: bytes | None = None) -> None:
        """Whether something of that time may be heard, and with a nonce: whether it is new.

        Raises:
            BadMessage: "stale" or "replay".
        """
        sent, now = _TIME.unpack(moment)[0] / 1000, self.clock()
        if nonce is None:
            self.replays.check_time(sent, now)
        else:
            self.replays.admit(nonce, sent, now)

    def refuse(self, where: str, exc: BadMessage) -> None:
        """Count somebody who was turned away."""
        self.turned_away[f"{where} {exc.reason}"] += 1
        log.debug("! %s: %s", where, exc)


TIME = _TIME.size


def to_node(public: bytes) -> bytes:
    """The destination of a message to the node with this key."""
    return bytes([KNOWN]) + public


def to_address(address: Address) -> bytes:
    """The destination of a message to whoever is at an address; as long as the other."""
    return (bytes([CALLED]) + pack_address(*address)).ljust(DESTINATION, b"\0")


DESTINATION = 33  # bytes of one


def check_destination(destination: bytes, public: bytes, own: OwnAddresses) -> None:
    """Whether a message is for us.

    Raises:
        BadMessage: "elsewhere".
    """
    kind, where = destination[0], destination[1:]
    if kind == KNOWN:
        is_ours = where == public
    else:
        try:
            is_ours = own.has(unpack_address(where[:18] if any(where[6:]) else where[:6]))
        except ValueError:  # no address at all
            is_ours = False
    if not is_ours:
        raise BadMessage("elsewhere")


__all__ = ["REASONS", "Membership", "check_destination", "limits", "to_address", "to_node"]
