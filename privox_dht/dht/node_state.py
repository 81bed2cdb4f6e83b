"""What the sockets of one node share: its identity, its records, the addresses it may contact.

A mesh is private if its neighbours have private addresses: then any machine may be contacted. If
they have global ones it is public, and only global addresses are contacted or handed out.

A first node, which has no neighbour, does not know. It takes its mesh for public once it has a
global address itself (an interface's, or one at which it was dialled back) and a node with a global
address has proven its key, while none with a private address was there for an hour; and until such
a node comes. So a stranger's claim alone makes no mesh public, and none for ever.
"""

import logging
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from privox_dht import limits
from privox_dht.addresses import (
    Address,
    is_contactable,
    is_global,
    is_loopback,
    pack_address,
    subnet_of,
)
from privox_dht.dht import dht_limits, wire
from privox_dht.dht import record_validator as gates
from privox_dht.dht.observed_addresses import ObservedAddresses
from privox_dht.dht.record_store import RecordStore
from privox_dht.dht.record_validator import RecordValidator
from privox_dht.dht.rtt import RttEstimator
from privox_dht.dht.sealed import OVERHEAD, SealedDatagrams
from privox_dht.dht.write_tokens import WriteTokens
from privox_dht.errors import BadRecord
from privox_dht.identity import Identity
from privox_dht.membership import members
from privox_dht.membership.members import Membership
from privox_dht.quotas import RateLimiter
from privox_dht.records import Record, network_tag

OnContact = Callable[[Any, Any, bytes], None]  # its socket here, the contact, its token for that
log = logging.getLogger(__name__)

REASONS = (
    *wire.REASONS,
    *members.REASONS,  # in a private mesh
    "rate",  # a source asked for more than its share
    "token",  # a request that needs a token, without a valid one
    "unasked",  # an answer to no request of ours
    "address",  # an answer from another address than the one asked
    "proof",  # a ping's answer without the key that belongs to the id
    "self",  # our own id in an answer
    "too_many_pending",  # too many requests of our own are waiting
    "unsendable",  # the operating system would not send it
    "not_a_contact",  # a dial-back requested by no contact of ours, or too often
    *(f"record {reason}" for reason in gates.REASONS),
    "record full",  # no room under that key, from that source, or at all
    "internal",  # a bug of ours, while answering
)


class PublishedRecord(NamedTuple):
    """The latest version of a record that we published, under one key."""

    base: bytes  # the key in the record
    depth: int  # how often that has split to make the key
    deeper: bool  # whether the key has split again, and the record is in a shard of it too
    record: Record
    sent_to: list[bytes]  # ids of the nodes that were sent it; grows while the walk goes on


class NodeState:
    """One node's shared state."""

    __slots__ = (
        "_contacted",
        "_second",
        "clock",
        "counts",
        "dial_back_peers",
        "dropped",
        "families",
        "guest",
        "identity",
        "is_named",
        "last_answer_at",
        "mesh",
        "observations",
        "on_contact",
        "on_loopback",
        "on_new_address",
        "on_public",
        "on_unanswered",
        "own_global",
        "private",
        "private_at",
        "proof_failures",
        "proven_rates",
        "published",
        "rates",
        "rng",
        "rtt",
        "sealed",
        "store",
        "tokens",
        "validator",
        "witnesses",
    )  # fmt: skip

    def __init__(
        self,
        identity: Identity,
        network: str,
        clock: Callable[[], float],
        rng: random.Random,
        member: Membership | None = None,
    ) -> None:
        self.identity = identity
        self.observations = ObservedAddresses()  # of us, by others
        self.mesh = member.tag if member else network_tag(network)
        self.sealed: SealedDatagrams | None = None  # in a private mesh
        if member is not None:
            self.sealed = SealedDatagrams(member, identity.dht_id, limits.PROTOCOL_VERSION)
            member.own.observed = self.observations.all_ips
        self.clock = clock
        self.rng = rng
        self.guest = False
        self.families = 0  # flags of the sockets we have
        self.private: bool | None = None  # None: not known yet, treated as private
        self.is_named = False  # whether our owner named a neighbour, which decides that
        self.own_global: frozenset[str] = frozenset()  # global addresses that we know to be ours
        self.private_at = -math.inf  # when a node was last seen at a private address, by our clock
        self.on_public: Callable[[], None] = lambda: None  # called when the mesh is found public
        self.on_new_address: Callable[[], None] = lambda: None  # called when we are seen elsewhere
        self.witnesses: dict[Address, bytes] = {}  # ids of guests that contacted us, oldest first
        self.on_contact: OnContact = lambda socket, contact, token: None  # a node new to us
        self.on_unanswered: Callable[[], None] = lambda: None  # called when a contact is silent
        self.on_loopback = False  # whether a node on this very machine is in the mesh
        self.store = RecordStore(rng)
        self.published: dict[tuple[bytes, bytes], PublishedRecord] = {}  # by key and `Record.key`
        self.validator = RecordValidator(self.mesh, rng.randbytes(16))
        self.tokens = WriteTokens(rng)
        self.rates = RateLimiter(dht_limits.SOURCE_RATE, dht_limits.SOURCE_BURST)
        # Of requests with a token
        self.proven_rates = RateLimiter(dht_limits.SOURCE_RATE, dht_limits.SOURCE_BURST)
        # Addresses that gave no proof are asked again only after a while
        self.proof_failures = RateLimiter(1 / dht_limits.PROOF_AGAIN, 1.0)
        self.rtt = RttEstimator()
        self.dropped: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.last_answer_at = 0.0  # loop time of the last answer to any request of ours
        # Nodes that we do not contact, so that they can dial us back as strangers
        self.dial_back_peers: frozenset[Address] = frozenset()
        self._second = 0.0
        self._contacted: dict[Address, None] = {}  # the longest ago first

    @property
    def diverse(self) -> bool:
        """Whether contacts of one network are counted: an owner can have many private ones."""
        return self.private is False

    @property
    def flags(self) -> int:
        return self.families | (wire.GUEST if self.guest else 0)

    @property
    def largest(self) -> int:
        """Bytes of a datagram, at most, before it is sealed."""
        return limits.MAX_DATAGRAM - (OVERHEAD if self.sealed else 0)

    def may_contact(self, ip: str) -> bool:
        """Whether we may contact an address, or hand it out."""
        family = wire.FAMILY_6 if ":" in ip else wire.FAMILY_4
        if is_loopback(ip) and not self.on_loopback:
            return False  # a stranger must not make us contact our own machine
        return bool(self.families & family) and is_contactable(ip, self.private is not False)

    def coarse_time(self, now: float) -> float:
        """`now`, to the second: contacts that answered in the same second share one float."""
        if now - self._second >= 1.0:
            self._second = now
        return self._second

    def note_contacted(self, address: Address) -> None:
        """We are about to send to an address: a NAT will let it in from now on."""
        if self.guest:  # other nodes are known to be reachable
            machine = nat_key(address)
            self._contacted.pop(machine, None)
            self._contacted[machine] = None
            if len(self._contacted) > limits.SOURCES:
                del self._contacted[next(iter(self._contacted))]

    def has_contacted(self, address: Address) -> bool:
        """Whether we ever sent to that machine (on loopback: to that port)."""
        return nat_key(address) in self._contacted

    def drop(self, reason: str, detail: str = "") -> None:
        """Count a message that was dropped."""
        self.dropped[reason] += 1
        log.debug("! dropped (%s) %s", reason, detail)

    def accept(self, wire_bytes: bytes, key: bytes) -> Record | None:
        """The record in a stranger's bytes; None, and counted, if it is not valid."""
        try:
            return self.validator.validate(wire_bytes, key, self.clock())
        except BadRecord as exc:
            self.drop(f"record {exc.reason}")
            return None

    def peer_verified(self, ip: str, *, named: bool = False) -> None:
        """A node at `ip` has proven its key; `named` if our owner named it as a neighbour."""
        self.on_loopback = self.on_loopback or is_loopback(ip)
        self.is_named = self.is_named or named
        if not is_global(ip):
            if named and self.private is None:
                self.private = True
            self.saw_private()
        elif self.private is not False and (named or self._may_be_public()):
            self._go_public()

    def saw_private(self) -> None:
        """A node with a private address is in this mesh: unless our owner named a neighbour, it is
        not a public one (any more)."""
        self.private_at = self.clock()
        if self.private is False and not self.is_named:
            self.private = None

    def _may_be_public(self) -> bool:
        quiet = self.clock() - self.private_at > dht_limits.PRIVATE_FOR
        undecided = self.private is None and not self.is_named
        return undecided and quiet and bool(self.own_global)

    def _go_public(self) -> None:
        self.private = False
        self.on_public()

    def note_requester(self, node_id: bytes, address: Address, guest: bool) -> None:
        """A proven address sent us a request."""
        if self.private is False and not self.is_named and not is_global(address[0]):
            self.saw_private()
        if guest:
            first = not self.witnesses
            self.witnesses.pop(address, None)
            self.witnesses[address] = node_id
            if len(self.witnesses) > dht_limits.OBSERVERS:
                del self.witnesses[next(iter(self.witnesses))]
            if first:
                self.on_new_address()

    # -- what others see of us ---------------------------------------------------------------------

    def record_observation(self, observer: Address, seen: Address, offset: float) -> None:
        """A proven node reported our address as it sees us, and how far its clock is ahead."""
        voter = subnet_of(observer[0]) if self.diverse else pack_address(*observer)
        if self.observations.note(voter, seen, offset):
            self.on_new_address()

    def observed(self) -> list[Address]:
        """Our own addresses, as two or more neighbours see them, best first. In a public mesh a
        /24 or /56 has one vote."""
        private = self.private is not False
        return [seen for seen in self.observations.agreed() if is_contactable(seen[0], private)]

    def is_not_our_address(self, ip: str) -> bool:
        """Whether we know that `ip` is not ours: then we sign no proof for it."""
        if not self.diverse or not is_global(ip):
            return False
        known = [own for own, _ in self.observed() if (":" in own) == (":" in ip)]
        return bool(known) and ip not in known


def nat_key(address: Address) -> Address:
    """What a NAT that filters by address tells apart: the machine; on loopback, the port."""
    return address if is_loopback(address[0]) else (address[0], 0)
