"""Which announcements in the local network are used, and which nodes to try. Pure.

Any machine in the same network can announce anything, so these are the conditions:

    mesh              ours
    addresses         private or link-local ones, in a network of this machine
    port              above those of other services
    number            few of one address, and a limit on all; each time some of them are tried,
                      chosen at random, each at another address
"""

import ipaddress
import random
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeAlias

from privox_dht import limits
from privox_dht.addresses import Address

Link: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface
MESH = b"mesh"  # the name of the property for the mesh
DOMAIN = b"privox_dht lan 1\0"


def properties(mesh: bytes) -> dict[str, str]:
    """The properties in the announcements of the mesh with this tag: a hash, which does not reveal
    a private mesh's tag."""
    return {MESH.decode(): blake2b(DOMAIN + mesh, digest_size=16).hexdigest()}


class LanNeighbours:
    """The announced nodes.

    Args:
        mesh: the tag of our mesh.
        links: this machine's addresses, with their networks.
        own_port: our own UDP port at these addresses; 0: none.
    """

    def __init__(self, mesh: bytes, links: Sequence[Link], own_port: int = 0) -> None:
        self._mesh = properties(mesh)[MESH.decode()].encode()
        self._links, self._own_port = tuple(links), own_port
        self._known: dict[str, tuple[Address, ...]] = {}  # by announced name
        self._of_host: dict[str, int] = {}  # number of names by address

    def __repr__(self) -> str:
        return f"<LanNeighbours {len(self._known)} known>"

    def __len__(self) -> int:
        return len(self._known)

    def add(
        self,
        name: str,
        text: Mapping[bytes, bytes | None],
        addresses: Iterable[str],
        port: int | None,
    ) -> bool:
        """Add an announcement, if it meets the conditions. Returns whether it does.

        Args:
            name: of the announcement.
            text: its properties.
            addresses: IP literals, unchecked.
        """
        self.remove(name)
        if text.get(MESH) != self._mesh or port is None:
            return False
        if not limits.FIRST_OPEN_PORT <= port < 65536 or len(self._known) >= limits.LAN_KNOWN:
            return False
        near = [ip for ip in dict.fromkeys(map(self._near, addresses)) if ip]
        if any(port == self._own_port and self._is_here(ip) for ip in near):
            return False  # our own announcement
        some = [
            ip
            for ip in near[: limits.LAN_ADDRESSES]
            if self._of_host.get(ip, 0) < limits.LAN_KNOWN_PER_ADDRESS
        ]
        if not some:
            return False
        for ip in some:
            self._of_host[ip] = self._of_host.get(ip, 0) + 1
        self._known[name] = tuple((ip, port) for ip in some)
        return True

    def remove(self, name: str) -> None:
        """Remove an announcement that was withdrawn."""
        for ip, _ in self._known.pop(name, ()):
            self._of_host[ip] -= 1
            if not self._of_host[ip]:
                del self._of_host[ip]

    def pick(self, rng: random.Random) -> list[Address]:
        """The nodes to try now: at most `LAN_DIALS`, each at another address."""
        by_host: dict[str, list[Address]] = {}
        for addresses in self._known.values():
            for ip, port in addresses:
                by_host.setdefault(ip, []).append((ip, port))
        hosts = rng.sample(sorted(by_host), min(len(by_host), limits.LAN_DIALS))
        return [rng.choice(by_host[host]) for host in hosts]

    def _near(self, text: str) -> str:
        """The normalised address if it may be tried, else "". Link-local IPv6 may not, since it
        means nothing without its interface."""
        try:
            ip = ipaddress.ip_address(text)
        except ValueError:
            return ""
        if ip.is_multicast or ip.is_unspecified or not (ip.is_private or ip.is_link_local):
            return ""
        if isinstance(ip, ipaddress.IPv6Address) and (ip.is_link_local or ip.ipv4_mapped):
            return ""
        near = [link for link in self._links if ip in link.network]
        if not near or any(_is_no_host(ip, link) for link in near):
            return ""
        return str(ip)

    def _is_here(self, ip: str) -> bool:
        return any(str(link.ip) == ip for link in self._links)


def _is_no_host(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, link: Link) -> bool:
    """Whether it is the address of the network, or its broadcast address."""
    network = link.network
    ends = (network.network_address, network.broadcast_address)
    return ip.version == 4 and network.prefixlen < 31 and ip in ends
