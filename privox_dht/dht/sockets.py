"""UDP sockets, one for each address family: a socket of both speaks to neither reliably."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

from privox_dht import limits
from privox_dht.dht import wire
from privox_dht.dht.addresses import Address, is_literal
from privox_dht.errors import ConfigError

FREE_PORT_TRIES = 16  # times another free port is taken when the other family has it in use
LONGEST_READ = limits.MAX_DATAGRAM + 1  # bytes; asyncio would make, and shrink, a buffer of 256 KiB
# for each datagram, which costs more than the system call. One byte more shows what is too long
RECEIVE_BUFFER = 1 << 20  # bytes asked of the kernel: a burst of 800 datagrams waits its turn


def hosts_of(host: str | None) -> dict[int, str]:
    """The address to bind for each family; None and `::` mean every address of both.

    Raises:
        ConfigError: it is neither a name nor an address.
    """
    if host is None or host == "::":
        return {wire.FAMILY_4: "0.0.0.0", wire.FAMILY_6: "::"}
    try:
        family, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
    except OSError as exc:
        raise ConfigError(f"cannot listen on {host}: {exc.strerror or exc}") from exc
    flag = wire.FAMILY_6 if family == socket.AF_INET6 else wire.FAMILY_4
    return {flag: str(address[0])}


async def open_udp(factory: Callable[[], Any], host: str, port: int) -> tuple[Any, int]:
    """A listening protocol, and the port it got.

    Raises:
        OSError: the address cannot be had.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    transport, protocol = await loop.create_datagram_endpoint(factory, sock=sock)
    if hasattr(transport, "max_size"):
        transport.max_size = LONGEST_READ
    return protocol, int(sock.getsockname()[1])


def has_ipv6() -> bool:
    """Whether this machine can listen on IPv6 at all."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 0))
    except OSError:
        return False
    return True


async def resolve(neighbours: Sequence[Address], families: int) -> list[Address]:
    """The addresses behind names, in the families we speak; names nobody knows give none."""
    loop = asyncio.get_running_loop()

    async def one(host: str, port: int) -> list[Address]:
        if is_literal(host):
            family = wire.FAMILY_6 if ":" in host else wire.FAMILY_4
            return [(host, port)] if families & family else []
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return []
        return [
            (str(address[0]).partition("%")[0], port)
            for family, *_, address in found
            if families & (wire.FAMILY_6 if family == socket.AF_INET6 else wire.FAMILY_4)
        ]

    some = await asyncio.gather(*(one(host, port) for host, port in neighbours))
    return list(dict.fromkeys(address for addresses in some for address in addresses))
