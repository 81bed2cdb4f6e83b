"""Where a node stands in the mesh: joined or not, seen from where, reachable or not.

join, again and again, until somebody answers; again when everybody is gone
     by UDP, or where that is blocked over HTTPS: said loudly
ask nodes to call back   -> reachable: a full node, with direct routes
                         -> not:       a guest of the DHT, parked at farms
look again               every two minutes, or sooner (`reachability_rules`); at once when our own
                         addresses change, when somebody sees us at another one, when the first
                         stranger comes, and when this machine has slept
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from nodes.config import AUTO, YES, NodeConfig
from nodes.reachability_report import ReachabilityReport
from nodes.reachability_rules import (
    LOOK_HERE,
    Believed,
    LookSchedule,
    has_closed,
    has_slept,
    is_news,
    of_farm,
    when_not_asked,
    with_calls,
)
from nodes.routes import NetworkState, how_to_join, is_reachable
from privox_dht.addresses import Address
from privox_dht.backoff import backoff
from privox_dht.cli.output import log_fields
from privox_dht.dht import Reachability
from privox_dht.directory.failover import Directory
from privox_dht.errors import NotJoined
from privox_dht.interfaces import SOMEWHERE, source_towards

log = logging.getLogger("privox.node")
ASK_VIEW = 5.0  # seconds between two questions at which address we are seen, while we publish one
# that is on no interface of ours: only others can tell when it changes
PARK_AGAIN = 3.0  # seconds a producer that has lost its last farm has to park again before its
# record says that there is no way to it: dials are spread over half a second, and tried twice
RETRY_FIRST, RETRY_LONGEST = 1.0, 60.0  # seconds between attempts to join, doubling


class ReachabilityMonitor:
    """Keeps up with where we stand; `on_change` is told when routes may have changed."""

    def __init__(
        self, config: NodeConfig, dht: Directory, job_port: int, on_change: Callable[[], None]
    ) -> None:
        self._config = config
        self._dht = dht
        self._on_change = on_change
        self._wanted = None if config.reachable == AUTO else config.reachable == YES
        self._reach, self._relay_reach = Believed(), Believed()  # by whom others could call back
        self._schedule = LookSchedule()
        self._news = asyncio.Event()  # something may have changed: look at once
        self._slept = False  # this machine has, since we looked last
        self._sources: dict[str, str] = {}  # our address towards each of a few others
        self._situation = NetworkState(job_port, advertised=config.advertise)
        self.lan: Callable[[], Sequence[Address]] = tuple  # neighbours in the local network
        self.joined = asyncio.Event()  # somebody answered, once
        self.ready_to_publish = False  # joining is over, or was not asked for
        self.untaken: Callable[[], tuple[str, ...]] = tuple  # why farms did not take us
        self.farms: tuple[bytes, ...] = ()  # where we are parked, as others are told
        self._unparking: asyncio.TimerHandle | None = None  # what takes the last farm back
        self._was_alone = False  # we published before there was anybody else
        self.relay_port: int | None = None  # of our farm, if it is to be found out who can call it
        self.reachable = asyncio.Event()  # strangers could call us, once
        self.report = ReachabilityReport(
            config, lambda: self.situation, lambda: bool(dht.contacts())
        )

    @property
    def situation(self) -> NetworkState:
        """Where we stand now."""
        seen = replace(
            self._situation,
            observed=tuple(dict.fromkeys(ip for ip, _ in self._dht.observed())),
            seen_by_any=tuple(self._dht.seen_by_any()),
            local=tuple(self._here()),
            private=self._dht.private is not False,
            asked=self._wanted is not None
            or not self._dht.has_witnesses
            or bool(self._reach.found),
            farms=self.farms,
            untaken=() if self.farms else self.untaken(),
        )
        seen = with_calls(seen, self._reach.known)
        return replace(seen, reachable=is_reachable(self._wanted, seen))

    def believe(self, found: Sequence[Reachability]) -> None:
        """Those who were asked to call us back found this."""
        self._reach.take(found, asyncio.get_running_loop().time())

    def farm_situation(self, port: int) -> NetworkState:
        """The same for our farm, at its own port."""
        found = None if self.relay_port is None else self._relay_reach.known
        return of_farm(self.situation, port, found, told=bool(self._config.farm))

    async def run(self) -> None:
        """Stay joined and know where we stand, for ever."""
        self._dht.on_view(self._news.set)
        noticing = asyncio.create_task(self._notice_sleep(), name="noticing sleep")
        try:
            while True:
                self._news.clear()
                try:
                    await self._keep_up()
                except Exception:  # once: the next look may succeed
                    log.exception("could not find out where we stand")
                await self._until_news(self._patience())
        finally:
            self.report.close()
            noticing.cancel()
            if self._unparking is not None:
                self._unparking.cancel()

    def _patience(self) -> float:
        """Seconds until the next look, if nothing is heard until then."""
        if self._wanted is not None or self._situation.advertised:
            return when_not_asked(self.joined.is_set())
        return self._schedule.after(self._reach.found, self._dht.seen_by_any())

    def parked_at(self, farms: tuple[bytes, ...]) -> None:
        """We are parked at farms of these keys now. That it is none any more is told only if it
        stays so: whoever wakes up, or whose router was away, is parked again in a moment, and in
        between clients would be told that nobody lends."""
        if self._unparking is not None:
            self._unparking.cancel()
        if farms or not self.farms:
            self._take_farms(farms)
        else:
            loop = asyncio.get_running_loop()
            self._unparking = loop.call_later(PARK_AGAIN, self._take_farms, farms)

    def _take_farms(self, farms: tuple[bytes, ...]) -> None:
        self.farms = farms
        self._on_change()

    async def _until_news(self, seconds: float) -> None:
        """Wait for so long, or until something has changed."""
        loop = asyncio.get_running_loop()
        until, asked, is_due = loop.time() + seconds, loop.time(), False
        self._sources = {ip: self._sources.get(ip) or source_towards(ip) for ip in self._towards()}
        while (left := until - loop.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_HERE)):
                    await self._news.wait()
            has_moved = self._has_moved()
            if self._slept or has_moved:
                why = "this machine has slept" if self._slept else "our addresses have changed"
                if has_moved:
                    self._reach, self._relay_reach = Believed(), Believed()
                log.info("%s: looking anew where we stand", why, extra=log_fields("moved"))
                self._slept = False
                self._sources.clear()
                self._dht.moved()
                self._on_change()
                return
            if self._news.is_set() and not is_due and self._is_worth_a_look():
                is_due = True
                until = min(until, self._schedule.after_news(loop.time()))
            self._news.clear()
            if loop.time() - asked > ASK_VIEW and set(self.situation.called) - set(self._here()):
                asked = loop.time()
                self._dht.ask_view()

    def _is_worth_a_look(self) -> bool:
        """Whether the last look does not cover it: many see us for the first time during one."""
        if self.relay_port is not None and not self._relay_reach.found:
            return True
        return is_news(self._reach.found, self._dht.seen_by_any())

    async def _notice_sleep(self) -> None:
        """For ever: the machine may fall asleep while we look where we stand, too."""
        loop = asyncio.get_running_loop()
        while True:
            wall, clock = time.time(), loop.time()
            await asyncio.sleep(LOOK_HERE)
            if has_slept(max(time.time() - wall, loop.time() - clock)):
                self._slept = True
                self._news.set()

    def _has_moved(self) -> bool:
        return any(source_towards(ip) != source for ip, source in self._sources.items())

    async def _keep_up(self) -> None:
        if not self._dht.contacts() and self._knows_somebody():
            await self._join()
            self._settle()
        elif not self.ready_to_publish:
            self._settle()
            self._was_alone = True
            mesh, secret = self._config.network, bool(self._config.secret_file)
            log.info("%s", how_to_join(self.situation, self._dht.port, mesh, secret))
        if self._dht.contacts():
            self.joined.set()
        await self.check()

    def _knows_somebody(self) -> bool:
        """Whether there is anybody to join through."""
        return bool(self._config.neighbours or self.lan() or self._dht.remembered())

    def _settle(self) -> None:
        """Something new is to be said, or the same to others."""
        self.ready_to_publish = True
        self._on_change()

    async def check(self) -> None:
        """Find out anew whether we can be reached; tell our owner what follows."""
        self.report.transport(self._dht.https_neighbour)
        before = self.situation
        if self._wanted is None and not before.advertised and self._dht.has_witnesses:
            if self._was_alone:
                self._keep_assumed(before)
            await self._have_dialled_back(before.job_port, self._reach)
            if self.relay_port is not None and any(r.is_open for r in self._reach.known):
                await self._have_dialled_back(self.relay_port, self._relay_reach)
        self._dht.know_own((*self._config.advertise, *before.local), reached=self.situation.called)
        now = self.situation
        self._dht.guest = not now.reachable and self._dht.has_witnesses
        self.report.standing(now)
        if now != before or self.relay_port is not None:
            self._on_change()
        if self.ready_to_publish and now.reachable:
            self.reachable.set()
        offset = self._dht.clock_offset()
        self.report.clock(None if offset is None else -offset)
        farm = None if self.relay_port is None else self.farm_situation(self.relay_port)
        self.report.routes(now, farm)

    def _keep_assumed(self, alone: NetworkState) -> None:
        """What a first node publishes holds while the first who come cannot say."""
        self._was_alone = False
        now = asyncio.get_running_loop().time()
        self._reach.assume([(ip, alone.job_port) for ip in alone.local], now)
        if self.relay_port is not None:
            self._relay_reach.assume([(ip, self.relay_port) for ip in alone.local], now)

    async def _have_dialled_back(self, port: int, believed: Believed) -> None:
        """Have others call that port. They are asked once more before it is believed that what was
        open is not: our address is a new one, and a datagram was lost."""
        found = await self._dht.dial_back(port)
        if has_closed(believed.known, found) or self._would_lose_farm(believed, found):
            found = await self._dht.dial_back(port)
        believed.take(found, asyncio.get_running_loop().time())

    def _would_lose_farm(self, believed: Believed, found: Sequence[Reachability]) -> bool:
        """Whether a farm that its owner asked for is found shut, for the first time."""
        first = believed is self._relay_reach and not believed.found
        return first and bool(self._config.farm) and any(reach.is_shut for reach in found)

    async def _join(self) -> None:
        """Until somebody answers, or has come to us."""
        failures = 0
        while not self._dht.contacts() and self._knows_somebody():
            neighbours = self._config.neighbours or self.lan()
            try:
                count = await self._dht.join(neighbours, self._config.join_timeout)
            except NotJoined as exc:
                failures += 1
                pause = backoff(failures, RETRY_FIRST, RETRY_LONGEST, random.Random())
                log.warning("%s; trying again in %.0f s", exc, pause)
                self._settle()
            else:
                log.info("joined mesh %r, %d nodes known", self._config.network, count,
                         extra=log_fields("joined", nodes=count))  # fmt: skip
                return
            await asyncio.sleep(pause)

    def look_soon(self) -> None:
        """Something is new here that strangers may or may not be able to call."""
        self._news.set()

    def _towards(self) -> list[str]:
        """Where a packet of ours might go."""
        return [*dict.fromkeys((*(ip for ip, _ in self._dht.contacts()[:8]), *SOMEWHERE))]

    def _here(self) -> list[str]:
        """Our address on the interface towards each neighbour, and towards anybody."""
        host = self._config.host
        if host not in (None, "", "0.0.0.0", "::"):
            return [str(host)]
        return list(dict.fromkeys(filter(None, map(source_towards, self._towards()))))
