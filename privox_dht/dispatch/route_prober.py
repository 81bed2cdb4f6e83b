"""The ways to a producer, and which of them lead anywhere.

    direct    at an address in its own record
    relayed   at the addresses in the record of a farm at which it is parked
    probe     a short question over all ways at once: the first to answer is the one to take

Nothing is dialled but addresses that may be dialled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

from privox_dht import limits
from privox_dht.addresses import is_loopback, join_host
from privox_dht.dispatch.dial_budget import DialBudget, dialled
from privox_dht.errors import JobError, NoParkedLine, PeerKeyMismatch, ProducerLost
from privox_dht.records import Direct, Record, Relayed
from privox_dht.speech_api.client import Endpoint

DialableRoute = tuple[str, Endpoint]  # the route as people read it, and where it leads


class Farms(Protocol):
    """What is asked of the DHT."""

    async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None: ...


class RouteProber:
    """Finds and tries ways.

    Args:
        farms: where the records of farms are.
        allow: whether an address may be dialled.
        probe: asks an endpoint something short; raises `ProducerLost` when nobody is there. None:
            nothing is probed, and every route is taken as it comes.
        has_route: whether a packet to an address would leave this machine at all.
    """

    def __init__(
        self,
        farms: Farms,
        allow: Callable[[str], bool],
        probe: Callable[[Endpoint], Awaitable[Any]] | None,
        has_route: Callable[[str], bool] = lambda ip: True,
    ) -> None:
        self._farms = farms
        self._allow = allow
        self._probe = probe
        self._has_route = has_route

    @property
    def can_probe(self) -> bool:
        return self._probe is not None

    def direct(self, record: Record) -> list[DialableRoute]:
        """The direct ways."""
        return [
            (str(route), Endpoint(f"https://{join_host(route.host, route.port)}", record.publisher))
            for route in record.routes
            if isinstance(route, Direct) and self._may_dial(route.host)
        ][: limits.MAX_ROUTES_DIALLED]

    def _may_dial(self, host: str) -> bool:
        return self._allow(host) and self._has_route(host)

    async def relayed(
        self, record: Record, *, fresh: bool = False, apart: bool = False
    ) -> list[DialableRoute]:
        """The ways through farms; all farms are looked up at the same time.

        Args:
            fresh: ask the mesh where the farms are, even if that is at hand.
            apart: none at an address of the producer's own.
        """
        keys = [route.farm for route in record.routes if isinstance(route, Relayed)]
        farms = await asyncio.gather(*(self._farms.find_farm(key, fresh=fresh) for key in keys))
        direct = (route.host for route in record.routes if isinstance(route, Direct))
        own = {host for host in direct if apart and not is_loopback(host)}
        base = f"https://{record.peer_id}.privox"
        return [
            (
                f"relayed by {join_host(address.host, address.port)}",
                Endpoint(
                    base, record.publisher, proxy=f"http://{join_host(address.host, address.port)}"
                ),
            )
            for farm in farms
            for address in (farm.routes if farm else ())
            if isinstance(address, Direct)
            and self._may_dial(address.host)
            and address.host not in own
        ][: limits.MAX_ROUTES_DIALLED]

    async def of(
        self, record: Record, *, via_farm: bool = False, fresh: bool = False
    ) -> list[DialableRoute]:
        """All of them, direct ones first."""
        direct = [] if via_farm else self.direct(record)
        relayed = await self.relayed(record, fresh=fresh, apart=via_farm)
        return (direct + relayed)[: limits.MAX_ROUTES_DIALLED]

    def none_because(self, record: Record) -> str:
        """Why there is no way to a producer, for a person."""
        hosts = [r.host for r in record.routes if isinstance(r, Direct) and self._allow(r.host)]
        if not hosts or any(map(self._has_route, hosts)):
            return "no route that may be dialled"
        families = " and ".join(sorted({"IPv6" if ":" in host else "IPv4" for host in hosts}))
        return f"it has {families} only, which this machine has not, and no farm with both"

    async def back(
        self, records: Iterable[Record], dials: DialBudget, *, via_farm: bool
    ) -> dict[str, list[DialableRoute]]:
        """Of producers that were lost, those that answer a probe by now, and the ways to them."""
        if self._probe is None:
            return {}

        async def probe(record: Record) -> tuple[str, list[DialableRoute]]:
            ways = await self.of(record, via_farm=via_farm, fresh=True)
            return record.peer_id, await self.probe(ways, dials, itself=True)

        answered = await asyncio.gather(*map(probe, records))
        return {peer_id: ways for peer_id, ways in answered if ways}

    async def probe(
        self, ways: Sequence[DialableRoute], dials: DialBudget, *, itself: bool = False
    ) -> list[DialableRoute]:
        """Those of `ways` that answer first, when all are probed at once; none: nobody does.
        Ways that `dials` does not afford are left out. With `itself` the producer must answer: a
        farm's word that it has no free line to it is not enough.

        Where nobody can probe, all of them.
        """
        if self._probe is None:
            return list(ways)
        ways = [way for way in ways if spend(dials, way[1])]
        tasks = {asyncio.create_task(self._answers(way[1], dials, itself)): way for way in ways}
        try:
            async with asyncio.timeout(limits.PROBE_TIMEOUT):
                return [tasks[task] for task in await first_true(set(tasks))]
        except TimeoutError:
            return []
        finally:
            await ended(tasks)

    async def _answers(self, endpoint: Endpoint, dials: DialBudget, itself: bool) -> bool:
        assert self._probe is not None
        try:
            await self._probe(endpoint)
        except ProducerLost as exc:
            learn(dials, endpoint, exc)
            return False
        except JobError as exc:  # busy, or odd: somebody is there
            learn(dials, endpoint, exc)
            return not (itself and isinstance(exc, NoParkedLine))
        learn(dials, endpoint, None)
        return True


def spend(dials: DialBudget, endpoint: Endpoint) -> bool:
    """Whether this endpoint may be dialled now; if so, it counts."""
    key = None if endpoint.proxy else endpoint.key
    return dials.spend(dialled(endpoint.base, endpoint.proxy), key)


def learn(dials: DialBudget, endpoint: Endpoint, exc: JobError | None) -> None:
    """What a dial showed of the address, by how it ended."""
    address = dialled(endpoint.base, endpoint.proxy)
    if isinstance(exc, PeerKeyMismatch):
        if not endpoint.proxy:
            dials.holds(address, exc.key)
    elif not isinstance(exc, ProducerLost) or exc.begun:
        dials.proved(address)


async def first_true(tasks: set[asyncio.Task[bool]]) -> list[asyncio.Task[bool]]:
    """The first of `tasks` to say yes, and those that do so in the moment after it."""
    said_yes: list[asyncio.Task[bool]] = []
    while tasks:
        within = limits.PROBE_GRACE if said_yes else None
        done, tasks = await asyncio.wait(tasks, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        said_yes += [task for task in done if task.result()]
    return said_yes


async def ended(tasks: Sequence[asyncio.Task[bool]] | dict[asyncio.Task[bool], Any]) -> None:
    """Nothing of `tasks` is left."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
