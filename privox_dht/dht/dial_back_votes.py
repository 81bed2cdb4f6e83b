"""What those who were asked to call us back found, and what follows from it. Pure.

vote      what one of them saw: UDP, TCP, and the address that it called
verdict   what two agree on, or the only one there is

Two that got through at different addresses are both right as far as can be known: one of them
still sees the address that our router had before, or the router has two, or one of them lies. Both
addresses are published then, since callers try all routes side by side: so one liar of two cannot
take the right one away.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from privox_dht.addresses import Address
from privox_dht.dht import dht_limits
from privox_dht.dht.answer_codec import ARRIVED, UNTRIED, Dialled

MOST_ADDRESSES = 2  # at which we are taken to be reached in one family, while they differ


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether strangers can reach us in one family; None where that could not be determined."""

    family: int
    udp: bool | None = None
    tcp: bool | None = None
    addresses: tuple[Address, ...] = ()  # at which they reached us, or tried to: one, or several
    # while they got through at different ones
    witnesses: int = 0  # whose word that is

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
    """What one of them saw."""

    udp: bool
    tcp: bool | None
    address: Address | None


class Quorum:
    """What they saw, until two of them agree, or there is only one."""

    def __init__(self) -> None:
        self._cast: list[Vote] = []

    def __len__(self) -> int:
        return len(self._cast)

    def cast(self, came: bool | None, dialled: Dialled | None) -> None:
        """Count what one of them said, if it said anything."""
        if came is None or dialled is None:
            return
        tcp = None if dialled.tcp == UNTRIED else dialled.tcp == ARRIVED
        self._cast.append(Vote(came, tcp, dialled.where))

    def agreed(self, which: str) -> Any:
        """What most of them saw, if two did, or the only one there is; else None."""
        said = [value for vote in self._cast if (value := getattr(vote, which)) is not None]
        counts = sorted(((said.count(value), value) for value in set(said)), reverse=True)
        if len(said) == 1:
            return said[0]
        if not counts or counts[0][0] < dht_limits.DIAL_AGREE:
            return None
        return counts[0][1] if counts[-1] == counts[0] or counts[1][0] < counts[0][0] else None

    def addresses(self) -> tuple[Address, ...]:
        """The address that they agree on, whether or not they got through; else those at which
        most of them did, best first."""
        agreed: Address | None = self.agreed("address")
        if agreed is not None:
            return (agreed,)
        if not (self.agreed("udp") and self.agreed("tcp")):
            return ()
        through = Counter(v.address for v in self._cast if v.address and v.udp and v.tcp)
        return tuple(address for address, _ in through.most_common(MOST_ADDRESSES))

    def is_settled(self, with_tcp: bool) -> bool:
        """Whether no more of them need be asked."""
        if len(self._cast) < dht_limits.DIAL_AGREE:
            return False
        udp, tcp = self.agreed("udp"), self.agreed("tcp")
        if udp and (tcp or not with_tcp):
            return self.agreed("address") is not None
        return udp is False or (udp is True and tcp is False)
