"""Nodes of one local network find each other by multicast DNS (zeroconf, Bonjour, Avahi).

    node   -> the network    privox-5f0c9b1e._privox._udp.local.: my addresses, my port, my mesh
    any    -> the network    query: _privox._udp.local.
    nodes  -> the network    their announcements again

    async with announced(service, name, port, host):     announces a node
    async with Lan(mesh, host) as lan:                    collects the announcements of others
        lan.neighbours()                                  the nodes to try now

Needs the extra `lan`. Which announcements are used: see `lan_neighbours`.
"""

import asyncio
import ipaddress
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Self

import ifaddr
from zeroconf import InterfaceChoice, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from privox_dht import limits
from privox_dht.addresses import Address
from privox_dht.lan_neighbours import LanNeighbours, Link, properties

log = logging.getLogger("privox.lan")
SERVICE = "_privox._udp.local."
EVERYWHERE = (None, "", "0.0.0.0", "::")


def links(host: str | None = None) -> list[Link]:
    """This machine's addresses with the networks around them: that of `host`, or all but
    loopback's."""
    found = [
        ipaddress.ip_interface(f"{ip.ip if isinstance(ip.ip, str) else ip.ip[0]}/{prefix}")
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if (prefix := ip.network_prefix) is not None
    ]
    if host in EVERYWHERE:
        return [link for link in found if not link.is_loopback]
    return [link for link in found if link.ip == ipaddress.ip_address(str(host))]


def _zeroconf(host: str | None) -> AsyncZeroconf:
    """
    Raises:
        OSError: there is no network, or none with multicast.
    """
    return AsyncZeroconf(interfaces=InterfaceChoice.All if host in EVERYWHERE else [str(host)])


@asynccontextmanager
async def announced(
    service: str, name: str, port: int, host: str | None, text: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Announce `name` as a `service` ("_x._tcp.local.") while the context is open. If that is not
    possible, a warning is logged."""
    async with AsyncExitStack() as stack:
        try:
            zeroconf = _zeroconf(host)
            stack.push_async_callback(zeroconf.async_close)
            addresses = [str(link.ip) for link in links(host) if _is_announced(link, host)]
            info = AsyncServiceInfo(
                service, f"{name}.{service}", port=port, properties=dict(text or {}),
                addresses=[socket.inet_pton(_family(ip), ip) for ip in addresses],
            )  # fmt: skip
            await zeroconf.async_register_service(info, allow_name_change=True)
            stack.push_async_callback(_withdraw, zeroconf, info)
        except OSError as exc:
            log.warning("cannot announce %s in the local network: %s", name, exc.strerror or exc)
        yield


async def _withdraw(zeroconf: AsyncZeroconf, info: AsyncServiceInfo) -> None:
    """Withdraw the announcement; the message is sent before this returns."""
    await (await zeroconf.async_unregister_service(info))


def _is_announced(link: Link, host: str | None) -> bool:
    """Whether an address is announced: IPv4, and private IPv6, which is permanent."""
    if host not in EVERYWHERE or link.version == 4:
        return True
    return link.is_private and not link.is_link_local


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Lan:
    """Collects the announcements of nodes of our mesh.

    Args:
        mesh: its tag.
        host: our address in the network to search; None: all networks.
        own_port: our UDP port, if we announce ourselves.
        on_found: called for each new node.
    """

    def __init__(
        self,
        mesh: bytes,
        host: str | None = None,
        own_port: int = 0,
        on_found: Callable[[], None] = lambda: None,
    ) -> None:
        self._host, self._on_found = host, on_found
        self.known = LanNeighbours(mesh, links(host), own_port)
        self._stack = AsyncExitStack()
        self._named: dict[str, None] = {}  # announcements whose addresses are unknown
        self._asked = asyncio.Event()
        self._rng = random.Random()

    def __repr__(self) -> str:
        return f"<Lan {self.known!r}>"

    async def __aenter__(self) -> Self:
        """
        Raises:
            OSError: there is no network, or none with multicast.
        """
        async with AsyncExitStack() as stack:
            self._zeroconf = _zeroconf(self._host)
            stack.push_async_callback(self._zeroconf.async_close)
            asking = asyncio.create_task(self._ask(), name="asking in the local network")
            stack.push_async_callback(_ended, asking)
            browser = AsyncServiceBrowser(
                self._zeroconf.zeroconf, SERVICE, handlers=[self._announced]
            )
            stack.push_async_callback(browser.async_cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def neighbours(self) -> list[Address]:
        """The nodes to try now; of very many, others the next time."""
        return self.known.pick(self._rng)

    def _announced(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """A name was added, changed or removed. Mostly its addresses came with it."""
        if state_change is ServiceStateChange.Removed:
            self._named.pop(name, None)
            self.known.remove(name)
            return
        with _ignoring_errors():
            info = AsyncServiceInfo(SERVICE, name)
            if info.load_from_cache(zeroconf):
                self._add(name, info)
            elif len(self._named) < limits.LAN_KNOWN:
                self._named[name] = None
                self._asked.set()

    async def _ask(self) -> None:
        """Query the addresses of names, some at a time."""
        while True:
            await self._asked.wait()
            some = list(self._named)[: limits.LAN_ASKED_AT_ONCE]
            for name in some:
                del self._named[name]
            if not self._named:
                self._asked.clear()
            await asyncio.gather(*map(self._resolve, some))

    async def _resolve(self, name: str) -> None:
        with _ignoring_errors():
            info = AsyncServiceInfo(SERVICE, name)
            if await info.async_request(self._zeroconf.zeroconf, limits.LAN_ANSWER * 1000):
                self._add(name, info)

    def _add(self, name: str, info: AsyncServiceInfo) -> None:
        addresses = info.parsed_addresses(IPVersion.All)
        if self.known.add(name, info.properties, addresses, info.port):
            self._on_found()


@contextmanager
def _ignoring_errors() -> Iterator[None]:
    """Ignore errors of the library about one announcement, which may be malicious."""
    try:
        yield
    except Exception as exc:
        log.debug("ignored an invalid announcement: %s", type(exc).__name__)


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def find(mesh: bytes, within: float = limits.LAN_WAIT) -> list[Address]:
    """Nodes of this mesh in the local network, soon after the first one answers; [] if none does
    within so many seconds.

    Raises:
        OSError: there is no network, or none with multicast.
    """
    found = asyncio.Event()
    async with Lan(mesh, on_found=found.set) as lan:
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await found.wait()
                await asyncio.sleep(limits.LAN_GRACE)
        return lan.neighbours()


__all__ = ["SERVICE", "Lan", "announced", "find", "links", "properties"]
