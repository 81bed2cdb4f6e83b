"""A producer at several farms at once, so that one of them may die.

FarmPool --> farms()       which farms are there? (the DHT knows)
FarmPool --> session       one at each of two; a third as soon as one is lost
FarmPool --> on_change     the farms we are parked at are others now: publish the record anew
"""

from __future__ import annotations

import asyncio
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
from privox_dht.records import Relayed
from privox_dht.relay import messages, relay_limits
from privox_dht.relay.producer.farm_selection import FarmAt, FarmSelector
from privox_dht.relay.producer.line import MakeProtocol
from privox_dht.relay.producer.session import FarmSession, SessionConfig, SessionEnd
from privox_dht.relay.relay_limits import Timeouts

log = logging.getLogger(__name__)

Farms = Callable[[], Awaitable[Sequence[FarmAt]]]


class FarmPool:
    """A producer's parkings at the farms of its choice."""

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
            farms: asked which farms there are, at the start of every round; may be slow, or fail.
            server_context, connection, timeouts, rng: as `SingleFarm` has them.
            on_change: called, in the loop, whenever `parked_at` has changed.
            want: farms to be parked at.
            lines: lines to each farm at a time, calls included.
            member: the mesh is a private one, and this what we are in it.
        """
        self._member = member
        self._identity = identity
        self._farms = farms
        self._server_context = server_context
        self._connection = connection
        self._on_change = on_change
        self._lines = lines
        self._timeouts = timeouts or Timeouts()
        self._rng = rng or random.Random()
        self._rounds = FarmSelector(want, self._rng)
        self._instance = os.urandom(messages.INSTANCE)
        self._known: Sequence[FarmAt] = ()
        self._held: dict[FarmAt, bool] = {}  # True: parked there; False: on the way
        self._stays: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()  # something for `_run` to look at
        self._changed = asyncio.Event()  # `parked_at` is another

    def __repr__(self) -> str:
        said = (
            f"{peer_id_of(f.public)[:8]} {'parked' if p else 'dialling'}"
            for f, p in self._held.items()
        )
        return f"<FarmPool {', '.join(said) or 'nowhere'}>"

    @property
    def parked_at(self) -> tuple[FarmAt, ...]:
        """The farms through which the producer can be called now."""
        return tuple(sorted(farm for farm, parked in self._held.items() if parked))

    @property
    def routes(self) -> tuple[Relayed, ...]:
        """The same, as a record has them."""
        return tuple(Relayed(farm.public) for farm in self.parked_at)

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
            raise ProducerLost(f"not parked at {farms} farms in time: {self!r}") from exc

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="parkings")
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [self._task, *self._stays]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _run(self) -> None:
        """Plan, dial, and wait for the next thing to happen."""
        loop = asyncio.get_running_loop()
        while True:
            self._moved.clear()
            if self._rounds.refresh_due(self._held, loop.time()):
                await self._look()
            plan = self._rounds.plan(self._known, self._held, loop.time())
            for farm in plan.dial:
                self._dial(farm)
            with suppress(TimeoutError):
                async with asyncio.timeout(plan.wait):
                    await self._moved.wait()

    async def _look(self) -> None:
        """Ask which farms there are; if nobody can say, those we knew must do."""
        try:
            async with asyncio.timeout(relay_limits.PRODUCER_FARMS_LOOKUP):
                known = await self._farms()
        except (PrivoxError, OSError) as exc:
            log.info("relay: cannot find out which farms there are: %s", exc or "not in time")
        except Exception:
            log.exception("relay: what was to find farms failed")
        else:
            self._known = known or self._known

    def _dial(self, farm: FarmAt) -> None:
        place = SessionConfig(
            self._identity,
            farm.host,
            farm.port,
            farm.public,
            self._server_context,
            self._connection,
            self._timeouts,
            self._lines,
            self._instance,
            self._member,
        )
        stay = FarmSession(place, lambda ending: self._heed(farm, ending), self._rng)
        task = asyncio.create_task(stay.run(), name=f"parking at {place}")
        self._held[farm] = False
        self._stays.add(task)
        task.add_done_callback(self._stays.discard)

    def _heed(self, farm: FarmAt, ending: SessionEnd | None) -> None:
        """A line is parked at a farm, or the stay there is over."""
        if ending is not None:
            self._ended(farm, ending)
        elif not self._held[farm]:
            self._held[farm] = True
            self._rounds.parked()
            self._moved.set()  # if it is the only one, there may be another later
            self._tell()

    def _ended(self, farm: FarmAt, ending: SessionEnd) -> None:
        """Look for another farm at once."""
        parked = self._held.pop(farm)
        log.info("relay: %s: %s", ending.state, ending.why)
        wait = relay_limits.PRODUCER_SUPERSEDED if ending.state == "superseded" else ending.wait
        now = asyncio.get_running_loop().time()
        (self._rounds.lost if parked else self._rounds.failed)(farm, now, wait)
        self._moved.set()
        if parked:
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        try:
            self._on_change(self)
        except Exception:
            log.exception("relay: what was to be done when %r changed", self)
