"""Nodes of one local network find each other, by multicast DNS (zeroconf, Bonjour, Avahi).

    node   -> the network    privox-5f0c9b1e._privox._udp.local.: my addresses, my port, my mesh
    any    -> the network    who is _privox._udp.local.?
    nodes  -> the network    the same again

    async with announced(service, name, port, host):     others are told
    async with Lan(mesh, host) as lan:                    who is there, kept up to date
        lan.neighbours()                                  whom to try now

Needs the extra `lan`. What is believed of all that comes: see `lan_neighbours`.
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
    service: str, name: str, port: int, host: str | None, said: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """`name` is announced as a `service` ("_x._tcp.local.") while the context is open; where that
    cannot be, this is said and nothing else happens."""
    async with AsyncExitStack() as stack:
        try:
            zeroconf = _zeroconf(host)
            stack.push_async_callback(zeroconf.async_close)
            addresses = [str(link.ip) for link in links(host) if _is_told(link, host)]
            info = AsyncServiceInfo(
                service, f"{name}.{service}", port=port, properties=dict(said or {}),
                addresses=[socket.inet_pton(_family(ip), ip) for ip in addresses],
            )  # fmt: skip
            await zeroconf.async_register_service(info, allow_name_change=True)
            stack.push_async_callback(_taken_back, zeroconf, info)
        except OSError as exc:
            log.warning("it cannot be announced in the local network: %s", exc.strerror or exc)
        yield


async def _taken_back(zeroconf: AsyncZeroconf, info: AsyncServiceInfo) -> None:
    """Others hear that it is gone before this returns."""
    await (await zeroconf.async_unregister_service(info))


def _is_told(link: Link, host: str | None) -> bool:
    """Whether others are told of that address: of IPv4, and of private IPv6, which stays."""
    if host not in EVERYWHERE or link.version == 4:
        return True
    return link.is_private and not link.is_link_local


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Lan:
    """The nodes of our mesh that announce themselves.

    Args:
        mesh: its tag.
        host: the address of ours on whose network it is looked; None: on all.
        own_port: ours, if we are one of them.
        on_found: told of each that was not known.
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
        self._named: dict[str, None] = {}  # announcements whose addresses are to be asked for
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
        """Whom to try now; others at the next time, where there are many."""
        return self.known.pick(self._rng)

    def _announced(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """A name came, changed or went. Most come with all there is to know."""
        if state_change is ServiceStateChange.Removed:
            self._named.pop(name, None)
            self.known.remove(name)
            return
        with _understood():
            info = AsyncServiceInfo(SERVICE, name)
            if info.load_from_cache(zeroconf):
                self._believe(name, info)
            elif len(self._named) < limits.LAN_KNOWN:
                self._named[name] = None
                self._asked.set()

    async def _ask(self) -> None:
        """The addresses behind names, some at a time."""
        while True:
            await self._asked.wait()
            some = list(self._named)[: limits.LAN_ASKED_AT_ONCE]
            for name in some:
                del self._named[name]
            if not self._named:
                self._asked.clear()
            await asyncio.gather(*map(self._look_at, some))

    async def _look_at(self, name: str) -> None:
        with _understood():
            info = AsyncServiceInfo(SERVICE, name)
            if await info.async_request(self._zeroconf.zeroconf, limits.LAN_ANSWER * 1000):
                self._believe(name, info)

    def _believe(self, name: str, info: AsyncServiceInfo) -> None:
        addresses = info.parsed_addresses(IPVersion.All)
        if self.known.add(name, info.properties, addresses, info.port):
            self._on_found()


@contextmanager
def _understood() -> Iterator[None]:
    """Whatever the library says of what a stranger made up ends nothing but this."""
    try:
        yield
    except Exception as exc:
        log.debug("an announcement was not understood: %s", type(exc).__name__)


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def find(mesh: bytes, within: float = limits.LAN_WAIT) -> list[Address]:
    """Nodes of this mesh in the local network: some, as soon as one has answered; empty if none has
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
