"""A walk that stores a record on the closest nodes that it finds.

walk  -> to the key; every node that answers on the way gives a write token
store -> to each of the closest that has answered, as soon as half of the very closest have
      <- held | refused | full; and whether the key has split: if most of the closest say so,
         the record belongs to a shard
"""

import asyncio

from privox_dht.dht import answer_codec, dht_limits
from privox_dht.dht.answer_codec import FULL, HELD, Stored
from privox_dht.dht.candidate import ANSWERED, DEAD, NEW, SLOW, Candidate
from privox_dht.dht.iterative_lookup import IterativeLookup
from privox_dht.dht.record_pages import who_say_split
from privox_dht.dht.record_validator import shard_of
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.identity import dht_id_of
from privox_dht.records import Record


class StoreLookup(IterativeLookup):
    """A walk that stores a record on the closest nodes it finds."""

    def __init__(
        self,
        network: RpcNetwork,
        base: bytes,
        depth: int,
        record: Record,
        holders: list[Candidate],
        refresh: bool = False,
        deeper: bool = False,
    ) -> None:
        """`holders` accepted the record the last time, and are sent it without a find; with
        `refresh` one of them is sent a find, for nodes that are new. With `deeper` the record is in
        a shard of this key as well, and here as one of a sample."""
        target = shard_of(base, dht_id_of(record.publisher), depth)
        super().__init__(network, target, base=base)
        self.depth, self.record, self.deeper = depth, record, deeper
        self.sent_to: list[bytes] = []  # ids of the nodes that were sent the record
        self.counts: list[int] = []  # records under the key, as reported by nodes that accepted it
        self.held = 0  # nodes that certainly hold it
        self.accepted = 0  # nodes that accepted it; with a full key, some may have dropped it
        self.quorum_reached: asyncio.Future[None] = self.loop.create_future()
        self._writing = 0
        self._window: list[Candidate] = []
        self._all_sent = False  # whether the record was sent to the whole window
        self._uplink_works = any(not contact.failures for contact in network.contacts())
        for holder in holders:
            self.shortlist.seed(holder)
        if refresh and holders:  # not one of the very closest, which would delay the others
            order = self.shortlist.candidates
            order[min(self.shortlist.alpha, len(order) - 1)].state = NEW

    def send_next(self) -> None:
        self._window = self.shortlist.window()
        self._write(self._window)
        if not self.ended.done():
            self._advance(self._window)
            if self.ended.done():  # no other node can be asked: store on those that answered
                self._write(self._window)
        self._check_quorum()

    def _check_quorum(self) -> None:
        quorum = min(len(self._window), max(1, self.shortlist.closest // dht_limits.QUORUM))
        is_over = self.ended.done() or 0 < quorum <= self.accepted
        if is_over and not self.quorum_reached.done():
            self.quorum_reached.set_result(None)

    @property
    def split(self) -> bool:
        """Whether the key has split and the record belongs to a shard: most of the eight closest
        that answered report it."""
        if self.deeper or self.depth == dht_limits.SHARD_DEPTH:
            return False
        most = dht_limits.FULL_KEY_WITNESSES
        answered = [c for c in self.shortlist.candidates if c.state == ANSWERED]
        return bool(who_say_split(self.shortlist.apart(answered[: 2 * most])[:most]))

    def _belongs_to_shard(self, window: list[Candidate]) -> bool | None:
        """Whether the record belongs to a shard; None while an answer that may tell is pending."""
        near = window[: dht_limits.FULL_KEY_WITNESSES]
        if self.deeper or self.depth == dht_limits.SHARD_DEPTH or self.accepted:
            return False
        if not any(candidate.split for candidate in near):
            return False
        if not self.ended.done() and any(candidate.state != ANSWERED for candidate in near):
            return None
        return self.split

    def _write(self, window: list[Candidate]) -> None:
        """Store the record on the window, once half of the very closest nodes have answered:
        waiting for the slowest of them would take a sixth longer."""
        self._all_sent = False
        if not self.shortlist.is_near(window):
            return  # else it would be stored on nodes that only seem to be the closest
        moved_on = self._belongs_to_shard(window)
        if moved_on:
            self.end()
        if moved_on is not False:
            return
        self._all_sent = True
        for candidate in window:
            if candidate.state != ANSWERED:
                self._all_sent = False
            elif candidate.stored is None:
                self._store_at(candidate)

    def _store_at(self, candidate: Candidate, again: bool = True) -> None:
        candidate.stored = False
        self.sent_to.append(candidate.id)
        self._writing += 1
        self.protocol_for(candidate).send_request(
            candidate.address,
            "store",
            [self.base, self.depth, int(self.deeper), [self.record.encoded]],
            answer_codec.read_stored,
            lambda stored: self._on_stored(candidate, stored, again),
            node_id=candidate.id,
            token=candidate.token,
            again=lambda size: not self._abandoned,
            soft=self.state.rtt.retransmit_timeout(candidate.rtt),
            late=lambda: self._on_late(candidate),
        )

    def _on_late(self, candidate: Candidate) -> None:
        if candidate.state == ANSWERED and not self.ended.done():
            candidate.state = SLOW
            self._writing -= 1
            self.send_next()

    def _on_stored(self, candidate: Candidate, stored: Stored | None, again: bool) -> None:
        in_time = candidate.state == ANSWERED
        self._writing -= in_time
        if stored is None:
            candidate.state = DEAD
        else:
            candidate.state, candidate.token = ANSWERED, stored.token
            candidate.split = stored.split
            if stored.results == [] and again and not self.ended.done():  # our token has expired
                self._store_at(candidate, again=False)
            elif stored.results == [HELD] or (stored.results == [FULL] and stored.split):
                candidate.stored = True
                self.counts.append(stored.total)
                self.accepted += 1
                self.held += stored.results == [HELD]
        if stored is None or not (in_time and self.accepted and self._all_sent):
            self.send_next()
            return  # otherwise the window stays as it is
        if not self._worth_waiting():
            self.end()
        self._check_quorum()

    def _worth_waiting(self) -> bool:
        """Whether a late node may still accept the record, if none has yet. While no contact
        answers at all, late nodes are not waited for."""
        if self._writing or self.accepted or not self._uplink_works:
            return self._writing > 0
        return self.shortlist.is_anyone_late

    @property
    def has_failed(self) -> bool:
        """Whether there were nodes to store the record on, and none accepted it."""
        return bool(self.shortlist.candidates) and not self.accepted

    def confirmed_holders(self) -> list[Candidate]:
        """The nodes that hold the record."""
        return [candidate for candidate in self.shortlist.candidates if candidate.stored]
