"""The producer's side of one farm: parked there, or on the way back.

    async with SingleFarm(identity, ("203.0.113.7", 1776), farm_public, ...) as farm:
        await farm.parked(timeout=5)        a line is parked: the producer can be called
        farm.state                          one word, see STATES

A stay that ends is followed by another, after a pause: short when it had gone well, longer with
each failure, as long as the farm said when it said so. `superseded` is final: another machine has
this key, and two that take turns would serve nobody.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from privox_dht.backoff import backoff
from privox_dht.errors import ProducerLost
from privox_dht.identity import Identity, peer_id_of
from privox_dht.membership.members import Membership
from privox_dht.relay import messages, relay_limits
from privox_dht.relay.producer.line import MakeProtocol
from privox_dht.relay.producer.session import FarmSession, SessionConfig, SessionEnd
from privox_dht.relay.relay_limits import Timeouts

log = logging.getLogger(__name__)

STATES = (
    "dialling",  # on the way: nobody can call yet
    "parked",  # at least one line is parked, or was, and is being replaced
    "draining",  # the farm said that it is about to stop
    "refused",  # the farm does not take us just now
    "superseded",  # another machine parked with this key
    "lost",  # no farm there, or not the one we meant, or it fell silent
)


class SingleFarm:
    """A producer's lines at one farm."""

    def __init__(
        self,
        identity: Identity,
        farm: tuple[str, int],
        farm_public: bytes,
        *,
        server_context: ssl.SSLContext,
        connection: MakeProtocol,
        on_change: Callable[[SingleFarm], None],
        lines: int = relay_limits.PRODUCER_LINES,
        timeouts: Timeouts | None = None,
        rng: random.Random | None = None,
        member: Membership | None = None,
    ) -> None:
        """
        Args:
            identity: the producer's key.
            farm: the farm's host and port.
            farm_public: the key that the farm must prove.
            server_context: what the producer answers a client's TLS with.
            connection: makes the protocol that is given each call (an aiohttp `web.Server`).
            on_change: called, in the loop, after every change of `state`.
            lines: lines at a time, calls included.
            timeouts: how long to wait for the farm, and for clients.
            rng: chance.
            member: the mesh is a private one, and this what we are in it.
        """
        self.farm = farm_public
        self.state = "dialling"
        self.why = ""  # what ended the last stay
        self.over = False  # no stay will follow
        self._on_change = on_change
        self._rng = rng or random.Random()
        self._place = SessionConfig(
            identity,
            *farm,
            farm_public,
            server_context,
            connection,
            timeouts or Timeouts(),
            lines,
            os.urandom(messages.INSTANCE),
            member,
        )
        self._moved = asyncio.Event()
        self._failures = 0  # stays in a row that did not get as far as parking
        self._pause = 0.0  # seconds before the next

    def __repr__(self) -> str:
        return f"<SingleFarm {peer_id_of(self.farm)[:8]} {self._place}: {self.state}>"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"parking at {self._place}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def parked(self, timeout: float) -> None:
        """Wait until the producer can be called through this farm.

        Raises:
            ProducerLost: it cannot, in this time or for good.
        """
        try:
            async with asyncio.timeout(timeout):
                while self.state != "parked":
                    if self.over:
                        raise ProducerLost(f"not parked, {self.state}: {self.why}")
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as exc:
            why = f"not parked at {self._place} in time, {self.state}: {self.why}"
            raise ProducerLost(why) from exc

    async def _run(self) -> None:
        """One stay after the other."""
        while not self.over:
            self._become("dialling")
            await FarmSession(self._place, self._heed, self._rng).run()
            if not self.over:
                await asyncio.sleep(self._pause)

    def _heed(self, ending: SessionEnd | None) -> None:
        """A line is parked, or the stay is over."""
        if ending is None:
            self._become("parked")
            return
        self._failures = 0 if self.state == "parked" else self._failures + 1
        self._pause = self._rng.uniform(0.0, relay_limits.PRODUCER_ROUND)
        if self._failures or ending.wait:
            pause = backoff(max(self._failures, 1), *relay_limits.PRODUCER_BACKOFF, self._rng)
            self._pause = max(ending.wait, pause)
        self.why = ending.why
        self.over = ending.state == "superseded"
        log.info("relay: %s: %s", ending.state, ending.why)
        self._become(ending.state)

    def _become(self, state: str) -> None:
        if state == self.state:
            return
        self.state = state
        self._moved.set()
        try:
            self._on_change(self)
        except Exception:
            log.exception("relay: what was to be done when %r changed", self)
