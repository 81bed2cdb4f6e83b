"""One program's membership: keys, a clock, the memory of replays, counters of what was rejected."""

import logging
import struct
import time
from collections import Counter
from collections.abc import Callable

from privox_dht.addresses import Address, pack_address, unpack_address
from privox_dht.errors import BadMessage
from privox_dht.membership.destinations import OwnAddresses
from privox_dht.membership.keys import NetworkKeys
from privox_dht.membership.replays import ReplayMemory

log = logging.getLogger("privox.membership")

REASONS = (
    "stranger",  # not sealed with our key: sent without the secret, or in another mesh
    "stale",  # sent more than CLOCK_SKEW ago by its clock and ours, or as much in the future
    "replay",  # received before
    "elsewhere",  # meant for another member
    "unfinished",  # a connection that ended before its first message was complete
)
TAG = 8  # bytes of a mesh's tag
BY_KEY, BY_ADDRESS = 0, 1  # kinds of destination: the node with a key, the node at an address
_TIME = struct.Struct(">Q")  # milliseconds since the epoch


class Membership:
    """One program's share in a private mesh."""

    def __init__(self, secret: bytes, network: str, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            secret: see `secret_file`.
            network: the name of the mesh.
            clock: seconds since the epoch.
        """
        self.keys = NetworkKeys.of(secret, network)
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
        """Check the time of a message; with its nonce, also that it is new.

        Raises:
            BadMessage: "stale" or "replay".
        """
        sent, now = _TIME.unpack(moment)[0] / 1000, self.clock()
        if nonce is None:
            self.replays.check_time(sent, now)
        else:
            self.replays.admit(nonce, sent, now)

    def refuse(self, where: str, exc: BadMessage) -> None:
        """Count a rejected message."""
        self.turned_away[f"{where} {exc.reason}"] += 1
        log.debug("! %s: %s", where, exc)


TIME = _TIME.size


def to_node(public: bytes) -> bytes:
    """The destination of a message to the node with this key."""
    return bytes([BY_KEY]) + public


def to_address(address: Address) -> bytes:
    """The destination of a message to the node at an address; as long as the other kind."""
    return (bytes([BY_ADDRESS]) + pack_address(*address)).ljust(DESTINATION, b"\0")


DESTINATION = 33  # bytes of one


def check_destination(destination: bytes, public: bytes, own: OwnAddresses) -> None:
    """Check that a message is for us.

    Raises:
        BadMessage: "elsewhere".
    """
    kind, where = destination[0], destination[1:]
    if kind == BY_KEY:
        is_ours = where == public
    else:
        try:
            is_ours = own.has(unpack_address(where[:18] if any(where[6:]) else where[:6]))
        except ValueError:  # no address at all
            is_ours = False
    if not is_ours:
        raise BadMessage("elsewhere")
