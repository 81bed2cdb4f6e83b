"""Where a node stands in the mesh: joined or not, seen from where, reachable or not.

join, again and again, until somebody answers; again when everybody is gone
     by UDP, or where that is blocked over HTTPS: said loudly
ask nodes to call back   -> reachable: a full node, with direct routes
                         -> not:       a guest of the DHT, parked at farms
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from dataclasses import replace

from nodes.config import AUTO, YES, NodeConfig
from nodes.routes import Situation, advice, farm_advice, is_reachable
from privox_dht.directory import Directory
from privox_dht.errors import NotJoined
from privox_dht.hostport import join_host
from privox_dht.settings import told

log = logging.getLogger("privox.node")
LOOK_EVERY = 120.0  # seconds between looks at where we stand; a router may change our address
LOOK_SOON = 10.0  # seconds, while nobody was met, or nobody could say whether we can be reached
RETRY_FIRST, RETRY_LONGEST = 1.0, 60.0  # seconds between attempts to join, doubling
CLOCK_WARNING = 10.0  # seconds our clock may differ from the neighbours' before we say so
SOMEWHERE = ("192.0.2.1", "2001:db8::1")  # documentation addresses: no packet is ever sent there


class Standing:
    """Keeps up with where we stand; `on_change` is told when routes may have changed."""

    def __init__(
        self, config: NodeConfig, dht: Directory, job_port: int, on_change: Callable[[], None]
    ) -> None:
        self._config = config
        self._dht = dht
        self._on_change = on_change
        self._wanted = None if config.reachable == AUTO else config.reachable == YES
        self._callbacks: tuple[bool | None, bool | None] = (None, None)
        self._situation = Situation(job_port, advertised=config.advertise)
        self._warned = ""
        self._through = ""  # the neighbour we work through, while UDP is blocked
        self.joined = asyncio.Event()  # somebody answered, once
        self.settled = False  # nobody is to be joined, or that was tried: what we say may be heard
        self.farms: tuple[bytes, ...] = ()  # where we are parked; set by whoever parks

    @property
    def situation(self) -> Situation:
        """Where we stand now."""
        local = [self._config.host] if self._bound() else self._local()
        observed = tuple(dict.fromkeys(ip for ip, _ in self._dht.observed()))
        seen = replace(
            self._situation,
            observed=observed,
            glimpsed=tuple(self._dht.glimpsed()),
            local=tuple(filter(None, local)),
            private=self._dht.private is not False,
            farms=self.farms,
        )
        return replace(seen, reachable=is_reachable(self._wanted, seen, *self._callbacks))

    async def keep(self) -> None:
        """Stay joined and know where we stand, for ever."""
        while True:
            try:
                await self._keep_up()
            except Exception:  # once: the next look may succeed
                log.exception("could not find out where we stand")
            known = self._wanted is not None or None not in self._callbacks
            await asyncio.sleep(LOOK_EVERY if known and self.joined.is_set() else LOOK_SOON)

    async def _keep_up(self) -> None:
        if not self._dht.contacts() and (self._config.neighbours or self._dht.remembered()):
            await self._join()
            self._settle()
        elif not self.settled:
            self._settle()
        if self._dht.contacts():
            self.joined.set()
        await self.look()

    def _settle(self) -> None:
        """Something new is to be said, or the same to others."""
        self.settled = True
        self._on_change()

    async def look(self) -> None:
        """Find out anew whether we can be reached; tell our owner what follows."""
        self._say_way()
        before = self.situation
        if self._wanted is None and not before.advertised and self._dht.contacts():
            reach = await self._dht.dial_back(before.job_port)
            self._callbacks = (reach.udp, reach.tcp)
        now = self.situation
        self._dht.guest = not now.reachable and bool(self._dht.contacts())
        if now != before:
            self._on_change()
        self._warn(self._advice(now) if self._dht.contacts() else "")
        offset = self._dht.clock_offset()
        if offset is not None and abs(offset) > CLOCK_WARNING:
            log.warning("our clock is %+.0f s off the neighbours'; mend it (NTP)", -offset)

    async def _join(self) -> None:
        """Until somebody answers, or has come to us."""
        pause = RETRY_FIRST
        while not self._dht.contacts():
            try:
                count = await self._dht.join(self._config.neighbours, self._config.join_timeout)
            except NotJoined as exc:
                log.warning("%s; trying again in %.0f s", exc, pause)
                self._settle()
            else:
                log.info("joined mesh %r, %d nodes known", self._config.network, count,
                         extra=told("joined", nodes=count))  # fmt: skip
                return
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, RETRY_LONGEST)

    def _advice(self, now: Situation) -> str:
        """What to tell our owner, if there is anything to be reached for."""
        if self._config.farm:
            return farm_advice(now)
        return advice(now) if self._config.services else ""

    def _say_way(self) -> None:
        """Which way into the mesh works, if it is another one than before."""
        through, before = self._dht.through, self._through
        self._through = through
        if through and not before:
            log.warning(
                "UDP IS BLOCKED HERE: no neighbour answers by it. Working through %s; others "
                "reach this node through farms only", through,
                extra=told("udp_blocked", through=through),
            )  # fmt: skip
        elif before and not through:
            log.info("UDP answers again", extra=told("udp_works"))

    def _warn(self, text: str) -> None:
        if text and text != self._warned:
            log.warning("%s", text)
        self._warned = text

    def _bound(self) -> bool:
        return self._config.host not in (None, "", "0.0.0.0", "::")

    def _local(self) -> list[str]:
        """Our address on the interface towards each neighbour. No packet is sent."""
        towards = self._dht.contacts()[:8] or [(ip, 9) for ip in SOMEWHERE]
        found = (_address_towards(ip, port) for ip, port in towards)
        return list(dict.fromkeys(ip for ip in found if ip))


def _address_towards(ip: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ip, port))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def shown(situation: Situation) -> str:
    """For a log line: how we are seen."""
    seen = (
        ", ".join(join_host(ip, situation.job_port) for ip in situation.observed) or "nowhere yet"
    )
    return f"seen at {seen}, {'reachable' if situation.reachable else 'not reachable'}"
