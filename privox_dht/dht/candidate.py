"""A node that a look-up may ask, and what became of it. Pure."""

from __future__ import annotations

from privox_dht.addresses import Address, subnet_of
from privox_dht.dht import request_codec
from privox_dht.dht.answer_codec import Found
from privox_dht.dht.lookup_budget import Credit

NEW, FLYING, ANSWERED, SLOW, DEAD = range(5)  # what became of a candidate; from SLOW on: silent


FEW = 3  # contacts of an answer that may have been short for want of room


class Candidate:
    """A node that may be asked."""

    __slots__ = (
        "address",
        "backers",
        "count",
        "distance",
        "id",
        "idle",
        "in_short",
        "network",
        "read",
        "rtt",
        "shown",
        "split",
        "state",
        "stored",
        "token",
    )  # fmt: skip

    def __init__(self, node_id: bytes, address: Address, target: int, rtt: float = 0.0) -> None:
        self.id, self.address, self.network = node_id, address, subnet_of(address[0])
        self.distance = int.from_bytes(node_id, "big") ^ target
        self.rtt = rtt  # seconds; 0 is unknown
        self.state = NEW
        self.token = b""
        self.count = self.idle = 0  # records it holds under the target
        self.split = False  # it says that the target has split
        self.read = False  # whether it was asked for its pages
        self.shown = 0  # valid records that it has sent
        self.backers: list[Credit] = []  # of the answers that named it; none: it is known to us
        self.in_short = False  # asked without padding, so that its answer may be cut
        self.stored: bool | None = None  # whether it took our record; None: not asked yet

    def __lt__(self, other: Candidate) -> bool:
        return self.distance < other.distance

    @property
    def may_be_asked(self) -> bool:
        """Whether those who named it have credit for at least a short request."""
        backers = self.backers
        if not backers or backers[0].left >= request_codec.BARE_FIND:  # the usual case
            return True
        return any(credit.left >= request_codec.BARE_FIND for credit in backers)

    def pay(self, size: int) -> bool:
        """Whether one of those who named it has credit for so many bytes; then they are spent."""
        return any(credit.pay(size) for credit in self.backers)

    def was_cut(self, found: Found) -> bool:
        """Whether its answer was cut for want of room, since the request was short. A longer answer
        can be had now, with the token."""
        if self.token or not found.token or self.stored is not None:
            return False
        few = len(found.peers) <= FEW or found.total > 0
        return self.in_short and few and not found.wires
