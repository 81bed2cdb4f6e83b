"""One look-up: walk towards a target, a few requests in flight, each answer acted on at once.

    candidates, closest first -> up to alpha of them asked at a time, more amid silence
    soft timeout              -> the place is free again; a late answer still counts
named by others           -> asked on the credit of those who named it: at length, or in short, and
                             then again with the token that it gave; two in vain end its network
    answer                    -> closer candidates, a token, records
    first holder              -> a moment's grace for a second one, so that a stale word is noticed;
                                 longer on the way, where no node has a reason to hold records

It ends when the closest k have answered (or are silent), when enough was found, after so many
requests, or when its time is up; whatever strangers answer. What goes to addresses that have never
answered is bounded by what came from those who named them.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from kademlia.node import Node

from privox_dht import limits
from privox_dht.dht import answer_codec, dht_limits, request_codec
from privox_dht.dht.answer_codec import Found
from privox_dht.dht.candidate import ANSWERED, DEAD, FLYING, NEW, SLOW, Candidate
from privox_dht.dht.found_records import FoundRecords
from privox_dht.dht.lookup_budget import Budget, Credit
from privox_dht.dht.met_nodes import MetNodes
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import Challenge, RpcProtocol
from privox_dht.dht.shortlist import Shortlist


class IterativeLookup:
    """A look-up of the nodes close to a key and, with `want`, of records under it."""

    def __init__(
        self,
        network: RpcNetwork,
        target: bytes,
        *,
        want: int = 0,
        base: bytes = b"",
        budget: Budget | None = None,
        closest: int = dht_limits.BUCKET,
        met: MetNodes | None = None,
    ) -> None:
        """
        Args:
            closest: how many nodes are looked for. A far bucket holds no more than a few.
            met: nodes that answered just now: it begins with those as well.
        """
        self.network, self.state = network, network.state
        state = network.state  # below not `self.state`: a look-up that ended is freed at once
        self.target = Node(target)
        self.shortlist = Shortlist(
            self.target.long_id, self.state.identity.dht_id, closest, lambda: state.diverse
        )
        self.want = want
        self.base = base or target  # the key that a record must name; a shard's target is another
        self.loop = asyncio.get_running_loop()
        self.budget = budget or Budget(want, self.loop.time())
        self.requests = 0
        self._met = MetNodes() if met is None else met
        self.records = FoundRecords(self.state, self.base)
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._timers: list[asyncio.TimerHandle] = []
        self._abandoned = False
        self.thorough = False  # whether it goes on when enough was found
        self._waited = False  # whether the first holder was given its grace, and is still alone

    def __repr__(self) -> str:
        return f"<IterativeLookup {self.target.id.hex()[:8]}: {len(self.records.newest)} records>"

    async def find(self) -> list[Candidate]:
        """Walk; the closest nodes that answered, closest first."""
        now = self.loop.time()
        if self.ended.done():
            self.ended = self.loop.create_future()
        for protocol in self.network.protocols.values():
            protocol.router.touch(self.target.long_id, now)
            for contact in protocol.router.find_neighbors(self.target):
                self.add(contact)
        if self.want:
            self.shortlist.reach = self.network.reach()
        for candidate in self._met.nearest(self.target.long_id, self.shortlist.closest):
            self.add(candidate)
        end = min(now + dht_limits.LOOKUP_TIME, self.budget.deadline)
        self._timers.append(self.loop.call_at(end, self.end))
        try:
            self.send_next()
            await self.ended
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            self.end()
        return self.shortlist.answered()

    def add(self, peer: Any, named: Credit | None = None) -> None:
        """Add a candidate, unless it is us, known, or not to be contacted.

        Args:
            named: the credit of the answer that named it, if a stranger did.
        """
        address = peer.address
        if self.shortlist.knows(peer.id, address, named) or address in self.state.dial_back_peers:
            return
        if not self.state.may_contact(address[0]):
            self.state.drop("contact", address[0])
            return
        rtt = getattr(peer, "rtt", 0.0)  # what strangers tell of has none
        token = getattr(peer, "token", b"")
        self.shortlist.add(peer.id, address, rtt, named, token)

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

    def send_next(self) -> None:
        """Ask the next candidates; end when there are none."""
        if not self.ended.done():
            self._advance(self.shortlist.window())

    def _advance(self, window: list[Candidate]) -> None:
        flying = [candidate.state for candidate in window].count(FLYING)
        limit = self.shortlist.parallel(window, self.want)
        for candidate in window:
            if candidate.state == NEW and flying < limit:
                affordable = self._affordable(candidate)
                if affordable is None:
                    continue
                if self.requests >= dht_limits.LOOKUP_REQUESTS or not self.budget.take():
                    break
                self._launch(candidate, *affordable)
                flying += 1
        if not flying and not self._worth_waiting():
            self.end()

    def _worth_waiting(self) -> bool:
        return self.shortlist.is_worth_waiting(self.want)

    # -- asking ------------------------------------------------------------------------------------

    def _affordable(self, candidate: Candidate) -> tuple[int, Challenge | None] | None:
        """Bytes to which a request to somebody may be padded (0: none), and what it is asked to
        prove; None to ask it later."""
        sizes: tuple[int, ...] = (
            (dht_limits.FIND_SIZE,) if self.want else dht_limits.FIND_CONTACTS_SIZES
        )
        if not candidate.backers:
            return (0 if candidate.token else sizes[0]), None
        challenge = self.protocol_for(candidate).challenge(candidate.id, candidate.address)
        if challenge is not None and candidate.pay(sizes[0] + dht_limits.FIND_PROOF):
            return sizes[0] + dht_limits.FIND_PROOF, challenge
        for size in (*sizes, 0):
            if candidate.pay(size or request_codec.BARE_FIND):
                return size, None
        return None

    def _may_resend(self, candidate: Candidate, size: int) -> bool:
        """Whether a silent candidate may be asked once more."""
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
        arguments = [self.target.id, min(self.want, 255), -1]
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
            soft=self.state.rtt.retransmit_timeout(candidate.rtt),
            late=lambda: self._late(candidate),
        )

    def protocol_for(self, candidate: Candidate) -> RpcProtocol:
        return self.network.socket(candidate.address)

    def _late(self, candidate: Candidate) -> None:
        if candidate.state == FLYING and not self.ended.done():
            candidate.state = SLOW
            self.shortlist.silences += 1
            if candidate.backers:
                self.shortlist.vain[candidate.network] += 1
            self.send_next()

    def _answered(
        self, candidate: Candidate, found: Found | None, challenge: Challenge | None
    ) -> None:
        if candidate.state == SLOW and candidate.backers and found is not None:
            self.shortlist.vain[candidate.network] -= 1
        if found is None:
            candidate.state = DEAD
        elif candidate.was_cut(found) and not self.ended.done():
            candidate.token, candidate.backers = found.token, []  # it has proven to be there
            protocol = self.protocol_for(candidate)
            self._launch(candidate, 0, protocol.challenge(candidate.id, candidate.address))
            return
        else:
            candidate.state, candidate.token = ANSWERED, found.token
            self.shortlist.answers += 1
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
        candidate.shown = self.records.take(found.wires) if self.want else 0
        if candidate.shown:
            candidate.count = min(found.total, dht_limits.RECORDS_PER_KEY)
            candidate.idle = min(found.idle, candidate.count)
            self.shortlist.holders.append(candidate)

    def ask_page(self, holder: Candidate, start: int, done: Callable[[Found | None], None]) -> None:
        """Ask a holder for its records from turn `start` on."""
        self.requests += 1
        arguments = [self.target.id, dht_limits.MAX_RECORDS_IN_DATAGRAM, start]
        self.protocol_for(holder).send_request(
            holder.address, "find", arguments, answer_codec.read_found, done,
            node_id=holder.id, token=holder.token, again=lambda size: not self._abandoned,
        )  # fmt: skip

    def on_answer(self, candidate: Candidate) -> None:
        """Somebody answered (or never will): is that enough?"""
        if not self.want or not self.shortlist.holders or self.thorough:
            return
        window = self.shortlist.window()
        if self.want > limits.FIND_WANT and not self.shortlist.closest_answered(window):
            return  # everybody is wanted: who is passed on the way may hold but a part
        if self.shortlist.is_enough(window, self.want, waited=self._waited):
            self.end()
        elif candidate is self.shortlist.holders[0]:
            grace = self.shortlist.grace(self.want)
            self._timers.append(self.loop.call_later(grace, self._on_grace_over))

    def _on_grace_over(self) -> None:
        """The one holder had its grace; it has a longer one where its word alone will not do."""
        if self.thorough:
            return
        window = self.shortlist.window()
        if self.shortlist.one_is_enough(window, self.want, waited=self._waited):
            self.end()
        elif not self._waited:
            self._waited = True
            self._timers.append(
                self.loop.call_later(dht_limits.GRACE_SINGLE_HOLDER, self._on_grace_over)
            )
