"""The results of dial-backs by several witnesses, and what follows from them. Pure.

vote      one witness's result: UDP, TCP, and the address that it dialled
verdict   the result that two agree on, or the only one there is

Two witnesses that got through at different addresses may both be right: one may still see the
address that our router had before, or the router has two; or one of them lies. Both addresses are
published then, since clients try all routes side by side: so one liar of two cannot take the right
one away.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from privox_dht.addresses import Address
from privox_dht.dht import dht_limits
from privox_dht.dht.answer_codec import ARRIVED, UNTRIED, Dialled

MAX_ADDRESSES = 2  # of one family that are published while witnesses differ


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether strangers can reach us in one family; None where that could not be determined."""

    family: int
    udp: bool | None = None
    tcp: bool | None = None
    addresses: tuple[Address, ...] = ()  # that witnesses dialled: one, or several while they got
    # through at different ones
    witnesses: int = 0  # how many gave a result

    @property
    def is_open(self) -> bool:
        """Whether both came through, at an address that is known."""
        return self.udp is True and self.tcp is True and bool(self.addresses)

    @property
    def is_disputed(self) -> bool:
        """Whether they got through at different addresses."""
        return len(self.addresses) > 1

    @property
    def is_shut(self) -> bool:
        """Whether we know that something did not come through."""
        return False in (self.udp, self.tcp)


class Vote(NamedTuple):
    """One witness's result."""

    udp: bool
    tcp: bool | None
    address: Address | None


class Quorum:
    """The votes, until two agree or no witness is left."""

    def __init__(self) -> None:
        self._cast: list[Vote] = []

    def __len__(self) -> int:
        return len(self._cast)

    def cast(self, came: bool | None, dialled: Dialled | None) -> None:
        """Count one witness's result, if it gave any."""
        if came is None or dialled is None:
            return
        tcp = None if dialled.tcp == UNTRIED else dialled.tcp == ARRIVED
        self._cast.append(Vote(came, tcp, dialled.where))

    def agreed(self, which: str) -> Any:
        """The result of most witnesses, if two agree, or the only one there is; else None."""
        results = [value for vote in self._cast if (value := getattr(vote, which)) is not None]
        counts = sorted(((results.count(value), value) for value in set(results)), reverse=True)
        if len(results) == 1:
            return results[0]
        if not counts or counts[0][0] < dht_limits.DIAL_AGREE:
            return None
        return counts[0][1] if counts[-1] == counts[0] or counts[1][0] < counts[0][0] else None

    def addresses(self) -> tuple[Address, ...]:
        """The address that witnesses agree on, whether or not they got through; else those at which
        most of them did, best first."""
        agreed: Address | None = self.agreed("address")
        if agreed is not None:
            return (agreed,)
        if not (self.agreed("udp") and self.agreed("tcp")):
            return ()
        through = Counter(v.address for v in self._cast if v.address and v.udp and v.tcp)
        return tuple(address for address, _ in through.most_common(MAX_ADDRESSES))

    def is_settled(self, with_tcp: bool) -> bool:
        """Whether no more witnesses need be asked."""
        if len(self._cast) < dht_limits.DIAL_AGREE:
            return False
        udp, tcp = self.agreed("udp"), self.agreed("tcp")
        if udp and (tcp or not with_tcp):
            return self.agreed("address") is not None
        return udp is False or (udp is True and tcp is False)
