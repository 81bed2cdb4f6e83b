"""Who is on a lab's internet, where each stands, and the `ip` commands that make it so.

    private world   198.18.0.x, all in one network that counts as private
    public world    20.x, global addresses, each host in a /24 of its own

    IPv6 likewise, where a plan speaks it: fd18:: or 2600:a000::, each host in a /48 of its own.
    Behind a router the homes have addresses of its prefix: nothing is translated, and nothing
    comes in that nobody asked for.

Nothing is done here: `Layout` turns a `Plan` into names, addresses and texts for `ip -batch`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from . import nats

PRIVATE, PUBLIC = "private", "public"  # worlds
IPV4, IPV6, DUAL = "4", "6", "46"  # the families that a host speaks
HOME = "192.168.1"  # the same behind every NAT, as in real homes
FIRST_HOST, FIRST_NAT, FIRST_SPARE = 10, 101, 201  # numbers of public hosts, NATs, new addresses
SWITCH = "switch"
ANYWHERE = {"4": "0.0.0.0/0", "6": "::/0"}
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
    world: str = PRIVATE
    families: str = IPV4  # of everybody ...
    speaks: Mapping[str, str] = field(default_factory=dict)  # ... but these public hosts and NATs


@dataclass
class Place:
    """Where a public host or a NAT stands."""

    port: str  # its interface at the switch
    interface: str  # its own interface towards the switch
    addresses: dict[str, str]  # on the public network, by family

    @property
    def address(self) -> str:
        """The one that is told to others."""
        return next(iter(self.addresses.values()))


class Layout:
    """The plan worked out. `namespace` is a host's name with the lab's prefix."""

    def __init__(self, plan: Plan, prefix: str) -> None:
        self.plan = plan
        self._prefix = prefix
        self.nat_of = {host: name for name, nat in plan.nats.items() for host in nat.members}
        numbers = {name: FIRST_HOST + number for number, name in enumerate(plan.public)}
        for number, (name, nat) in enumerate(plan.nats.items()):
            nats.rules(nat.kind)  # there is such a kind
            numbers[name] = FIRST_NAT + number
        self.places = {
            name: Place(
                f"port{place}",
                nats.WAN if name in plan.nats else "eth0",
                self.numbered(number, plan.speaks.get(name, plan.families)),
            )
            for place, (name, number) in enumerate(numbers.items())
        }
        self.names = [SWITCH, *self.places, *self.nat_of]
        if len(set(self.names)) < len(plan.public) + len(plan.nats) + 1 + self._members():
            raise ValueError(f"two of the same name in {plan}")
        if too_long := [name for name in self.names if len(name) > LONGEST_NAME]:
            raise ValueError(f"names are at most {LONGEST_NAME} characters: {too_long}")

    def _members(self) -> int:
        return sum(len(nat.members) for nat in self.plan.nats.values())

    def numbered(self, number: int, families: str) -> dict[str, str]:
        """The addresses of the host with this number, by family."""
        public = self.plan.world == PUBLIC
        both = {
            "4": f"20.{number}.{number}.10" if public else f"198.18.0.{number}",
            "6": f"2600:a000:{number:x}::10" if public else f"fd18:0:{number:x}::10",
        }
        return {family: both[family] for family in families}

    def namespace(self, host: str) -> str:
        if host not in self.names:
            raise ValueError(f"no such host: {host!r}; there are {', '.join(self.names)}")
        return self._prefix + host

    def namespaces(self) -> list[str]:
        return [self._prefix + name for name in self.names]

    def place(self, host: str) -> Place:
        """Where a host meets the internet: behind a NAT, the NAT's place."""
        return self.places[self.nat_of.get(host, host)]

    def families(self, host: str) -> str:
        """What a host speaks."""
        return "".join(self.place(host).addresses) if host != SWITCH else ""

    def own_addresses(self, host: str) -> dict[str, str]:
        """The addresses on the host's own interface, by family."""
        place = self.place(host)
        if host not in self.nat_of:
            return place.addresses
        number = FIRST_HOST + self.plan.nats[self.nat_of[host]].members.index(host)
        own = {"4": f"{HOME}.{number}", "6": _home_of(place, number)}
        return {family: own[family] for family in place.addresses}

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
        bridge = "link add br0 type bridge forward_delay 0 mcast_snooping 0"
        lines = [*taps, bridge, "link set br0 up"]
        ports = [place.port for place in self.places.values()]
        yield SWITCH, _text(lines + [f"link set {port} master br0 up" for port in ports])
        for name, place in self.places.items():
            device = place.interface
            lines = ["link set lo up"]
            lines += [f"tuntap add dev {device} mode tap"] * (name in self.plan.wired)
            lines += [f"link set {device} up", *self.stand(name)]
            if name in self.plan.nats:
                lines += self._home(name)
            yield name, _text(lines)
        for host, nat in self.nat_of.items():
            lines = ["link set lo up", "link set eth0 up"]
            yield host, _text([*lines, *self.live(host, nat)])

    def stand(self, name: str) -> list[str]:
        """What gives a public host or a NAT its addresses: whoever else there is, is on the same
        wire, and the rest of the internet is silent."""
        place = self.places[name]
        lines = [_add(family, ip, place.interface) for family, ip in place.addresses.items()]
        lines += [f"route replace {ANYWHERE[f]} dev {place.interface}" for f in place.addresses]
        for host in self.plan.nats[name].members if name in self.plan.nats else ():
            if "6" in place.addresses:  # asked for on the wire, the router says: that is me
                own = self.own_addresses(host)["6"]
                lines.append(f"neigh replace proxy {own} dev {place.interface}")
        return lines

    def live(self, host: str, nat: str) -> list[str]:
        """What gives a host behind a router its addresses."""
        place = self.places[nat]
        router = {"4": f"{HOME}.1", "6": _home_of(place, 1)}
        own = self.own_addresses(host)
        lines = [_add(family, ip, "eth0") for family, ip in own.items()]
        return lines + [f"route replace {ANYWHERE[f]} via {router[f]} dev eth0" for f in own]

    def house(self, nat: str) -> list[str]:
        """What gives a router its addresses at home."""
        place = self.places[nat]
        own = {"4": f"{HOME}.1", "6": _home_of(place, 1)}
        return [_add(family, own[family], nats.LAN) for family in place.addresses]

    def _home(self, name: str) -> list[str]:
        bridge = f"link add {nats.LAN} type bridge forward_delay 0 mcast_snooping 0"
        lines = [bridge, f"link set {nats.LAN} up", *self.house(name)]
        members = self.plan.nats[name].members
        return lines + [f"link set lan-{host} master {nats.LAN} up" for host in members]


def _home_of(place: Place, number: int) -> str:
    """An IPv6 address at home, of the prefix that the router was given."""
    return f"{place.addresses.get('6', '::').removesuffix('::10')}:1::{number:x}"


def _add(family: str, address: str, device: str) -> str:
    return f"addr add {address}/{'24' if family == '4' else '64 nodad'} dev {device}"


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
