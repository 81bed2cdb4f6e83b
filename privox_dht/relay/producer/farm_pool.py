"""Keeps a producer parked at several farms at once, so that one of them may fail.

FarmPool --> farms()       looks up the farms of the mesh, in the DHT
FarmPool --> session       one at each of two farms; another farm as soon as one is lost
FarmPool --> on_change     `parked_at` has changed: the record must be published again
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Self

from privox_dht.errors import PrivoxError, ProducerLost
from privox_dht.identity import Identity, peer_id_of
from privox_dht.membership.members import Membership
from privox_dht.relay import messages, relay_limits
from privox_dht.relay.producer.farm_selection import FarmAddress, FarmSelector
from privox_dht.relay.producer.line import MakeProtocol, SessionConfig
from privox_dht.relay.producer.session import FarmSession, SessionEnd
from privox_dht.relay.relay_limits import Timeouts

log = logging.getLogger(__name__)

MAX_REPORTED_FAILURES = 3  # farms whose failure is reported to the owner
Farms = Callable[[], Awaitable[Sequence[FarmAddress]]]


class FarmPool:
    """Keeps a producer parked at as many farms as it wants."""

    def __init__(
        self,
        identity: Identity,
        farms: Farms,
        *,
        server_context: ssl.SSLContext,
        connection: MakeProtocol,
        on_change: Callable[[FarmPool], None],
        want: int = relay_limits.PRODUCER_FARMS,
        lines: int = relay_limits.PRODUCER_LINES,
        timeouts: Timeouts | None = None,
        rng: random.Random | None = None,
        member: Membership | None = None,
    ) -> None:
        """
        Args:
            identity: the producer's key.
            farms: looks up the farms of the mesh at the start of every round; may be slow, or fail.
            server_context: what the producer answers a client's TLS with.
            connection: makes the protocol that is given each call (an aiohttp `web.Server`).
            on_change: called, in the loop, whenever `parked_at` has changed.
            want: farms to be parked at.
            lines: lines to each farm at a time, calls included.
            timeouts: how long to wait for the farms, and for clients.
            rng: chance.
            member: our membership, in a private mesh.
        """
        self._farms = farms
        self._on_change = on_change
        self._config_at = functools.partial(
            SessionConfig, identity=identity, server_context=server_context,
            connection=connection, timeouts=timeouts or Timeouts(), lines=lines,
            instance=os.urandom(messages.INSTANCE), member=member,
        )  # fmt: skip
        self._rng = rng or random.Random()
        self._selector = FarmSelector(want, self._rng)
        self._known: Sequence[FarmAddress] = ()
        self.last_end: SessionEnd | None = None  # of the session that ended last
        self._failures: dict[FarmAddress, str] = {}  # why we are not parked at known farms
        self._in_use: dict[FarmAddress, bool] = {}  # True: parked there; False: dialling
        self._sessions: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()  # `_run` has something to do
        self._changed = asyncio.Event()  # `parked_at` has changed

    def __repr__(self) -> str:
        farms = (
            f"{peer_id_of(f.public)[:8]} {'parked' if p else 'dialling'}"
            for f, p in self._in_use.items()
        )
        return f"<FarmPool {', '.join(farms) or 'nowhere'}>"

    @property
    def parked_at(self) -> tuple[FarmAddress, ...]:
        """The farms through which the producer can be called now."""
        return tuple(sorted(farm for farm, parked in self._in_use.items() if parked))

    @property
    def farm_failures(self) -> tuple[str, ...]:
        """Why we are not parked at other known farms, for a person."""
        keys = {farm.public for farm in self.parked_at}
        failed = (why for farm, why in sorted(self._failures.items()) if farm.public not in keys)
        return tuple(failed)[:MAX_REPORTED_FAILURES]

    async def parked(self, timeout: float, farms: int = 1) -> None:
        """Wait until the producer is parked at so many farms.

        Raises:
            ProducerLost: it is not, in this time.
        """
        try:
            async with asyncio.timeout(timeout):
                while len(self.parked_at) < farms:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as exc:
            why = self.last_end.why if self.last_end else repr(self)
            raise ProducerLost(f"not parked at {farms} farms in time: {why}") from exc

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="farm pool")
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [self._task, *self._sessions]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _run(self) -> None:
        """Plan, dial, and wait for the next event."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if self._selector.refresh_due(self._in_use, loop.time()):
                await self._refresh()
            plan = self._selector.plan(self._known, self._in_use, loop.time())
            for farm in plan.dial:
                self._dial(farm)
            with suppress(TimeoutError):
                async with asyncio.timeout(plan.wait):
                    await self._wake.wait()

    async def _refresh(self) -> None:
        """Look up the farms; if that fails, go on with those known before."""
        try:
            async with asyncio.timeout(relay_limits.PRODUCER_FARMS_LOOKUP):
                known = await self._farms()
        except (PrivoxError, OSError) as exc:
            log.info("relay: cannot look up farms, using those known: %s", exc or "not in time")
        except Exception:
            log.exception("relay: the look-up of farms failed; using those known")
        else:
            self._known = known or self._known
            self._failures = {f: why for f, why in self._failures.items() if f in self._known}

    def _dial(self, farm: FarmAddress) -> None:
        config = self._config_at(farm)
        on_event = functools.partial(self._on_session_event, farm)
        session = FarmSession(config, on_event, self._rng)
        task = asyncio.create_task(session.run(), name=f"session at {config}")
        self._in_use[farm] = False
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    def _on_session_event(self, farm: FarmAddress, ending: SessionEnd | None) -> None:
        """A line is parked at a farm, or the session there is over."""
        if ending is not None:
            self._on_session_end(farm, ending)
        elif not self._in_use[farm]:
            self._in_use[farm] = True
            self._failures.pop(farm, None)
            self._selector.parked()
            self._wake.set()  # plan anew: more farms may be needed
            self._notify()

    def _on_session_end(self, farm: FarmAddress, ending: SessionEnd) -> None:
        """A session is over: look for another farm at once."""
        parked, self.last_end = self._in_use.pop(farm), ending
        self._failures[farm] = ending.why
        log.info("relay: %s: %s", ending.state, ending.why)
        wait = relay_limits.PRODUCER_SUPERSEDED if ending.state == "superseded" else ending.wait
        now = asyncio.get_running_loop().time()
        (self._selector.lost if parked else self._selector.failed)(farm, now, wait)
        self._wake.set()
        if parked:
            self._notify()

    def _notify(self) -> None:
        self._changed.set()
        try:
            self._on_change(self)
        except Exception:
            log.exception("relay: on_change of %r failed", self)
