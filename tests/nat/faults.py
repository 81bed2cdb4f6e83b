"""What is wrong with the network just now, and the switch's rules that make it so.

    test  -> Faults     loss, udp_loss, partition, blackhole, heal
    Faults -> switch    script(): the whole chain anew, put in place in one transaction

Only IP is lost or cut, never ARP nor what IPv6 has in its place: on the internet a dead peer is
silence, while a neighbour that stops answering those would be reported as unreachable after three
seconds.
"""

from dataclasses import dataclass, field

SHARES = 10_000  # loss is made in steps of a hundredth of a percent

NEIGHBOURS = "nd-neighbor-solicit, nd-neighbor-advert"
IP = "meta protocol { ip, ip6 }"
TABLE = """
table bridge lab {
  chain faults {
    type filter hook forward priority 0
  }
}
"""


@dataclass
class Faults:
    """The faults in force. `port` is the name of a switch port throughout."""

    _rules: list[str] = field(default_factory=list)

    def loss(self, port: str | None, share: float, *, udp_only: bool = False) -> None:
        """Lose this share (0 to 1) of the packets at a port, each way; at every port if None."""
        if not 0 <= share <= 1:
            raise ValueError(f"a share is between 0 and 1, not {share}")
        what = "meta l4proto udp" if udp_only else IP
        # numgen counts from 0 to SHARES - 1, so all of them is said by "at most the last"
        chance = f"{what} numgen random mod {SHARES} <= {round(share * SHARES) - 1} counter drop"
        if share * SHARES < 1:
            return
        self._rules += [chance] if port is None else [f"{end} {chance}" for end in _ends(port)]

    def partition(self, one_side: list[str], other_side: list[str]) -> None:
        """Nothing passes between any port of the one side and any of the other."""
        for one in one_side:
            for other in other_side:
                for source, sink in ((one, other), (other, one)):
                    self._rules.append(f'iifname "{source}" oifname "{sink}" {IP} drop')

    def blackhole(self, port: str) -> None:
        """Everything to and from a port vanishes: no reset, no unreachable, nothing."""
        self._rules += [f"{end} {IP} drop" for end in _ends(port)]

    def heal(self) -> None:
        """Everything is well again."""
        self._rules.clear()

    def script(self) -> str:
        """The rules in force, for `nft -f`."""
        lines = ["flush chain bridge lab faults"]
        if self._rules:
            exempt = f"icmpv6 type {{ {NEIGHBOURS} }} accept"
            lines += [f"add rule bridge lab faults {rule}" for rule in (exempt, *self._rules)]
        return "\n".join(lines) + "\n"


def _ends(port: str) -> tuple[str, str]:
    return f'iifname "{port}"', f'oifname "{port}"'
