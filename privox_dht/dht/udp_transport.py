"""UDP sockets, one for each address family: a socket of both speaks to neither reliably."""

import asyncio
import itertools
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from privox_dht import join_failure, limits
from privox_dht.addresses import Address, is_literal, is_unicast
from privox_dht.daemon_thread import look_up
from privox_dht.dht import wire
from privox_dht.errors import ConfigError
from privox_dht.interfaces import has_route

FREE_PORT_TRIES = 16  # times another free port is taken when the other family has it in use
RECEIVE_BUFFER = 1 << 20  # bytes asked of the kernel: a burst of 800 datagrams waits its turn
READS_AT_ONCE = 8  # datagrams read before others on this loop have their turn
ROOM = limits.MAX_DATAGRAM + 1  # bytes read at a time: one more shows what is too long
_NOTHING: dict[str, Any] = {}  # what there is to know of a socket beside that


class UdpTransport(asyncio.DatagramTransport):
    """One socket on the loop. asyncio's own keeps a queue for what the system does not take, 1.5 KB
    with all it needs, and reads each datagram into 256 KiB of its own, which for 500 bytes costs
    more than the system call. A datagram may be lost anywhere; here it may be lost at once."""

    __slots__ = ("_closed", "_loop", "_protocol", "_room", "_socket")

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        super().__init__(_NOTHING)
        self._socket, self._loop, self._protocol, self._closed = sock, loop, protocol, False
        self._room = bytearray(ROOM)  # of its own: another thread's loop may read at the same time
        protocol.connection_made(self)
        loop.add_reader(sock.fileno(), self._arrived)

    def _arrived(self) -> None:
        for _ in range(READS_AT_ONCE):
            if self._closed:
                return
            try:
                size, address = self._socket.recvfrom_into(self._room)
            except BlockingIOError:
                return
            except OSError as exc:  # some systems say here that a datagram did not arrive
                self._protocol.error_received(exc)
                return
            self._protocol.datagram_received(bytes(memoryview(self._room)[:size]), address)

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram.

        Raises:
            OSError: the system does not take it, now or ever.
        """
        if not self._closed:
            self._socket.sendto(data, addr)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._protocol.connection_lost(None)

    def is_closing(self) -> bool:
        return self._closed


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


def open_udp(factory: Callable[[], Any], host: str, port: int) -> tuple[Any, int]:
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
    protocol = factory()
    UdpTransport(sock, loop, protocol)
    return protocol, int(sock.getsockname()[1])


def has_ipv6() -> bool:
    """Whether this machine can listen on IPv6 at all."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 0))
    except OSError:
        return False
    return True


class Resolved(NamedTuple):
    """What came of looking up neighbours."""

    found: dict[Address, list[Address]]  # those of each, in the families we speak
    unknown: dict[Address, str]  # those that have none, and why

    @property
    def addresses(self) -> list[Address]:
        """All addresses, each once."""
        return list(dict.fromkeys(itertools.chain.from_iterable(self.found.values())))

    def of_each(self, reasons: Mapping[Address, str]) -> dict[Address, str]:
        """What became of each neighbour, when it is known of each address."""
        known = {
            neighbour: reasons[address]
            for neighbour, addresses in self.found.items()
            for address in addresses
            if address in reasons
        }
        return {**known, **self.unknown}


async def resolve(
    neighbours: Sequence[Address], families: int, deadline: float | None = None
) -> Resolved:
    """The addresses behind names.

    Args:
        families: flags of the address families that lead everywhere; an address of another is
            good if there is a way to it.
        deadline: loop time until which all is to be done with them: name servers have half of the
            time.
    """
    loop = asyncio.get_running_loop()
    wanted = list(dict.fromkeys(neighbours))
    asking = [loop.create_task(_addresses_of(*neighbour)) for neighbour in wanted]
    try:
        if asking:
            half = None if deadline is None else max(deadline - loop.time(), 0.0) / 2
            await asyncio.wait(asking, timeout=half)
        addresses, unknown = {}, {}
        for neighbour, task in zip(wanted, asking, strict=True):
            found, why = task.result() if task.done() else ([], join_failure.NAMESERVER)
            if spoken := [a for a in found if families & wire.family_of(a) or has_route(a[0])]:
                addresses[neighbour] = spoken
            else:
                kinds = {wire.family_of(address) == wire.FAMILY_6 for address in found}
                unknown[neighbour] = why or join_failure.other_family(kinds)
        return Resolved(addresses, unknown)
    finally:
        for task in asking:
            task.cancel()


async def _addresses_of(host: str, port: int) -> tuple[list[Address], str]:
    """The addresses behind a name at which a node can be; if there are none, why."""
    if is_literal(host):
        found = [host]
    else:
        try:
            found = [info[4][0] for info in await look_up(host, port, socket.SOCK_DGRAM)]
        except socket.gaierror as exc:
            missing = exc.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
            return (
                [],
                join_failure.NO_NAME if missing else f"it cannot be looked up ({exc.strerror})",
            )
        except UnicodeError:  # no name server was asked
            return [], join_failure.NO_NAME
        except OSError as exc:
            return [], f"it cannot be looked up ({exc})"
    usable = [(ip, port) for ip in found if is_unicast(ip) and "%" not in ip]
    return usable, join_failure.UNUSABLE if found and not usable else ""
