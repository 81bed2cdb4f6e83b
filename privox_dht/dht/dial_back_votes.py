"""What those who were asked to call us back found, and what follows from it. Pure.

vote      what one of them saw: UDP, TCP, and the address that it called
verdict   what two agree on, or the only one there is
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from privox_dht.addresses import Address
from privox_dht.dht import dht_limits
from privox_dht.dht.answer_codec import ARRIVED, UNTRIED, Dialled


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether strangers can reach us in one family; None where that could not be determined."""

    family: int
    udp: bool | None = None
    tcp: bool | None = None
    address: Address | None = None  # at which they reached us, or tried to
    witnesses: int = 0  # whose word that is

    @property
    def is_open(self) -> bool:
        """Whether both came through, at an address that is agreed on: while a router changes its
        own, one witness still sees the old one, and that has to be asked again soon."""
        return self.udp is True and self.tcp is True and self.address is not None

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

    def is_settled(self, with_tcp: bool) -> bool:
        """Whether no more of them need be asked."""
        if len(self._cast) < dht_limits.DIAL_AGREE:
            return False
        udp, tcp = self.agreed("udp"), self.agreed("tcp")
        if udp and (tcp or not with_tcp):
            return self.agreed("address") is not None
        return udp is False or (udp is True and tcp is False)
