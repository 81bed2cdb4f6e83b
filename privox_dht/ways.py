"""The ways to a producer, and which of them lead anywhere.

    direct    at an address in its own record
    relayed   at the addresses in the record of a farm at which it is parked
    knock     a short question over all ways at once: the first to answer is the one to take

Nothing is dialled but addresses that may be dialled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from privox_dht import limits
from privox_dht.api.client import Endpoint
from privox_dht.dial_budget import DialBudget, dialled
from privox_dht.errors import JobError, Lost, WrongKey
from privox_dht.hostport import join_host
from privox_dht.records import Direct, Record, Relayed

Way = tuple[str, Endpoint]  # the route as people read it, and where it leads


class Farms(Protocol):
    """What is asked of the DHT."""

    async def find_farm(self, public: bytes) -> Record | None: ...


class Ways:
    """Finds and tries ways.

    Args:
        farms: where the records of farms are.
        allow: whether an address may be dialled.
        knock: asks an endpoint something short; raises `Lost` when nobody is there. None: nobody
            knocks, and every way is taken as it comes.
    """

    def __init__(
        self,
        farms: Farms,
        allow: Callable[[str], bool],
        knock: Callable[[Endpoint], Awaitable[Any]] | None,
    ) -> None:
        self._farms = farms
        self._allow = allow
        self._knock = knock

    @property
    def can_knock(self) -> bool:
        return self._knock is not None

    def direct(self, record: Record) -> list[Way]:
        """The direct ways."""
        return [
            (str(route), Endpoint(f"https://{join_host(route.host, route.port)}", record.publisher))
            for route in record.routes
            if isinstance(route, Direct) and self._allow(route.host)
        ][: limits.MAX_WAYS]

    async def relayed(self, record: Record) -> list[Way]:
        """The ways through farms; all farms are looked up at the same time."""
        keys = [route.farm for route in record.routes if isinstance(route, Relayed)]
        farms = await asyncio.gather(*map(self._farms.find_farm, keys))
        base = f"https://{record.peer_id}.privox"
        return [
            (
                f"relayed by {join_host(door.host, door.port)}",
                Endpoint(base, record.publisher, proxy=f"http://{join_host(door.host, door.port)}"),
            )
            for farm in farms
            for door in (farm.routes if farm else ())
            if isinstance(door, Direct) and self._allow(door.host)
        ][: limits.MAX_WAYS]

    async def of(self, record: Record, *, via_farm: bool = False) -> list[Way]:
        """All of them, direct ones first."""
        direct = [] if via_farm else self.direct(record)
        return (direct + await self.relayed(record))[: limits.MAX_WAYS]

    async def open(self, ways: Sequence[Way], dials: DialBudget) -> list[Way]:
        """Those of `ways` that answer first, when all are knocked at together; none: nobody does.
        Ways that `dials` does not afford are left out.

        Where nobody can knock, all of them.
        """
        if self._knock is None:
            return list(ways)
        ways = [way for way in ways if spend(dials, way[1])]
        tasks = {asyncio.create_task(self._answers(way[1], dials)): way for way in ways}
        try:
            async with asyncio.timeout(limits.KNOCK_TIMEOUT):
                return [tasks[task] for task in await first_true(set(tasks))]
        except TimeoutError:
            return []
        finally:
            await ended(tasks)

    async def _answers(self, endpoint: Endpoint, dials: DialBudget) -> bool:
        assert self._knock is not None
        try:
            await self._knock(endpoint)
        except Lost as exc:
            learn(dials, endpoint, exc)
            return False
        except JobError as exc:  # busy, or odd: somebody is there
            learn(dials, endpoint, exc)
            return True
        learn(dials, endpoint, None)
        return True


def spend(dials: DialBudget, endpoint: Endpoint) -> bool:
    """Whether this endpoint may be dialled now; if so, it counts."""
    key = None if endpoint.proxy else endpoint.key
    return dials.spend(dialled(endpoint.base, endpoint.proxy), key)


def learn(dials: DialBudget, endpoint: Endpoint, exc: JobError | None) -> None:
    """What a dial showed of the address, by how it ended."""
    address = dialled(endpoint.base, endpoint.proxy)
    if isinstance(exc, WrongKey):
        if not endpoint.proxy:
            dials.holds(address, exc.key)
    elif not isinstance(exc, Lost) or exc.begun:
        dials.proved(address)


async def first_true(tasks: set[asyncio.Task[bool]]) -> list[asyncio.Task[bool]]:
    """The first of `tasks` to say yes, and those that do so in the moment after it."""
    said_yes: list[asyncio.Task[bool]] = []
    while tasks:
        within = limits.KNOCK_GRACE if said_yes else None
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
