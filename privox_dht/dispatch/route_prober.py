"""The routes to a producer, and which of them work.

    direct    at an address in its own record
    relayed   at the addresses in the record of a farm at which it is parked
    probe     a short request over all routes at once: the first to answer is used

Only allowed addresses are dialled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from privox_dht import limits
from privox_dht.addresses import is_loopback, join_host
from privox_dht.dispatch.dial_budget import DialBudget, dialled_address
from privox_dht.dispatch.discovery import RecordSource
from privox_dht.errors import JobError, NoParkedLine, PeerKeyMismatch, ProducerLost
from privox_dht.records import Direct, Record, Relayed
from privox_dht.speech_api.client import Endpoint


class DialableRoute(NamedTuple):
    """A route of a record, and its endpoint."""

    name: str  # "direct host:port" or "relayed by host:port"
    endpoint: Endpoint


@dataclass(slots=True, eq=False)
class RouteProber:
    """Finds and probes routes."""

    directory: RecordSource  # where farms are looked up
    allow: Callable[[str], bool]  # whether an address may be dialled
    # Sends a short request to an endpoint; raises `ProducerLost` if it does not answer. None: no
    # route is probed, and all are taken to work.
    ask: Callable[[Endpoint], Awaitable[Any]] | None
    has_route: Callable[[str], bool]  # whether this machine has a route to an address

    @property
    def can_probe(self) -> bool:
        return self.ask is not None

    def direct(self, record: Record) -> list[DialableRoute]:
        """The direct routes."""
        return [
            DialableRoute(
                str(route),
                Endpoint(f"https://{join_host(route.host, route.port)}", record.publisher),
            )
            for route in record.routes
            if isinstance(route, Direct) and self._may_dial(route.host)
        ][: limits.MAX_ROUTES_DIALLED]

    def _may_dial(self, host: str) -> bool:
        return self.allow(host) and self.has_route(host)

    async def relayed(
        self, record: Record, *, fresh: bool = False, other_host: bool = False
    ) -> list[DialableRoute]:
        """The routes through farms, which are looked up at the same time.

        Args:
            fresh: look up the farms even if their records are cached.
            other_host: leave out farms at an address of the producer itself.
        """
        keys = [route.farm for route in record.routes if isinstance(route, Relayed)]
        farms = await asyncio.gather(*(self.directory.find_farm(key, fresh=fresh) for key in keys))
        direct = (route.host for route in record.routes if isinstance(route, Direct))
        own = {host for host in direct if other_host and not is_loopback(host)}
        base = f"https://{record.peer_id}.privox"
        found = [
            join_host(address.host, address.port)
            for farm in farms
            for address in (farm.routes if farm else ())
            if isinstance(address, Direct)
            and self._may_dial(address.host)
            and address.host not in own
        ]
        return [
            DialableRoute(
                f"relayed by {at}", Endpoint(base, record.publisher, proxy=f"http://{at}")
            )
            for at in found[: limits.MAX_ROUTES_DIALLED]
        ]

    async def of(
        self, record: Record, *, via_farm: bool = False, fresh: bool = False
    ) -> list[DialableRoute]:
        """All routes, direct ones first."""
        direct = [] if via_farm else self.direct(record)
        relayed = await self.relayed(record, fresh=fresh, other_host=via_farm)
        return (direct + relayed)[: limits.MAX_ROUTES_DIALLED]

    def explain_no_route(self, record: Record) -> str:
        """Why a producer has no route, for a person."""
        hosts = [r.host for r in record.routes if isinstance(r, Direct) and self.allow(r.host)]
        if not hosts or any(map(self.has_route, hosts)):
            return "no route that may be dialled"
        families = " and ".join(sorted({"IPv6" if ":" in host else "IPv4" for host in hosts}))
        return f"it has {families} only, which this machine has not, and no farm with both"

    async def probe_again(
        self, records: Iterable[Record], dials: DialBudget, *, via_farm: bool
    ) -> dict[str, list[DialableRoute]]:
        """The producers that answer a probe now, by peer id, and the routes that work."""
        if self.ask is None:
            return {}

        async def probe(record: Record) -> tuple[str, list[DialableRoute]]:
            routes = await self.of(record, via_farm=via_farm, fresh=True)
            return record.peer_id, await self.probe(routes, dials, end_to_end=True)

        answered = await asyncio.gather(*map(probe, records))
        return {peer_id: routes for peer_id, routes in answered if routes}

    async def probe(
        self, routes: Sequence[DialableRoute], dials: DialBudget, *, end_to_end: bool = False
    ) -> list[DialableRoute]:
        """Probe all `routes` that `dials` allows at once: the first that answer. With `end_to_end`
        the producer itself must answer, not a farm without a free line to it. Where nothing can be
        probed, all of them."""
        if self.ask is None:
            return list(routes)
        routes = [route for route in routes if try_spend(dials, route.endpoint)]
        tasks = {
            asyncio.create_task(self._answers(route.endpoint, dials, end_to_end)): route
            for route in routes
        }
        try:
            async with asyncio.timeout(limits.PROBE_TIMEOUT):
                return [tasks[task] for task in await first_true(set(tasks))]
        except TimeoutError:
            return []
        finally:
            await cancel_all(tasks)

    async def _answers(self, endpoint: Endpoint, dials: DialBudget, end_to_end: bool) -> bool:
        assert self.ask is not None
        try:
            await self.ask(endpoint)
        except ProducerLost as exc:
            record_dial(dials, endpoint, exc)
            return False
        except JobError as exc:  # busy or another error: there is a server
            record_dial(dials, endpoint, exc)
            return not (end_to_end and isinstance(exc, NoParkedLine))
        record_dial(dials, endpoint, None)
        return True


def try_spend(dials: DialBudget, endpoint: Endpoint) -> bool:
    """Whether this endpoint may be dialled now; if so, the dial is counted."""
    key = None if endpoint.proxy else endpoint.key
    return dials.try_spend(dialled_address(endpoint.base, endpoint.proxy), key)


def record_dial(dials: DialBudget, endpoint: Endpoint, exc: JobError | None) -> None:
    """Record how a dial ended: with an error, or (None) well."""
    address = dialled_address(endpoint.base, endpoint.proxy)
    if isinstance(exc, PeerKeyMismatch):
        if not endpoint.proxy:
            dials.record_key(address, exc.key)
    elif not isinstance(exc, ProducerLost) or exc.begun:
        dials.mark_proven(address)


async def first_true(tasks: set[asyncio.Task[bool]]) -> list[asyncio.Task[bool]]:
    """The first of `tasks` to return true, and those that do so shortly after it."""
    succeeded: list[asyncio.Task[bool]] = []
    while tasks:
        within = limits.PROBE_GRACE if succeeded else None
        done, tasks = await asyncio.wait(tasks, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        succeeded += [task for task in done if task.result()]
    return succeeded


async def cancel_all(tasks: Sequence[asyncio.Task[bool]] | dict[asyncio.Task[bool], Any]) -> None:
    """Cancel all of `tasks`, and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
