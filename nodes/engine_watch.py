"""Health checks of remote engines: each server is probed every half a minute.

    up -> does not answer  ->  down: not offered, its record is withdrawn
    down -> answers        ->  up: offered again

A server that is only slow stays up: it may be working on a job of this node.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from privox_dht.errors import JobError
from privox_dht.speech import Engine

log = logging.getLogger("privox.node")
INTERVAL = 30.0  # seconds between two probes
ANSWER_TIMEOUT = 10.0  # seconds; a busy server may take that long
MAX_SLOW = 3  # slow answers in a row, after which a server counts as down


@runtime_checkable
class RemoteEngine(Protocol):
    """An engine that works at a remote server, which may be down at times."""

    async def check_alive(self) -> None:
        """Return if the server is there.

        Raises:
            JobError: it is not; says why.
        """


class EngineWatch:
    """Tells which engines are up. Local ones always are."""

    def __init__(
        self, engines: Sequence[Engine], on_change: Callable[[], None], every: float = INTERVAL
    ) -> None:
        self._remote = [engine for engine in engines if isinstance(engine, RemoteEngine)]
        self._on_change = on_change
        self._every = every
        self._down: set[int] = set()  # by id
        self._slow: Counter[int] = Counter()

    def __repr__(self) -> str:
        return f"<EngineWatch {len(self._down)} of {len(self._remote)} servers down>"

    def is_up(self, engine: Engine) -> bool:
        return id(engine) not in self._down

    async def run(self) -> None:
        """Probe the servers, until cancelled."""
        await asyncio.gather(*map(self._watch, self._remote))

    async def _watch(self, engine: RemoteEngine) -> None:
        while True:
            await asyncio.sleep(self._every)
            why = await self._why_down(engine)
            if bool(why) == (id(engine) in self._down):
                continue
            if why:
                self._down.add(id(engine))
                log.warning("%r is not offered for now: %s", engine, why)
            else:
                self._down.discard(id(engine))
                log.info("%r is offered again", engine)
            self._on_change()

    async def _why_down(self, engine: RemoteEngine) -> str:
        """Why the server is down; "": it is up."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await engine.check_alive()
        except TimeoutError:
            self._slow[id(engine)] += 1
            if self._slow[id(engine)] < MAX_SLOW and id(engine) not in self._down:
                return ""
            return f"it took more than {ANSWER_TIMEOUT:.0f} s to answer"
        except JobError as exc:
            return str(exc)
        del self._slow[id(engine)]
        return ""
