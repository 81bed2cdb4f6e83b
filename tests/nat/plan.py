"""Who is on a lab's internet, where each stands, and the `ip` commands that make it so.

Nothing is done here: `Layout` turns a `Plan` into names, addresses and texts for `ip -batch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from . import nats

NETWORK = "198.18.0"  # the range for tests of networks (RFC 2544): routed nowhere
HOME = "192.168.1"  # the same behind every NAT, as in real homes
FIRST_HOST, FIRST_NAT, FIRST_SPARE = 10, 101, 201  # last numbers of addresses
SWITCH = "switch"
LONGEST_NAME = 11  # characters of a host's name: with "lan-" before it, it names an interface


@dataclass(frozen=True)
class Nat:
    """A home router and who lives behind it."""

    kind: str  # one of `nats.KINDS`
    members: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Who is on the internet. All names are different."""

    public: tuple[str, ...] = ("first", "client")
    nats: Mapping[str, Nat] = field(default_factory=dict)
    wired: tuple[str, ...] = ()  # public hosts and NATs whose link can be slowed down


@dataclass
class Place:
    """Where a public host or a NAT stands."""

    port: str  # its interface at the switch
    interface: str  # its own interface towards the switch
    address: str  # on the public network


class Layout:
    """The plan worked out. `namespace` is a host's name with the lab's prefix."""

    def __init__(self, plan: Plan, prefix: str) -> None:
        self.plan = plan
        self._prefix = prefix
        self.nat_of = {host: name for name, nat in plan.nats.items() for host in nat.members}
        self.places = {
            name: Place(f"port{number}", "eth0", f"{NETWORK}.{FIRST_HOST + number}")
            for number, name in enumerate(plan.public)
        }
        for number, (name, nat) in enumerate(plan.nats.items()):
            nats.rules(nat.kind)  # there is such a kind
            port = f"port{len(plan.public) + number}"
            self.places[name] = Place(port, nats.WAN, f"{NETWORK}.{FIRST_NAT + number}")
        self.names = [SWITCH, *self.places, *self.nat_of]
        if len(set(self.names)) < len(plan.public) + len(plan.nats) + 1 + self._members():
            raise ValueError(f"two of the same name in {plan}")
        if too_long := [name for name in self.names if len(name) > LONGEST_NAME]:
            raise ValueError(f"names are at most {LONGEST_NAME} characters: {too_long}")

    def _members(self) -> int:
        return sum(len(nat.members) for nat in self.plan.nats.values())

    def namespace(self, host: str) -> str:
        if host not in self.names:
            raise ValueError(f"no such host: {host!r}; there are {', '.join(self.names)}")
        return self._prefix + host

    def namespaces(self) -> list[str]:
        return [self._prefix + name for name in self.names]

    def place(self, host: str) -> Place:
        """Where a host meets the internet: behind a NAT, the NAT's place."""
        return self.places[self.nat_of.get(host, host)]

    def own_address(self, host: str) -> str:
        """The address on the host's own interface."""
        if host not in self.nat_of:
            return self.places[host].address
        return f"{HOME}.{FIRST_HOST + self.plan.nats[self.nat_of[host]].members.index(host)}"

    def interface(self, host: str) -> str:
        """The host's own interface towards the internet."""
        return "eth0" if host in self.nat_of else self.places[host].interface

    # -- texts for `ip -batch` ---------------------------------------------------------------------

    def outer(self) -> str:
        """Every namespace, and every pair of interfaces between two; run outside of all of them."""
        lines = [f"netns add {name}" for name in self.namespaces()]
        switch = self.namespace(SWITCH)
        for name, place in self.places.items():
            if name not in self.plan.wired:
                there = f"peer {place.interface} netns {self.namespace(name)}"
                lines.append(f"link add {place.port} netns {switch} type veth {there}")
        for host, nat in self.nat_of.items():
            there = f"peer eth0 netns {self.namespace(host)}"
            lines.append(f"link add lan-{host} netns {self.namespace(nat)} type veth {there}")
        return _text(lines)

    def wires(self) -> list[tuple[str, tuple[str, str], tuple[str, str]]]:
        """The links that a wire carries: name, then namespace and device of either end."""
        ends = [(name, self.places[name]) for name in self.plan.wired]
        return [
            (n, (self.namespace(n), p.interface), (self.namespace(SWITCH), p.port)) for n, p in ends
        ]

    def inner(self) -> Iterator[tuple[str, str]]:
        """For each name, what is run inside its namespace: addresses, bridges, routes."""
        taps = [f"tuntap add dev {self.places[name].port} mode tap" for name in self.plan.wired]
        lines = [*taps, "link add br0 type bridge forward_delay 0", "link set br0 up"]
        ports = [place.port for place in self.places.values()]
        yield SWITCH, _text(lines + [f"link set {port} master br0 up" for port in ports])
        for name, place in self.places.items():
            device = place.interface
            lines = ["link set lo up"]
            lines += [f"tuntap add dev {device} mode tap"] * (name in self.plan.wired)
            lines += _up(device, place.address)
            lines += [f"route add default dev {device}"]  # the rest of the internet is silent
            if name in self.plan.nats:
                lines += self._home(self.plan.nats[name])
            yield name, _text(lines)
        for host in self.nat_of:
            lines = ["link set lo up", *_up("eth0", self.own_address(host))]
            yield host, _text([*lines, f"route add default via {HOME}.1"])

    def _home(self, nat: Nat) -> list[str]:
        bridge = [f"link add {nats.LAN} type bridge forward_delay 0", *_up(nats.LAN, f"{HOME}.1")]
        return bridge + [f"link set lan-{host} master {nats.LAN} up" for host in nat.members]


def _up(device: str, address: str) -> list[str]:
    return [f"addr add {address}/24 dev {device}", f"link set {device} up"]


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
