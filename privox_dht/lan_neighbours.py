"""Which announcements in the local network are believed, and whom they have us ask. Pure.

Anybody in the same network can announce anything, so an announcement is worth no more than a try:

    its mesh          is ours
    its addresses     private or link-local ones, of a network that this machine is in itself
    its port          none of those that are other services'
    its number        few of one address, not very many in all; at each try some, chosen by chance,
                      each at another address
"""

import ipaddress
import random
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeAlias

from privox_dht import limits
from privox_dht.addresses import Address

Link: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface
MESH = b"mesh"  # the name of the property that tells the mesh
DOMAIN = b"privox_dht lan 1\0"


def properties(mesh: bytes) -> dict[str, str]:
    """What a node of the mesh with this tag says of itself beside its address: a hash, which tells
    nothing of a private mesh's tag."""
    return {MESH.decode(): blake2b(DOMAIN + mesh, digest_size=16).hexdigest()}


class LanNeighbours:
    """Those that announce themselves.

    Args:
        mesh: the tag of our mesh.
        links: this machine's addresses, with the networks around them.
        own_port: the UDP port that is ourselves at any of these; 0: none is.
    """

    def __init__(self, mesh: bytes, links: Sequence[Link], own_port: int = 0) -> None:
        self._mesh = properties(mesh)[MESH.decode()].encode()
        self._links, self._own_port = tuple(links), own_port
        self._known: dict[str, tuple[Address, ...]] = {}  # by the name that was announced
        self._of_host: dict[str, int] = {}  # names that are known of each address

    def __repr__(self) -> str:
        return f"<LanNeighbours {len(self._known)} known>"

    def __len__(self) -> int:
        return len(self._known)

    def add(
        self,
        name: str,
        said: Mapping[bytes, bytes | None],
        addresses: Iterable[str],
        port: int | None,
    ) -> bool:
        """Somebody announces a node; whether it is one to try that was not known.

        Args:
            name: of the announcement.
            said: its properties.
            addresses: literals, as they came.
        """
        self.remove(name)
        if said.get(MESH) != self._mesh or port is None:
            return False
        if not limits.FIRST_OPEN_PORT <= port < 65536 or len(self._known) >= limits.LAN_KNOWN:
            return False
        near = [ip for ip in dict.fromkeys(map(self._near, addresses)) if ip]
        if any(port == self._own_port and self._is_here(ip) for ip in near):
            return False  # it is this very node
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
        """It is announced no more."""
        for ip, _ in self._known.pop(name, ()):
            self._of_host[ip] -= 1
            if not self._of_host[ip]:
                del self._of_host[ip]

    def pick(self, rng: random.Random) -> list[Address]:
        """Whom to try now: at most so many that it does no harm, each at another address."""
        by_host: dict[str, list[Address]] = {}
        for ways in self._known.values():
            for ip, port in ways:
                by_host.setdefault(ip, []).append((ip, port))
        hosts = rng.sample(sorted(by_host), min(len(by_host), limits.LAN_DIALS))
        return [rng.choice(by_host[host]) for host in hosts]

    def _near(self, text: str) -> str:
        """The address as we write it, if it is one to try; else empty. One of link-local IPv6 is
        none, since it means nothing without its interface."""
        try:
            ip = ipaddress.ip_address(text)
        except ValueError:
            return ""
        if ip.is_multicast or ip.is_unspecified or not (ip.is_private or ip.is_link_local):
            return ""
        if isinstance(ip, ipaddress.IPv6Address) and (ip.is_link_local or ip.ipv4_mapped):
            return ""
        near = [link for link in self._links if ip in link.network]
        if not near or any(_names_nobody(ip, link) for link in near):
            return ""
        return str(ip)

    def _is_here(self, ip: str) -> bool:
        return any(str(link.ip) == ip for link in self._links)


def _names_nobody(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, link: Link) -> bool:
    """Whether it is the network's own address, or everybody's in it."""
    network = link.network
    ends = (network.network_address, network.broadcast_address)
    return ip.version == 4 and network.prefixlen < 31 and ip in ends
