"""A node that we know: proven, by its own signature. Pure."""

from privox_dht.addresses import LOOPBACK_6, Address
from privox_dht.dht import dht_limits
from privox_dht.dht.compact_nodes import ID, unpack_peer

WHILE_UPLINK_DOWN = -1  # failures of a contact that was silent while no other node answered either


class Contact:
    """A node that answered a nonce with its signature, from this address. There are many of these,
    so what can be computed is not kept, and kademlia's `Node`, with its dict, is not used."""

    __slots__ = ("failures", "packed", "rtt_ms", "seen")

    def __init__(self, node_id: bytes, where: bytes) -> None:
        self.packed = node_id + where  # its id and its address, as encoded in answers
        self.rtt_ms = 0  # smoothed; 0 is unknown. Small whole numbers take no memory
        self.seen = 0.0  # loop time of its last answer, to the second
        self.failures = 0  # requests in a row that it left unanswered

    def __repr__(self) -> str:
        return f"<Contact {self.id.hex()[:8]} at {self.ip}:{self.port}>"

    def note_rtt(self, seconds: float) -> None:
        """It answered after so long."""
        taken = round(seconds * 1e3) or 1
        self.rtt_ms = (3 * self.rtt_ms + taken + 2) // 4 if self.rtt_ms else taken

    def note_timeout(self, *, uplink_down: bool) -> bool:
        """It left a request unanswered; whether it is to be removed.

        Args:
            uplink_down: no other node has answered since, so that our uplink may be down: then the
                contact stays and is pinged, but left out of find answers.
        """
        if uplink_down:
            self.failures = self.failures or WHILE_UPLINK_DOWN
            return False
        self.failures = max(self.failures, 0) + 1
        return self.failures >= dht_limits.CONTACT_FAILURES

    @property
    def id(self) -> bytes:
        return self.packed[:ID]

    @property
    def where(self) -> bytes:
        """Its address, packed."""
        return self.packed[ID:]

    @property
    def rtt(self) -> float:
        """Its round-trip time in seconds; 0 if it is not known."""
        return self.rtt_ms / 1e3

    @property
    def long_id(self) -> int:
        return int.from_bytes(self.packed[:ID], "big")

    @property
    def on_loopback(self) -> bool:
        packed = self.packed
        return packed[ID] == 127 if len(packed) == ID + 6 else packed[ID : ID + 16] == LOOPBACK_6

    @property
    def address(self) -> Address:
        return unpack_peer(self.packed).address

    @property
    def ip(self) -> str:
        return self.address[0]

    @property
    def port(self) -> int:
        return self.address[1]
