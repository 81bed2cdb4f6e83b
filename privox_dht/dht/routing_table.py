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

from kademlia import routing as kademlia_routing
from kademlia.node import Node

from privox_dht import limits
from privox_dht.addresses import LOOPBACK_6, Address, pack_address
from privox_dht.dht.compact_nodes import ID, unpack_peer

BITS = 8 * ID
DEEPEST = 40  # splits; a mesh that needs more has more nodes than there are people
ABOVE = [-1 << (BITS - depth) for depth in range(DEEPEST + 1)]  # the bits ids of a bucket share
RELAXED = 3  # levels for which buckets away from our own id are split too: fewer hops
NETWORK = {6: 3, 18: 7}  # bytes of a packed address that name its /24 or /56
WAITING = 4  # newcomers that wait for a place in a full bucket


class Contact:
    """A node that answered a nonce with its signature, from this address. There are many of these:
    what can be computed is not kept, and kademlia's `Node` would give each a dict of its own."""

    __slots__ = ("failures", "packed", "rtt_ms", "seen")

    def __init__(self, node_id: bytes, where: bytes) -> None:
        self.packed = node_id + where  # its id and its address, as answers tell of it
        self.rtt_ms = 0  # smoothed; 0 is unknown. Small whole numbers take no memory
        self.seen = 0.0  # loop time of its last answer, to the second
        self.failures = 0  # requests in a row that it left unanswered

    def __repr__(self) -> str:
        return f"<Contact {self.id.hex()[:8]} at {self.ip}:{self.port}>"

    def note_rtt(self, seconds: float) -> None:
        """It answered after so long."""
        taken = round(seconds * 1e3) or 1
        self.rtt_ms = (3 * self.rtt_ms + taken + 2) // 4 if self.rtt_ms else taken

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


class KBucket:
    """A range of ids and the contacts in it, the longest known first. A list, since it is short:
    kademlia's `KBucket` has two dicts, which take more than the contacts in them."""

    __slots__ = ("depth", "ksize", "last_updated", "low", "nodes", "own", "replacement_cache")

    def __init__(self, low: int, depth: int, own: int) -> None:
        self.low = low  # the least id in it
        self.depth = depth  # bits that all ids in it share
        self.own = own  # our own id: the bucket around it is a large one
        self.nodes: list[Contact] = []
        self.replacement_cache: tuple[Contact, ...] = ()  # for a place, the longest first
        self.last_updated = 0.0
        self.ksize = limits.BUCKET if self.holds(own) else limits.FAR_BUCKET

    def __len__(self) -> int:
        return len(self.nodes)

    def get(self, node_id: bytes) -> Contact | None:
        for contact in self.nodes:
            if contact.packed.startswith(node_id):
                return contact
        return None

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest id that belong here."""
        return self.low, self.low + (1 << (BITS - self.depth)) - 1

    def holds(self, long_id: int) -> bool:
        """Whether an id belongs here."""
        return (self.low ^ long_id) >> (BITS - self.depth) == 0

    def split(self) -> tuple[KBucket, KBucket]:
        deeper = self.depth + 1
        one = KBucket(self.low, deeper, self.own)
        two = KBucket(self.low | 1 << (BITS - deeper), deeper, self.own)
        for contact in (*self.nodes, *self.replacement_cache):
            (two if two.holds(contact.long_id) else one).add_node(contact)
        one.last_updated = two.last_updated = self.last_updated
        return one, two

    def add_node(self, node: Contact) -> bool:
        """Give it a place, or let it wait for one: then False."""
        known = self.get(node.id)
        if known is not None:
            self.nodes[self.nodes.index(known)] = node
        elif len(self.nodes) < self.ksize:
            self.nodes.append(node)
        else:
            others = (waiting for waiting in self.replacement_cache if waiting.id != node.id)
            self.replacement_cache = (*others, node)[-WAITING:]
            return False
        return True

    def crowded(self, where: bytes) -> bool:
        """Whether one more of this address's network would be too many."""
        network = where[: NETWORK[len(where)]]
        same = sum(contact.where.startswith(network) for contact in self.nodes)
        return same >= limits.CONTACTS_PER_NETWORK

    def remove_node(self, node: Any) -> None:
        """Forget a contact; who has waited last takes its place."""
        self.replacement_cache = tuple(
            contact for contact in self.replacement_cache if contact.id != node.id
        )
        known = self.get(node.id)
        if known is not None:
            self.nodes.remove(known)
            self.nodes += self.replacement_cache[-1:]
            self.replacement_cache = self.replacement_cache[:-1]

    def keep_only(self, usable: Callable[[str], bool]) -> None:
        """Forget contacts that may not be spoken to any more."""
        self.nodes = [contact for contact in self.nodes if usable(contact.ip)]
        self.replacement_cache = tuple(
            contact for contact in self.replacement_cache if usable(contact.ip)
        )


class RoutingTable(kademlia_routing.RoutingTable):  # type: ignore[misc]
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
        self.buckets = [KBucket(0, 0, self.node.long_id)]
        self._lows = [0]

    def contacts(self) -> list[Contact]:
        return [contact for bucket in self.buckets for contact in bucket.nodes]

    def get(self, node_id: bytes) -> Contact | None:
        return self._bucket(node_id).get(node_id)

    def at(self, address: Address) -> Contact | None:
        """The contact that was proven at an address. Slow: nothing that is done often asks this."""
        return self._at(pack_address(*address))

    def _at(self, where: bytes) -> Contact | None:
        for bucket in self.buckets:
            for contact in bucket.nodes:
                if contact.packed.endswith(where):  # all of a table are of one family
                    return contact
        return None

    def get_bucket_for(self, node: Any) -> int:
        return bisect.bisect_right(self._lows, node.long_id) - 1

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
        squatter = self._at(node.where)
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
            if bucket.nodes:  # addresses stand behind the ids, and decide nothing
                wide = target << 8 * (len(bucket.nodes[0].packed) - ID)
                closest += sorted(bucket.nodes, key=lambda c: from_bytes(c.packed, "big") ^ wide)
            if len(closest) >= wanted + 2:
                break
        for unwanted in (node.id, exclude):
            contact = self.get(unwanted) if unwanted is not None else None
            if contact is not None and contact in closest:
                closest.remove(contact)
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
        """Contacts to be pinged: those that left a request unanswered, then those not heard of
        for long, the longest silent first."""
        silent = [c for c in self.contacts() if c.failures or now - c.seen > limits.CONTACT_STALE]
        return sorted(silent, key=lambda contact: (not contact.failures, contact.seen))[:most]

    def stalest_bucket(self, now: float) -> KBucket | None:
        """A bucket that no look-up has passed for long, the longest first."""
        bucket: KBucket = min(self.buckets, key=lambda bucket: bucket.last_updated)
        return bucket if now - bucket.last_updated > limits.BUCKET_STALE else None

    def touch(self, long_id: int, now: float) -> None:
        """A look-up has passed the bucket of this id."""
        self.buckets[bisect.bisect_right(self._lows, long_id) - 1].last_updated = now

    def _bucket(self, node_id: bytes) -> KBucket:
        row = bisect.bisect_right(self._lows, int.from_bytes(node_id, "big")) - 1
        bucket: KBucket = self.buckets[row]
        return bucket

    def _may_split(self, bucket: KBucket) -> bool:
        depth = bucket.depth
        return depth < DEEPEST and (depth % RELAXED != 0 or bucket.holds(self.node.long_id))


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
