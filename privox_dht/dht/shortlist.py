"""Which nodes a look-up may ask, which it asks next, and which holders it believes. Pure.

candidates   all nodes that were named, closest first
window       the k closest of them that are not silent, at most two of one network
in flight    a few while answers bring closer nodes, one more for each that was silent
holders      who holds records; two that agree, of two networks, are believed
"""

import bisect
from collections import Counter
from collections.abc import Callable
from itertools import islice

from privox_dht.addresses import Address
from privox_dht.dht import dht_limits
from privox_dht.dht.candidate import ANSWERED, DEAD, NEW, SLOW, Candidate
from privox_dht.dht.k_bucket import BITS
from privox_dht.dht.lookup_budget import Credit


class Shortlist:
    """The candidates of one look-up."""

    __slots__ = ("_addresses", "_diverse", "_is_crowded", "_known", "_networks", "alpha",
                 "answers", "candidates", "closest", "holders", "reach", "silences", "target",
                 "vain")  # fmt: skip

    def __init__(
        self, target: int, own_id: bytes, closest: int, diverse: Callable[[], bool]
    ) -> None:
        """
        Args:
            target: the id that is walked to.
            own_id: ours; we are no candidate.
            closest: how many nodes are looked for.
            diverse: whether networks are counted: not in a private mesh.
        """
        self.target, self.closest, self.alpha = target, closest, dht_limits.ALPHA
        self.candidates: list[Candidate] = []
        self.holders: list[Candidate] = []
        self.reach = 1 << BITS  # distance within which a node may be one of the closest
        self.answers = self.silences = 0
        self.vain: Counter[bytes] = Counter()  # addresses of a network that have never answered
        self._diverse = diverse
        self._known: dict[bytes, Candidate | None] = {own_id: None}
        self._addresses: set[Address] = set()
        self._networks: Counter[bytes] = Counter()  # candidates of each
        self._is_crowded = False  # whether more are of one than may be in the window

    def __repr__(self) -> str:
        states = Counter(candidate.state for candidate in self.candidates)
        return (
            f"<Shortlist {states[ANSWERED]} answered, {states[DEAD]} dead, "
            f"{len(self.holders)} holders>"
        )

    def knows(self, node_id: bytes, address: Address, named: Credit | None) -> bool:
        """Whether a node is us, or a candidate already, or stands where one does. Who was named
        once more may be asked on the credit of that as well."""
        if node_id in self._known:
            known = self._known[node_id]
            if known is not None and named is not None and known.backers:
                known.backers.append(named)
            return True
        return address in self._addresses

    def add(
        self,
        node_id: bytes,
        address: Address,
        rtt: float,
        named: Credit | None,
        token: bytes = b"",
    ) -> None:
        """Add a candidate that is not known yet."""
        candidate = Candidate(node_id, address, self.target, rtt)
        candidate.token = token
        if named is not None:
            candidate.backers.append(named)
        self._enter(candidate)

    def seed(self, holder: Candidate) -> None:
        """Add a node that answered an earlier look-up, and is not asked again."""
        holder.state, holder.stored = ANSWERED, None
        holder.backers = []  # it has answered before
        self._enter(holder)

    def _enter(self, candidate: Candidate) -> None:
        self._known[candidate.id] = candidate
        self._addresses.add(candidate.address)
        network = candidate.network
        crowd = self._networks[network] = self._networks[network] + 1
        self._is_crowded = self._is_crowded or crowd > dht_limits.CONTACTS_PER_NETWORK
        bisect.insort(self.candidates, candidate)

    def window(self) -> list[Candidate]:
        """The k closest candidates that are not silent and may be asked, at most two of them of one
        network."""
        window: list[Candidate] = []
        diverse, closest = self._diverse(), self.closest
        crowded, vain = diverse and self._is_crowded, diverse and self.vain
        crowds: dict[bytes, int] = {}
        for candidate in self.candidates:
            state = candidate.state
            if state >= SLOW:
                continue
            if state == NEW:
                if not candidate.may_be_asked:
                    continue
                if vain and vain[candidate.network] >= dht_limits.CONTACTS_PER_NETWORK:
                    continue
            if crowded:
                network = candidate.network
                crowd = crowds[network] = crowds.get(network, 0) + 1
                if crowd > dht_limits.CONTACTS_PER_NETWORK:
                    continue
            window.append(candidate)
            if len(window) >= closest:
                break
        return window

    def parallel(self, window: list[Candidate], want: int) -> int:
        """How many requests may be in flight now: a few while answers still bring closer nodes, and
        one more for each silent candidate. A look-up that must ask the whole window anyway asks all
        of it once half of the very closest have answered. (If it did so from the first answer on,
        a walk through 10,000 nodes would spend its requests before it arrives.)"""
        if not want and self.is_near(window):
            return self.closest
        few = self.alpha if want else 2 * self.alpha
        return min(self.closest, few + self.silences)

    def answered(self) -> list[Candidate]:
        """The closest nodes that answered."""
        some = (candidate for candidate in self.candidates if candidate.state == ANSWERED)
        return list(islice(some, self.closest))

    def is_near(self, window: list[Candidate]) -> bool:
        """Whether half of the very closest have answered: the nodes that the others may still name
        hardly change which are the closest."""
        near = window[: self.alpha]
        answered = [candidate.state for candidate in near].count(ANSWERED)
        return answered > 0 and 2 * answered >= len(near)

    def closest_answered(self, window: list[Candidate]) -> bool:
        """Whether the very closest have answered."""
        return all(candidate.state == ANSWERED for candidate in window[: self.alpha])

    @property
    def is_anyone_late(self) -> bool:
        """Whether a late answer may still come."""
        return any(candidate.state == SLOW for candidate in self.candidates)

    @property
    def met_silence(self) -> bool:
        """Too few answered for "nothing" to be an answer."""
        silent = any(candidate.state in (SLOW, DEAD) for candidate in self.candidates)
        return silent and self.answers < dht_limits.HOLDERS

    def apart(self, candidates: list[Candidate]) -> list[Candidate]:
        """One candidate of each network; in a private mesh all."""
        if not self._diverse():
            return candidates
        by_network = {candidate.network: candidate for candidate in candidates}
        return list(by_network.values())

    def agreeing_holders(self, window: list[Candidate], want: int) -> int:
        """How many holders agree on the number of records. A node that joined lately holds only
        some of them; one outside of the window, or too far away, has no reason to hold any; and in
        a public mesh the holders of one network may be one liar. Nodes that are nearly among the
        closest collect copies that walks to a popular key leave on the way, so holders of fewer
        idle records than are wanted have to be nearer."""
        most = max(holder.count for holder in self.holders)
        few = max(holder.idle for holder in self.holders) < want
        reach = self.reach * dht_limits.FEW_REACH if few else self.reach
        near = (h for h in self.holders if h.distance <= reach and h in window)
        full = [holder for holder in near if holder.count >= most * dht_limits.AGREEMENT]
        return len(self.apart(full))

    # -- when it is enough -------------------------------------------------------------------------

    def is_worth_waiting(self, want: int) -> bool:
        """Whether a late answer could still matter when all candidates were asked: nothing was
        found, and an answer is late."""
        if want:
            done = bool(self.holders) or self.answers >= dht_limits.HOLDERS
        else:
            done = self.answers > 0
        return not done and self.is_anyone_late

    def is_enough(self, window: list[Candidate], want: int, *, waited: bool) -> bool:
        """Whether the holders may be believed: two agree, or the walk has arrived and there is
        still only one after its grace (`waited`)."""
        if self.agreeing_holders(window, want) >= dht_limits.HOLDERS:
            return True
        return waited and self.closest_answered(window)

    def one_is_enough(self, window: list[Candidate], want: int, *, waited: bool) -> bool:
        """Whether the only holder may be believed now that its grace is over: if the walk has
        arrived, since a holder met on the way may be a liar that replays an old record; or, after
        the longer grace (`waited`), if it stands where it has a reason to hold records."""
        return self.closest_answered(window) or (waited and self.agreeing_holders(window, want) > 0)

    def grace(self, want: int) -> float:
        """Seconds for which a second holder is waited for: the first may have joined lately, and
        hold only some of the records."""
        few = self.holders[0].count < want
        return dht_limits.GRACE_FEW if few else dht_limits.GRACE
