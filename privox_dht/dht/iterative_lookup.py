"""One look-up: walk towards a target, a few requests in flight, each answer acted on at once.

    candidates, closest first -> up to alpha of them asked at a time, more amid silence
    soft timeout              -> the place is free again; a late answer still counts
named by others           -> asked on the credit of those who named it: at length, or in short, and
                             then again with the token that it gave; two in vain end its network
    answer                    -> closer candidates, a token, records
    first holder              -> a moment's grace for a second one, so that a stale word is noticed;
                                 longer on the way, where nobody has a reason to hold anything

It ends when the closest k have answered (or are silent), when enough was found, after so many
requests, or when its time is up; whatever strangers answer. What goes to addresses that have never
answered is bounded by what came from those who named them.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

from kademlia.crawling import SpiderCrawl
from kademlia.node import Node

from privox_dht import limits
from privox_dht.addresses import Address
from privox_dht.dht import answer_codec, request_codec
from privox_dht.dht.answer_codec import Found
from privox_dht.dht.candidate import ANSWERED, DEAD, FLYING, NEW, SLOW, Candidate
from privox_dht.dht.lookup_budget import Budget, Credit
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import Challenge, RpcProtocol
from privox_dht.records import Record

FEW = 3  # contacts of an answer that may have been short for want of room


class IterativeLookup(SpiderCrawl):  # type: ignore[misc]  # kademlia has no types
    """A look-up of the nodes close to a key and, with `want`, of records under it."""

    def __init__(
        self,
        network: RpcNetwork,
        target: bytes,
        *,
        want: int = 0,
        base: bytes = b"",
        budget: Budget | None = None,
        closest: int = limits.BUCKET,
    ) -> None:
        """`closest`: how many nodes are looked for. A far bucket holds no more than a few."""
        self.network, self.state = network, network.state
        self.node = Node(target)
        self.ksize, self.alpha = closest, limits.ALPHA
        self.want = want
        self.base = base or target  # the key that a record must name; a shard's target is another
        self.loop = asyncio.get_running_loop()
        self.budget = budget or Budget(want, self.loop.time())
        self.order: list[Candidate] = []
        self.requests = 0
        self.found: dict[tuple[str, str, bytes], Record] = {}
        self.holders: list[Candidate] = []
        self._read: dict[bytes, bool] = {}  # what we were told, and whether it passed
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._known: dict[bytes, Candidate | None] = {self.state.identity.dht_id: None}
        self._addresses: set[Address] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._answers = self._silences = 0
        self._vain: Counter[bytes] = Counter()  # addresses of a network that have never answered
        self._abandoned = False
        self.thorough = False  # whether it goes on when enough was found
        self._waited = False  # whether the first holder was given its grace, and is still alone

    def __repr__(self) -> str:
        states = Counter(candidate.state for candidate in self.order)
        return (
            f"<MeshCrawl {self.node.id.hex()[:8]}: {states[ANSWERED]} answered, "
            f"{states[DEAD]} dead, "
            f"{len(self.found)} records from {len(self.holders)} holders>"
        )

    async def find(self) -> list[Candidate]:
        """Walk; the closest nodes that answered, closest first."""
        now = self.loop.time()
        if self.ended.done():
            self.ended = self.loop.create_future()
        for protocol in self.network.protocols.values():
            protocol.router.touch(self.node.long_id, now)
            for contact in protocol.router.find_neighbors(self.node):
                self.add(contact)
        end = min(now + limits.LOOKUP_TIME, self.budget.deadline)
        self._timers.append(self.loop.call_at(end, self.end))
        try:
            self.send_next()
            await self.ended
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            self.end()
        return self.closest()

    @property
    def met_silence(self) -> bool:
        """Too few answered for "nothing" to be an answer."""
        silent = any(candidate.state in (SLOW, DEAD) for candidate in self.order)
        return silent and self._answers < limits.HOLDERS

    def closest(self) -> list[Candidate]:
        """The closest nodes that answered."""
        answered = (candidate for candidate in self.order if candidate.state == ANSWERED)
        return list(islice(answered, self.ksize))

    def add(self, peer: Any, named: Credit | None = None) -> None:
        """One more candidate, unless it is us, known, or nobody we may speak to.

        Args:
            named: what its being named is worth, if a stranger told us of it.
        """
        node_id = peer.id
        if node_id in self._known:
            known = self._known[node_id]
            if known is not None and named is not None and known.backers:
                known.backers.append(named)
            return
        address = peer.address
        if address in self._addresses or address in self.state.dial_back_peers:
            return
        if not self.state.may_contact(address[0]):
            self.state.drop("contact", address[0])
            return
        self._addresses.add(address)
        rtt = getattr(peer, "rtt", 0.0)  # what strangers tell of has none
        candidate = self._known[node_id] = Candidate(node_id, address, self.node.long_id, rtt)
        if named is not None:
            candidate.backers.append(named)
        bisect.insort(self.order, candidate)

    def end(self) -> None:
        """Stop asking; what is in flight may still serve the routing table."""
        if not self.ended.done():
            self.ended.set_result(None)
        for timer in self._timers:
            timer.cancel()

    def abandon(self) -> None:
        """Nobody waits for what this finds: say nothing more."""
        self._abandoned = True
        self.end()

    # -- deciding ----------------------------------------------------------------------------------

    def shortlist(self) -> list[Candidate]:
        """The k closest that are not silent, at most two of one network among them, and nobody who
        may not be asked."""
        window: list[Candidate] = []
        diverse, vain = self.state.diverse, self._vain
        crowds: dict[bytes, int] = {}
        for candidate in self.order:
            state = candidate.state
            if state >= SLOW or (state == NEW and not candidate.may_be_asked):
                continue
            if diverse:
                network = candidate.network
                if state == NEW and vain and vain[network] >= limits.CONTACTS_PER_NETWORK:
                    continue
                crowd = crowds[network] = crowds.get(network, 0) + 1
                if crowd > limits.CONTACTS_PER_NETWORK:
                    continue
            window.append(candidate)
            if len(window) >= self.ksize:
                break
        return window

    def parallel(self, window: list[Candidate]) -> int:
        """How many may be in flight now: a few while answers still bring closer nodes, one more for
        each that was silent, and all of the window once its very closest have told of their
        neighbours, if all of them have to be asked anyway. (All of the window from the first answer
        on would spend the requests of a walk through 10,000 nodes before it arrives.)"""
        if not self.want and self._answers and self._closest_answered(window):
            return self.ksize
        few = self.alpha if self.want else 2 * self.alpha
        return min(self.ksize, few + self._silences)

    def send_next(self) -> None:
        """Ask whom there is to ask; end when there is nobody."""
        if not self.ended.done():
            self._advance(self.shortlist())

    def _advance(self, window: list[Candidate]) -> None:
        flying = [candidate.state for candidate in window].count(FLYING)
        limit = self.parallel(window)
        for candidate in window:
            if candidate.state == NEW and flying < limit:
                affordable = self._affordable(candidate)
                if affordable is None:
                    continue
                if self.requests >= limits.LOOKUP_REQUESTS or not self.budget.take():
                    break
                self._launch(candidate, *affordable)
                flying += 1
        if not flying and not self._worth_waiting():
            self.end()

    def _worth_waiting(self) -> bool:
        """Whether a late answer could still matter: nothing was found, and somebody is late."""
        if self.want and (self.holders or self._answers >= limits.HOLDERS):
            return False
        if not self.want and self._answers:
            return False
        return any(candidate.state == SLOW for candidate in self.order)

    # -- asking ------------------------------------------------------------------------------------

    def _affordable(self, candidate: Candidate) -> tuple[int, Challenge | None] | None:
        """Bytes to which a request to somebody may be padded (0: none), and what it is asked to
        prove; None to ask it later."""
        sizes: tuple[int, ...] = (limits.FIND_SIZE,) if self.want else limits.FIND_CONTACTS_SIZES
        if not candidate.backers:
            return sizes[0], None
        challenge = self.protocol_for(candidate).challenge(candidate.id, candidate.address)
        if challenge is not None and candidate.pay(sizes[0] + limits.FIND_PROOF):
            return sizes[0] + limits.FIND_PROOF, challenge
        for size in (*sizes, 0):
            if candidate.pay(size or request_codec.BARE_FIND):
                return size, None
        return None

    def _may_resend(self, candidate: Candidate, size: int) -> bool:
        """Whether somebody who is silent may be asked once more."""
        if self._abandoned:
            return False
        if not candidate.backers:
            return True
        if self.ended.done() or not candidate.pay(size):
            return False
        candidate.in_short = True
        return True

    def _launch(self, candidate: Candidate, size: int, challenge: Challenge | None = None) -> None:
        candidate.state = FLYING
        candidate.in_short = not size and not candidate.token
        self.requests += 1
        protocol = self.protocol_for(candidate)
        soft = self.state.rtt.retransmit_timeout(candidate.rtt)
        candidate.timer = self.loop.call_later(soft, self._late, candidate)
        self._timers.append(candidate.timer)
        arguments = [self.node.id, min(self.want, 255), -1]
        if challenge is not None:
            arguments.append(challenge.question)
        protocol.send_request(
            candidate.address,
            "find",
            arguments,
            answer_codec.read_found,
            lambda found: self._answered(candidate, found, challenge),
            node_id=candidate.id,
            token=candidate.token,
            size=size,
            again=lambda size: self._may_resend(candidate, size),
            bare=bool(candidate.backers),
        )

    def protocol_for(self, candidate: Candidate) -> RpcProtocol:
        return self.network.socket(candidate.address)

    def _late(self, candidate: Candidate) -> None:
        if candidate.state == FLYING:
            candidate.state = SLOW
            self._silences += 1
            if candidate.backers:
                self._vain[candidate.network] += 1
            self.send_next()

    def _answered(
        self, candidate: Candidate, found: Found | None, challenge: Challenge | None
    ) -> None:
        if candidate.timer is not None:
            candidate.timer.cancel()
        if candidate.state == SLOW and candidate.backers and found is not None:
            self._vain[candidate.network] -= 1
        if found is None:
            candidate.state = DEAD
        elif self._was_cut(candidate, found):
            candidate.token, candidate.backers = found.token, []  # it has proven to be there
            protocol = self.protocol_for(candidate)
            self._launch(candidate, 0, protocol.challenge(candidate.id, candidate.address))
            return
        else:
            candidate.state, candidate.token = ANSWERED, found.token
            self._answers += 1
            self._learn(candidate, found, challenge)
        if not self.ended.done():
            self.on_answer(candidate)
            self.send_next()

    def _learn(self, candidate: Candidate, found: Found, challenge: Challenge | None) -> None:
        protocol = self.protocol_for(candidate)
        if challenge is not None and found.proof is not None:
            protocol.challenge_answered(challenge, found.proof)
        else:
            protocol.verify_peer(candidate.id, candidate.address)
        if self.ended.done():
            return
        named = Credit(found.weight)
        for peer in found.peers:
            self.add(peer, named)
        candidate.split = found.split
        candidate.shown = self.take(found.wires) if self.want else 0
        if candidate.shown:
            candidate.count = min(found.total, limits.RECORDS_PER_KEY)
            candidate.idle = min(found.idle, candidate.count)
            self.holders.append(candidate)

    def ask_page(self, holder: Candidate, start: int, done: Callable[[Found | None], None]) -> None:
        """Ask a holder for its records from turn `start` on."""
        self.requests += 1
        self.protocol_for(holder).send_request(
            holder.address,
            "find",
            [self.node.id, limits.MAX_RECORDS_IN_DATAGRAM, start],
            answer_codec.read_found,
            done,
            node_id=holder.id,
            token=holder.token,
            again=lambda size: not self._abandoned,
        )

    def apart(self, candidates: list[Candidate]) -> list[Candidate]:
        """In a public mesh, one of each network."""
        if not self.state.diverse:
            return candidates
        by_network = {candidate.network: candidate for candidate in candidates}
        return list(by_network.values())

    def _was_cut(self, candidate: Candidate, found: Found) -> bool:
        """Whether there is more to hear, now that its token is known: it was asked in short."""
        if self.ended.done() or candidate.token or not found.token or candidate.stored is not None:
            return False
        few = len(found.peers) <= FEW or found.total > 0
        return candidate.in_short and few and not found.wires

    def take(self, wires: list[bytes]) -> int:
        """Keep the records among these bytes that pass; how many did."""
        passed = 0
        for wire_bytes in wires:
            if wire_bytes not in self._read:  # else another holder has told us so already
                self._read[wire_bytes] = self._keep(wire_bytes)
            passed += self._read[wire_bytes]
        return passed

    def _keep(self, wire_bytes: bytes) -> bool:
        record = self.state.accept(wire_bytes, self.base)
        if record is None:
            return False
        place = (record.kind, record.backend, record.key)
        known = self.found.get(place)
        if known is None or known.sequence < record.sequence:
            self.found[place] = record
        return True

    def on_answer(self, candidate: Candidate) -> None:
        """Somebody answered (or never will): is that enough?"""
        if not self.want or not self.holders or self.thorough:
            return
        window = self.shortlist()
        if self.want > limits.FIND_WANT and not self._closest_answered(window):
            return  # everybody is wanted: who is passed on the way may hold but a part
        if self._agreeing_holders(window) >= limits.HOLDERS or (
            self._waited and self._closest_answered(window)
        ):
            self.end()
        elif candidate is self.holders[0]:
            few = candidate.count < self.want  # it may have come lately, and hold but a part
            grace = limits.GRACE_FEW if few else limits.GRACE
            self._timers.append(self.loop.call_later(grace, self._on_grace_over))

    def _on_grace_over(self) -> None:
        """The one holder had its grace. Its word will do if the walk has arrived: on the way there
        it may be an old one, told again by somebody who lies. It has a longer grace otherwise."""
        window = self.shortlist()
        if self.thorough:
            return
        if self._closest_answered(window) or (self._waited and self._agreeing_holders(window)):
            self.end()
        elif not self._waited:
            self._waited = True
            self._timers.append(
                self.loop.call_later(limits.GRACE_SINGLE_HOLDER, self._on_grace_over)
            )

    def _closest_answered(self, window: list[Candidate]) -> bool:
        """Whether the very closest have answered."""
        return all(candidate.state == ANSWERED for candidate in window[: self.alpha])

    def _agreeing_holders(self, window: list[Candidate]) -> int:
        """How many holders agree on how much there is. One that came lately holds only a part, one
        outside of the window has no reason to hold anything, and in a public mesh those of one
        network may be one liar."""
        most = max(holder.count for holder in self.holders)
        full = [h for h in self.holders if h.count >= most * limits.AGREEMENT and h in window]
        return len(self.apart(full))
