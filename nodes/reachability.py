"""Keeps a node joined, and finds out whether and at which addresses others can reach it.

join                     by UDP or, where that is blocked, over HTTPS (the owner is warned); retried
                         until a node answers, and again when no contact is left
ask nodes to dial back   -> reachable: a full node, with direct routes
                         -> not:       a guest of the DHT, parked at farms
check again              every two minutes, or sooner (`reachability_rules`); at once when our own
                         addresses change, when a neighbour sees us at a new address, when the first
                         neighbour appears, and when this machine has slept
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from nodes import reachability_rules as rules
from nodes.config import AUTO, YES, NodeConfig
from nodes.reachability_report import ReachabilityReport
from nodes.routes import NetworkState, how_to_join, is_reachable
from privox_dht.addresses import Address
from privox_dht.backoff import backoff
from privox_dht.cli.output import log_fields
from privox_dht.dht import Reachability
from privox_dht.directory.failover import Directory
from privox_dht.errors import NotJoined
from privox_dht.interfaces import SOMEWHERE, source_towards

log = logging.getLogger("privox.node")
ASK_ADDRESS_INTERVAL = 5.0  # seconds between two requests for our address as a neighbour sees it,
# while we publish one that is on none of our interfaces: only others notice when it changes
REPARK_GRACE = 3.0  # seconds in which a producer that lost its last farm may park again before its
# record drops that route: dials are spread over half a second, and tried twice
RETRY_FIRST, RETRY_LONGEST = 1.0, 60.0  # seconds between attempts to join, doubling


class ReachabilityMonitor:
    """Joins the mesh and checks reachability until cancelled."""

    def __init__(
        self, config: NodeConfig, dht: Directory, job_port: int, on_change: Callable[[], None]
    ) -> None:
        self._config, self._dht = config, dht
        self._on_change = on_change  # called when the routes to publish may have changed
        self._wanted = None if config.reachable == AUTO else config.reachable == YES
        self._dial_backs, self._relay_dial_backs = rules.DialBackResults(), rules.DialBackResults()
        self._schedule = rules.CheckSchedule()
        self._change = asyncio.Event()  # something may have changed: check at once
        self._slept = False  # this machine has slept since the last check
        self._sources: dict[str, str] = {}  # our source address towards each destination
        self._configured_state = NetworkState(job_port, advertised=config.advertise)
        self.lan: Callable[[], Sequence[Address]] = tuple  # neighbours in the local network
        self.joined = asyncio.Event()  # set once a node has answered
        self.ready_to_publish = False  # the first attempt to join is over, or there was none
        self.farm_failures: Callable[[], tuple[str, ...]] = tuple  # why we are not parked
        self.farms: tuple[bytes, ...] = ()  # keys of the farms in our routes
        self._unpark_timer: asyncio.TimerHandle | None = None  # until the last farm is dropped
        self._published_alone = False  # we published before there was any other node
        self.relay_port: int | None = None  # of our farm, if others are to dial it back
        self.reachable = asyncio.Event()  # set once strangers could reach us
        self.report = ReachabilityReport(
            config, lambda: self.network_state, lambda: bool(dht.contacts())
        )

    @property
    def network_state(self) -> NetworkState:
        """Our addresses and reachability as known now."""
        seen = replace(
            self._configured_state,
            observed=tuple(dict.fromkeys(ip for ip, _ in self._dht.observed())),
            seen_by_any=tuple(self._dht.seen_by_any()),
            local=tuple(self._local_addresses()),
            private=self._dht.private is not False,
            checked=self._wanted is not None
            or not self._dht.has_witnesses
            or bool(self._dial_backs.latest),
            farms=self.farms,
            farm_failures=() if self.farms else self.farm_failures(),
        )
        seen = rules.with_dial_backs(seen, self._dial_backs.effective)
        return replace(seen, reachable=is_reachable(self._wanted, seen))

    def record_dial_back(self, found: Sequence[Reachability]) -> None:
        """Use the result of a dial-back that was made elsewhere."""
        self._dial_backs.update(found, asyncio.get_running_loop().time())

    def farm_network_state(self, port: int) -> NetworkState:
        """`network_state` for our farm, at its own port."""
        found = None if self.relay_port is None else self._relay_dial_backs.effective
        return rules.at_farm_port(
            self.network_state, port, found, requested=bool(self._config.farm)
        )

    async def run(self) -> None:
        """Stay joined and keep checking, until cancelled."""
        self._dht.on_new_address(self._change.set)
        noticing = asyncio.create_task(self._notice_sleep(), name="noticing sleep")
        try:
            while True:
                self._change.clear()
                try:
                    await self._join_and_check()
                except Exception:  # the next check may succeed
                    log.exception("reachability check failed")
                await self._wait_for_change(self._seconds_to_next_check())
        finally:
            self.report.close()
            noticing.cancel()
            if self._unpark_timer is not None:
                self._unpark_timer.cancel()

    def _seconds_to_next_check(self) -> float:
        """Seconds until the next check, if nothing changes before."""
        if self._wanted is not None or self._configured_state.advertised:
            return rules.CHECK_INTERVAL if self.joined.is_set() else rules.UNKNOWN_BACKOFF[1]
        return self._schedule.after(self._dial_backs.latest, self._dht.seen_by_any())

    def parked_at(self, farms: tuple[bytes, ...]) -> None:
        """We are parked at the farms of these keys now. The loss of the last farm is published only
        if it lasts `REPARK_GRACE`: after a short outage we are parked again within a moment, and
        without a route clients would find no producer."""
        if self._unpark_timer is not None:
            self._unpark_timer.cancel()
        if farms or not self.farms:
            self._set_farms(farms)
        else:
            loop = asyncio.get_running_loop()
            self._unpark_timer = loop.call_later(REPARK_GRACE, self._set_farms, farms)

    def _set_farms(self, farms: tuple[bytes, ...]) -> None:
        self.farms = farms
        self._on_change()

    async def _wait_for_change(self, seconds: float) -> None:
        """Wait for so long, or until a change calls for a check."""
        loop = asyncio.get_running_loop()
        until, last_asked, is_due = loop.time() + seconds, loop.time(), False
        known = self._sources
        self._sources = {ip: known.get(ip) or source_towards(ip) for ip in self._destinations()}
        while (left := until - loop.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, rules.INTERFACE_POLL)):
                    await self._change.wait()
            has_moved = self._has_moved()
            if self._slept or has_moved:
                self._start_anew(has_moved)
                return
            if self._change.is_set() and not is_due and self._needs_check():
                is_due = True
                until = min(until, self._schedule.after_new_address(loop.time()))
            self._change.clear()
            may_ask = loop.time() - last_asked > ASK_ADDRESS_INTERVAL
            if may_ask and set(self.network_state.confirmed) - set(self._local_addresses()):
                last_asked = loop.time()
                self._dht.ask_own_address()

    def _start_anew(self, has_moved: bool) -> None:
        why = "this machine has slept" if self._slept else "our addresses have changed"
        if has_moved:
            self._dial_backs, self._relay_dial_backs = (
                rules.DialBackResults(),
                rules.DialBackResults(),
            )
        log.info("%s: checking reachability again", why, extra=log_fields("moved"))
        self._slept = False
        self._sources.clear()
        self._dht.addresses_changed()
        self._on_change()

    def _needs_check(self) -> bool:
        """Whether the last check does not cover the change: many neighbours report one at once."""
        if self.relay_port is not None and not self._relay_dial_backs.latest:
            return True
        return rules.has_new_address(self._dial_backs.latest, self._dht.seen_by_any())

    async def _notice_sleep(self) -> None:
        """Runs beside the checks, since the machine may fall asleep during one."""
        loop = asyncio.get_running_loop()
        while True:
            wall, clock = time.time(), loop.time()
            await asyncio.sleep(rules.INTERFACE_POLL)
            if rules.has_slept(max(time.time() - wall, loop.time() - clock)):
                self._slept = True
                self._change.set()

    def _has_moved(self) -> bool:
        return any(source_towards(ip) != source for ip, source in self._sources.items())

    async def _join_and_check(self) -> None:
        if not self._dht.contacts() and self._can_join():
            await self._join()
            self._allow_publishing()
        elif not self.ready_to_publish:
            self._allow_publishing()
            self._published_alone = True
            mesh, secret = self._config.network, bool(self._config.secret_file)
            log.info("%s", how_to_join(self.network_state, self._dht.port, mesh, secret))
        if self._dht.contacts():
            self.joined.set()
        await self.check()

    def _can_join(self) -> bool:
        """Whether any node is known to join through."""
        return bool(self._config.neighbours or self.lan() or self._dht.remembered())

    def _allow_publishing(self) -> None:
        """Records may be published from now on; publish, since contacts may be new."""
        self.ready_to_publish = True
        self._on_change()

    async def check(self) -> None:
        """Check whether others can reach us, and report the result to the owner."""
        self.report.transport(self._dht.https_neighbour)
        before = self.network_state
        if self._wanted is None and not before.advertised and self._dht.has_witnesses:
            if self._published_alone:
                self._assume_reachable(before)
            await self._dial_back(before.job_port, self._dial_backs)
            if self.relay_port is not None and any(r.is_open for r in self._dial_backs.effective):
                await self._dial_back(self.relay_port, self._relay_dial_backs)
        reached = self.network_state.confirmed
        self._dht.set_own_addresses((*self._config.advertise, *before.local), reached=reached)
        now = self.network_state
        self._dht.guest = not now.reachable and self._dht.has_witnesses
        self.report.addresses(now)
        if now != before or self.relay_port is not None:
            self._on_change()
        if self.ready_to_publish and now.reachable:
            self.reachable.set()
        offset = self._dht.clock_offset()
        self.report.clock(None if offset is None else -offset)
        farm = None if self.relay_port is None else self.farm_network_state(self.relay_port)
        self.report.routes(now, farm)

    def _assume_reachable(self, alone: NetworkState) -> None:
        """Keep what a first node published of itself, until others have dialled it back."""
        self._published_alone = False
        now = asyncio.get_running_loop().time()
        self._dial_backs.assume([(ip, alone.job_port) for ip in alone.local], now)
        if self.relay_port is not None:
            self._relay_dial_backs.assume([(ip, self.relay_port) for ip in alone.local], now)

    async def _dial_back(self, port: int, results: rules.DialBackResults) -> None:
        """Have others dial back that port. An open port is dialled a second time before it counts
        as shut: a datagram may have been lost, or our address may just have changed."""
        found = await self._dht.dial_back(port)
        if rules.has_closed(results.effective, found) or self._would_lose_farm(results, found):
            found = await self._dht.dial_back(port)
        results.update(found, asyncio.get_running_loop().time())

    def _would_lose_farm(
        self, results: rules.DialBackResults, found: Sequence[Reachability]
    ) -> bool:
        """Whether the first dial-back of a farm that its owner asked for finds its port shut."""
        first = results is self._relay_dial_backs and not results.latest
        return first and bool(self._config.farm) and any(reach.is_shut for reach in found)

    async def _join(self) -> None:
        """Try until a node answers, or another node has contacted us."""
        failures = 0
        while not self._dht.contacts() and self._can_join():
            neighbours = self._config.neighbours or self.lan()
            try:
                count = await self._dht.join(neighbours, self._config.join_timeout)
            except NotJoined as exc:
                failures += 1
                pause = backoff(failures, RETRY_FIRST, RETRY_LONGEST, random.Random())
                log.warning("%s; trying again in %.0f s", exc, pause)
                self._allow_publishing()
            else:
                log.info("joined mesh %r, %d nodes known", self._config.network, count,
                         extra=log_fields("joined", nodes=count))  # fmt: skip
                return
            await asyncio.sleep(pause)

    def check_soon(self) -> None:
        """A new port or address of ours is to be checked."""
        self._change.set()

    def _destinations(self) -> list[str]:
        """Addresses that stand for all that we might send to: some contacts, and the internet."""
        return [*dict.fromkeys((*(ip for ip, _ in self._dht.contacts()[:8]), *SOMEWHERE))]

    def _local_addresses(self) -> list[str]:
        """Our source address towards each destination, or the one we listen on."""
        host = self._config.host
        if host not in (None, "", "0.0.0.0", "::"):
            return [str(host)]
        return list(dict.fromkeys(filter(None, map(source_towards, self._destinations()))))
