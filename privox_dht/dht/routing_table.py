"""The contacts a node knows: Kademlia's routing table, by subclassing bmuller's. Pure.

    newcomer, proven -> a bucket with room, at most two of one /24 or /56 in it
                     -> else waits in line, and takes the place of a contact that fails
    find_neighbors   -> the true k closest (the parent's walk finds fewer than half of them)

A contact that still answers keeps its place: a flood of new ids gets only free places. Nothing here
sends: stale contacts are returned, and the protocol pings them.
"""

import bisect
from collections.abc import Callable, Iterable
from typing import Any

from kademlia import routing as kademlia_routing
from kademlia.node import Node

from privox_dht.dht import dht_limits
from privox_dht.dht.compact_nodes import ID
from privox_dht.dht.contact import Contact
from privox_dht.dht.k_bucket import BITS, NETWORK, KBucket

DEEPEST = 40  # splits; a mesh that needs more has more nodes than there are people
ABOVE = [-1 << (BITS - depth) for depth in range(DEEPEST + 1)]  # the bits ids of a bucket share
NETWORK_END = {ID + size: ID + octets for size, octets in NETWORK.items()}  # in a packed contact
RELAXED = 3  # levels for which buckets away from our own id are split too: fewer hops


class RoutingTable(kademlia_routing.RoutingTable):  # type: ignore[misc]
    """All contacts of one address family."""

    def __init__(self, protocol: Any, ksize: int, node: Node, diverse: Callable[[], bool]) -> None:
        self._diverse = diverse  # whether networks are counted: not in a private mesh
        super().__init__(protocol, ksize, node)

    def __len__(self) -> int:
        return sum(map(len, self.buckets))

    def __repr__(self) -> str:
        return f"<RoutingTable {len(self)} contacts in {len(self.buckets)} buckets>"

    def flush(self) -> None:
        self.buckets = [KBucket(0, 0, self.node.long_id)]
        self._lows = [0]

    def contacts(self) -> list[Contact]:
        return [contact for bucket in self.buckets for contact in bucket.nodes]

    def get(self, node_id: bytes) -> Contact | None:
        return self._bucket(node_id).get(node_id)

    def at(self, where: bytes) -> Contact | None:
        """The contact that was proven at a packed address. Slow: nothing that is done often asks
        this."""
        for bucket in self.buckets:
            for contact in bucket.nodes:
                if contact.packed.endswith(where):  # all of a table are of one family
                    return contact
        return None

    def get_bucket_for(self, node: Any) -> int:
        return self._row(node.long_id)

    def has_room(self, node_id: bytes, where: bytes) -> bool:
        """Whether a newcomer would get a place: else its proof is not worth asking for."""
        bucket = self._bucket(node_id)
        if node_id == self.node.id or bucket.get(node_id) is not None:
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
        squatter = self.at(node.where)
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
        self._lows.insert(index + 1, self.buckets[index + 1].low)

    def remove_contact(self, node: Any) -> None:
        self._bucket(node.id).remove_node(node)

    def find_neighbors(
        self, node: Any, k: int | None = None, exclude: bytes | None = None
    ) -> list[Contact]:
        """The k contacts closest to `node`, closest first. Buckets are aligned ranges of ids, so
        they sort by the least distance in them."""
        wanted, target, from_bytes = k or self.ksize, node.long_id, int.from_bytes
        order = sorted(self.buckets, key=lambda bucket: (bucket.low ^ target) & ABOVE[bucket.depth])
        closest: list[Contact] = []
        for bucket in order:
            if bucket.nodes:  # addresses follow the ids, and do not change the order
                wide = target << 8 * (len(bucket.nodes[0].packed) - ID)
                closest += sorted(bucket.nodes, key=lambda c: from_bytes(c.packed, "big") ^ wide)
            if len(closest) >= wanted + 2:
                break
        unwanted = (node.id,) if exclude is None else (node.id, exclude)
        closest = [contact for contact in closest if not contact.packed.startswith(unwanted)]
        return closest[:wanted]

    def mesh_size(self) -> float:
        """About how many nodes there are: by how close our closest contacts are, since we know of
        all of those. How many contacts we have says less: look-ups alone fill a table."""
        closest = self.find_neighbors(self.node, self.ksize)
        if len(closest) < self.ksize:
            return float(len(closest))
        own = self.node.long_id
        distances: int = sum(contact.long_id ^ own for contact in closest)
        size: float = self.ksize * (self.ksize + 1) / 2 * (1 << BITS) / distances
        return max(float(self.ksize), size)

    def keep_only(self, usable: Callable[[str], bool]) -> None:
        """Forget contacts that may not be spoken to any more."""
        for bucket in self.buckets:
            bucket.keep_only(usable)

    def stale(self, now: float, most: int) -> list[Contact]:
        """Contacts to be pinged: those that left a request unanswered, then those silent for long,
        the longest silent first."""
        silent = [
            c for c in self.contacts() if c.failures or now - c.seen > dht_limits.CONTACT_STALE
        ]
        return sorted(silent, key=lambda contact: (not contact.failures, contact.seen))[:most]

    def stalest_bucket(self, now: float) -> KBucket | None:
        """A bucket that no look-up has passed for long, the longest first."""
        bucket: KBucket = min(self.buckets, key=lambda bucket: bucket.last_updated)
        return bucket if now - bucket.last_updated > dht_limits.BUCKET_STALE else None

    def touch(self, long_id: int, now: float) -> None:
        """A look-up has passed the bucket of this id."""
        self.buckets[self._row(long_id)].last_updated = now

    def _row(self, long_id: int) -> int:
        return bisect.bisect_right(self._lows, long_id) - 1

    def _bucket(self, node_id: bytes) -> KBucket:
        bucket: KBucket = self.buckets[self._row(int.from_bytes(node_id, "big"))]
        return bucket

    def _may_split(self, bucket: KBucket) -> bool:
        depth = bucket.depth
        return depth < DEEPEST and (depth % RELAXED != 0 or bucket.holds(self.node.long_id))


def spread(contacts: Iterable[Any], most: int) -> list[Any]:
    """The first `most`, no more than two of them from one /24 or /56."""
    seen: dict[bytes, int] = {}
    chosen = []
    for contact in contacts:
        packed = contact.packed
        network = packed[ID : NETWORK_END[len(packed)]]
        count = seen[network] = seen.get(network, 0) + 1
        if count <= dht_limits.CONTACTS_PER_NETWORK:
            chosen.append(contact)
            if len(chosen) >= most:
                break
    return chosen
