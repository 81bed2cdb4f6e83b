"""Addresses: how they are written, which may be contacted, and which belong together. Pure.

`ipaddress.is_global` of Python 3.11 is true for some addresses of this very machine or of none
(64:ff9b::/96, 2002::/16, multicast, 192.88.99.0/24 ...). With it, any stranger's datagram could
make a node contact its owner's network, so here only ordinary unicast is global.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import cast

from privox_dht import limits
from privox_dht.errors import ConfigError

# The key, or name and password, in a server's address
KEY_IN_URL = re.compile(r"(https?://)[^/@]+@")

# A host and a port; the host is an IP literal, unless documented otherwise
Address = tuple[str, int]

_NOT_GLOBAL_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier NAT
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, cloud metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_UNICAST_6 = ipaddress.IPv6Network("2000::/3")  # all global unicast that is assigned
_NOT_GLOBAL_6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: contains any IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
LOOPBACK_6 = bytes(15) + b"\x01"
_NOBODY_4 = tuple(map(ipaddress.IPv4Network, ("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")))
_SOMEBODY_6 = tuple(map(ipaddress.IPv6Network, ("2000::/3", "fc00::/7", "::1/128")))


@lru_cache(maxsize=8192)
def is_global(ip: str) -> bool:
    """Whether `ip` is a literal of ordinary global unicast. A host name is not."""
    parsed = _parse(ip)
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _NOT_GLOBAL_4)
    if parsed is None or parsed not in _UNICAST_6:
        return False
    return not any(parsed in network for network in _NOT_GLOBAL_6)


@lru_cache(maxsize=8192)
def is_unicast(ip: str) -> bool:
    """Whether `ip` is a literal that can be one machine's, which is enough in a private mesh."""
    parsed = _parse(ip)
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _NOBODY_4)
    return parsed is not None and any(parsed in network for network in _SOMEBODY_6)


@lru_cache(maxsize=8192)
def is_loopback(ip: str) -> bool:
    """Whether `ip` is a loopback address."""
    parsed = _parse(ip)
    return parsed is not None and parsed.is_loopback


def is_here(host: str) -> bool:
    """Whether traffic to a host, given by name or address, never leaves this machine."""
    return host == "localhost" or is_loopback(host)


def is_literal(host: str) -> bool:
    """Whether this is an IP literal, not a name."""
    return _parse(host) is not None


def is_contactable(ip: str, private: bool) -> bool:
    """Whether a node may contact `ip` and tell others of it: in a private mesh any unicast address,
    else only global ones."""
    return is_unicast(ip) if private else is_global(ip)


@lru_cache(maxsize=8192)
def subnet_of(ip: str) -> bytes:
    """The /24 (IPv4) or /56 (IPv6) of an address: one owner can have all of it at no cost."""
    packed = pack_ip(ip)
    return packed[:3] if len(packed) == 4 else packed[:7]


@lru_cache(maxsize=8192)
def holder_of(ip: str) -> bytes:
    """The address (IPv4) or /64 (IPv6) that is counted as one source."""
    packed = pack_ip(ip)
    return packed if len(packed) == 4 else packed[:8]


def rate_key(where: bytes) -> bytes:
    """The key of the rate limit for datagrams from a packed address: its holder. On loopback every
    port has a limit of its own."""
    if len(where) == 6:
        return where if where[0] == 127 else where[:4]
    return where if where.startswith(LOOPBACK_6) else where[:8]


def pack_ip(ip: str) -> bytes:
    """The 4 or 16 bytes of a literal.

    Raises:
        OSError: it is not an IP literal.
    """
    return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)


def unpack_ip(packed: bytes) -> str:
    """The literal of 4 or 16 bytes.

    Raises:
        ValueError: the number of bytes is neither.
    """
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    if len(packed) == 16:
        return socket.inet_ntop(socket.AF_INET6, packed)
    raise ValueError(f"an address has 4 or 16 bytes, not {len(packed)}")


@lru_cache(maxsize=8192)  # for each datagram, several times
def pack_address(ip: str, port: int) -> bytes:
    """6 or 18 bytes: the address, then the port in network order."""
    return pack_ip(ip) + port.to_bytes(2, "big")


def unpack_address(packed: bytes) -> Address:
    """The address of 6 or 18 bytes.

    Raises:
        ValueError: it is not an address, or its port is 0.
    """
    port = int.from_bytes(packed[-2:], "big")
    if not port:
        raise ValueError("port 0")
    return unpack_ip(packed[:-2]), port


def normalize(address: tuple[object, ...]) -> Address:
    """A socket's address (two or four items, perhaps with a scope) as literal and port."""
    if len(address) == 2:
        return cast(Address, address)
    return str(address[0]).partition("%")[0], int(str(address[1]))


def _parse(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(ip)
    except ValueError:
        return None


# -- as text: "example.org:5678", "[2001:db8::1]:5678" --------------------------------------------


def join_host(host: str, port: int) -> str:
    """`host:port`, an IPv6 literal in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_host(text: str, default_port: int) -> Address:
    """The host and port in `text`.

    Raises:
        ConfigError: it does not have that form.
    """
    host, port = text.strip(), str(default_port)
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else (rest or port)
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    bad_host = not host or host.isdigit() or "/" in host or any(map(str.isspace, host))
    bad_port = not port.isascii() or not port.isdigit() or len(port) > len("65535")
    if bad_host or bad_port or not 0 < int(port) < 65536:
        raise ConfigError(f"{text!r} is not host:port (or [IPv6 address]:port)")
    return host, int(port)


def parse_neighbours(
    neighbours: str | Iterable[str | Address], default_port: int = limits.DHT_PORT
) -> list[Address]:
    """The addresses of neighbours as a user gives them, each once: one string with commas, or
    several strings or pairs of host and port.

    Raises:
        ConfigError: one of them is not `host:port`.
    """
    some = neighbours.split(",") if isinstance(neighbours, str) else neighbours
    addresses = [_address(one, default_port) for one in some if one != ""]
    return list(dict.fromkeys(addresses))


def _address(given: object, default_port: int) -> Address:
    match given:
        case str():
            return split_host(given, default_port)
        case str() as host, int() as port if host and not isinstance(port, bool):
            if 0 < port < 65536:
                return host, port
    raise ConfigError(f"{given!r} is not a neighbour: give 'host:port', or a pair of both")


def without_key(text: str) -> str:
    """`text`, for a message: without the key, or name and password, in a server's address."""
    return KEY_IN_URL.sub(r"\1***@", text)
