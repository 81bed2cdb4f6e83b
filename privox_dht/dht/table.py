"""The contacts a node knows: Kademlia's routing table, by subclassing bmuller's. Pure.

    newcomer, proven -> a bucket with room, at most two of one /24 or /56 in it
                     -> else waits in line, and takes the place of a contact that fails
    find_neighbors   -> the true k closest (the parent's walk finds fewer than half of them)

Who has been here long and still answers stays: whoever floods us with new ids gets only what is
free. Nothing here sends: who is stale is returned, the protocol pings.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from kademlia.node import Node
from kademlia.routing import KBucket, RoutingTable

from privox_dht import limits
from privox_dht.dht.addresses import Address, pack_address, unpack_address

BITS = 160  # of an id
DEEPEST = 40  # splits; a mesh that needs more has more nodes than there are people
RELAXED = 3  # levels for which buckets away from our own id are split too: fewer hops
NETWORK = {6: 3, 18: 7}  # bytes of a packed address that name its /24 or /56
LOOPBACK_6 = bytes(15) + b"\x01"
WAITING = 4  # newcomers that wait for a place in a full bucket


class Contact(Node):  # type: ignore[misc]  # kademlia has no types
    """A node that answered a nonce with its signature, from this address. There are many of these:
    what can be computed is not kept."""

    __slots__ = ("failures", "id", "rtt", "seen", "where")

    def __init__(self, node_id: bytes, where: bytes) -> None:
        self.id = node_id
        self.where = where  # its address, packed
        self.rtt = 0.0  # seconds, smoothed; 0 is unknown
        self.seen = 0.0  # loop time of its last answer
        self.failures = 0  # requests in a row that it left unanswered

    @property
    def long_id(self) -> int:
        return int.from_bytes(self.id, "big")

    @property
    def on_loopback(self) -> bool:
        return self.where[0] == 127 if len(self.where) == 6 else self.where[:16] == LOOPBACK_6

    @property
    def address(self) -> Address:
        return unpack_address(self.where)

    @property
    def ip(self) -> str:
        return self.address[0]

    @property
    def port(self) -> int:
        return self.address[1]


class MeshBucket(KBucket):  # type: ignore[misc]
    """A range of ids and the contacts in it, the longest silent first."""

    def __init__(self, low: int, high: int, own: int) -> None:
        self.range = (low, high)
        self.own = own  # our own id: the bucket around it is a large one
        self.nodes: dict[bytes, Contact] = {}
        self.replacement_nodes: dict[bytes, Contact] = {}
        self.ksize = limits.BUCKET if low <= own <= high else limits.FAR_BUCKET
        self.max_replacement_nodes = WAITING
        self.last_updated = 0.0

    def depth(self) -> int:
        """How often the whole range was halved to get here."""
        return BITS - (self.range[1] - self.range[0]).bit_length()

    def split(self) -> tuple[MeshBucket, MeshBucket]:
        middle = (self.range[0] + self.range[1]) // 2
        one = MeshBucket(self.range[0], middle, self.own)
        two = MeshBucket(middle + 1, self.range[1], self.own)
        for waiting in (False, True):
            for contact in (self.replacement_nodes if waiting else self.nodes).values():
                (one if contact.long_id <= middle else two).add_node(contact)
        one.last_updated = two.last_updated = self.last_updated
        return one, two

    def add_node(self, node: Contact) -> bool:
        """Give it a place, or let it wait for one: then False."""
        if node.id in self.nodes or len(self.nodes) < self.ksize:
            self.nodes[node.id] = node
            return True
        self.replacement_nodes.pop(node.id, None)
        self.replacement_nodes[node.id] = node
        if len(self.replacement_nodes) > self.max_replacement_nodes:
            del self.replacement_nodes[next(iter(self.replacement_nodes))]
        return False

    def crowded(self, where: bytes) -> bool:
        """Whether one more of this address's network would be too many."""
        network = where[: NETWORK[len(where)]]
        same = sum(contact.where.startswith(network) for contact in self.nodes.values())
        return same >= limits.CONTACTS_PER_NETWORK

    def remove_node(self, node: Any) -> None:
        """Forget a contact; who has waited last takes its place."""
        self.replacement_nodes.pop(node.id, None)
        if self.nodes.pop(node.id, None) is not None and self.replacement_nodes:
            _, newcomer = self.replacement_nodes.popitem()
            self.nodes[newcomer.id] = newcomer


class MeshTable(RoutingTable):  # type: ignore[misc]
    """All contacts of one address family."""

    def __init__(self, protocol: Any, ksize: int, node: Node, diverse: Callable[[], bool]) -> None:
        self._diverse = diverse  # whether networks are counted: not in a private mesh
        super().__init__(protocol, ksize, node)

    def __len__(self) -> int:
        return sum(map(len, self.buckets))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<MeshTable {len(self)} contacts in {len(self.buckets)} buckets>"

    def flush(self) -> None:
        self.buckets = [MeshBucket(0, 2**BITS - 1, self.node.long_id)]
        self._lows = [0]

    def contacts(self) -> list[Contact]:
        return [contact for bucket in self.buckets for contact in bucket.nodes.values()]

    def get(self, node_id: bytes) -> Contact | None:
        contact: Contact | None = self._bucket(node_id).nodes.get(node_id)
        return contact

    def at(self, address: Address) -> Contact | None:
        """The contact that was proven at an address. Slow: nothing that is done often asks this."""
        where = pack_address(*address)
        return next((contact for contact in self.contacts() if contact.where == where), None)

    def get_bucket_for(self, node: Any) -> int:
        return bisect.bisect_right(self._lows, node.long_id) - 1

    def has_room(self, node_id: bytes, where: bytes) -> bool:
        """Whether a newcomer would get a place: else its proof is not worth asking for."""
        bucket = self._bucket(node_id)
        if node_id == self.node.id or node_id in bucket.nodes:
            return False
        if self._diverse() and bucket.crowded(where):
            return False
        return len(bucket) < bucket.ksize or self._may_split(bucket)

    def add_contact(self, node: Contact) -> bool:
        """Give a proven contact a place; False if it has to wait for one."""
        if node.id == self.node.id:
            return False
        known = self.get(node.id)
        if known is not None:  # it has moved, or was proven twice
            self.remove_contact(known)
        squatter = self.at(node.address)
        if squatter is not None:
            self.remove_contact(squatter)
        while True:
            index = self.get_bucket_for(node)
            bucket = self.buckets[index]
            if self._diverse() and bucket.crowded(node.where):
                return False
            if bucket.add_node(node):
                return True
            if not self._may_split(bucket):
                return False
            self.split_bucket(index)

    def split_bucket(self, index: int) -> None:
        super().split_bucket(index)
        self._lows.insert(index + 1, self.buckets[index + 1].range[0])

    def remove_contact(self, node: Any) -> None:
        self._bucket(node.id).remove_node(node)

    def find_neighbors(
        self, node: Any, k: int | None = None, exclude: bytes | None = None
    ) -> list[Contact]:
        """The k contacts closest to `node`, closest first. Buckets are aligned ranges of ids, so
        they sort by the least distance in them."""
        wanted, target, from_bytes = k or self.ksize, node.long_id, int.from_bytes
        order = sorted(self.buckets, key=lambda bucket: _least_distance(bucket.range, target))
        closest: list[Contact] = []
        for bucket in order:
            some = [
                (from_bytes(contact.id, "big") ^ target, contact)
                for contact in bucket.nodes.values()
                if contact.id != exclude and contact.id != node.id
            ]
            some.sort()  # no two distances are equal
            closest += [contact for _, contact in some]
            if len(closest) >= wanted:
                break
        return closest[:wanted]

    def keep_only(self, usable: Callable[[str], bool]) -> None:
        """Forget contacts that may not be spoken to any more."""
        for bucket in self.buckets:
            for known in (bucket.nodes, bucket.replacement_nodes):
                for contact in [c for c in known.values() if not usable(c.ip)]:
                    del known[contact.id]

    def stale(self, now: float, most: int) -> list[Contact]:
        """Contacts not heard of for long, the longest silent first."""
        silent = [c for c in self.contacts() if now - c.seen > limits.CONTACT_STALE]
        return sorted(silent, key=lambda contact: contact.seen)[:most]

    def thin_bucket(self, now: float) -> MeshBucket | None:
        """A bucket that no look-up has passed for long, the longest first."""
        bucket: MeshBucket = min(self.buckets, key=lambda bucket: bucket.last_updated)
        return bucket if now - bucket.last_updated > limits.BUCKET_STALE else None

    def touch(self, long_id: int, now: float) -> None:
        """A look-up has passed the bucket of this id."""
        self.buckets[bisect.bisect_right(self._lows, long_id) - 1].last_updated = now

    def _bucket(self, node_id: bytes) -> MeshBucket:
        row = bisect.bisect_right(self._lows, int.from_bytes(node_id, "big")) - 1
        bucket: MeshBucket = self.buckets[row]
        return bucket

    def _may_split(self, bucket: MeshBucket) -> bool:
        depth = bucket.depth()
        return depth < DEEPEST and (bucket.has_in_range(self.node) or depth % RELAXED != 0)


def spread(contacts: Iterable[Any], most: int) -> list[Any]:
    """The first `most`, no more than two of them from one /24 or /56."""
    seen: Counter[bytes] = Counter()
    chosen = []
    for contact in contacts:
        network = contact.where[: NETWORK[len(contact.where)]]
        if seen[network] < limits.CONTACTS_PER_NETWORK:
            seen[network] += 1
            chosen.append(contact)
            if len(chosen) >= most:
                break
    return chosen


def _least_distance(ids: tuple[int, int], target: int) -> int:
    low, high = ids
    return (low ^ target) & ~(high - low)
