"""One bucket of a routing table: a range of ids, and the contacts in it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from privox_dht.dht import dht_limits
from privox_dht.dht.compact_nodes import ID
from privox_dht.dht.contact import Contact

BITS = 8 * ID
NETWORK = {6: 3, 18: 7}  # bytes of a packed address that name its /24 or /56
WAITING = 4  # newcomers that wait for a place in a full bucket


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
        self.ksize = dht_limits.BUCKET if self.holds(own) else dht_limits.FAR_BUCKET

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
        return same >= dht_limits.CONTACTS_PER_NETWORK

    def remove_node(self, node: Any) -> None:
        """Remove a contact; the latest of the replacement cache takes its place."""
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
