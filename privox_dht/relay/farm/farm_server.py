"""A farm: a publicly reachable node through which producers behind NATs are called.

    async with Farm(identity, port=1776) as farm:
        ...                     serves until left; leaving closes all connections
        await farm.drain()      graceful stop: no new calls, running ones may end

A farm never dials, reads nothing of what it forwards, and forwards only to producers that have
proved their key and parked a line.
"""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import Self

from privox_dht import limits
from privox_dht.addresses import join_host
from privox_dht.errors import ConfigError
from privox_dht.identity import Identity
from privox_dht.membership.members import Membership
from privox_dht.relay import relay_limits, tcp
from privox_dht.relay.farm.driver import FarmDriver
from privox_dht.relay.farm.protocols import HandshakeProtocol
from privox_dht.relay.relay_limits import FarmLimits, Timeouts

log = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0  # seconds for closed connections to leave the loop; they need one turn of it


class Farm:
    """A farm on its port."""

    def __init__(
        self,
        identity: Identity,
        *,
        host: str = "0.0.0.0",
        port: int = limits.RELAY_PORT,
        terms: FarmLimits | None = None,
        private: bool = False,
        timeouts: Timeouts | None = None,
        files: int | None = None,
        member: Membership | None = None,
    ) -> None:
        """
        Args:
            identity: the farm's key, which producers check.
            host: the address to listen on.
            port: the TCP port to listen on; 0 takes a free one.
            terms: what it grants.
            private: the mesh is all on loopback, where every node has the same address: no quotas
                per address.
            timeouts: how long it waits.
            files: connections it may have; None is what the system allows.
            member: our membership, in a private mesh.
        """
        self.terms = terms or FarmLimits()
        self.port = port
        self._host = host
        self._driver = FarmDriver(
            identity,
            self.terms,
            timeouts or Timeouts(),
            capped=not private,
            files=tcp.file_budget() if files is None else files,
            member=member,
        )

    def __repr__(self) -> str:
        where = join_host(self._host, self.port)
        return f"<Farm {self._driver.identity.peer_id[:8]} {where}>"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: HandshakeProtocol(self._driver),
                self._host,
                self.port,
                backlog=relay_limits.FARM_BACKLOG,
            )
        except OSError as exc:
            why = (
                f"a farm cannot listen on {join_host(self._host, self.port)}: {exc.strerror or exc}"
            )
            raise ConfigError(why) from exc
        self.port = self._server.sockets[0].getsockname()[1]
        if self._driver.member is not None:
            self._driver.member.own.ports.add(self.port)
        self._watch = asyncio.create_task(self._check_periodically(), name=f"farm {self.port}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stop_accepting()
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch
        self._driver.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._driver.no_connections.wait()

    async def _stop_accepting(self) -> None:
        """Stop accepting. `close` alone would leak a connection that is being accepted just now."""
        loop = asyncio.get_running_loop()
        for sock in self._server.sockets:
            loop.remove_reader(sock.fileno())
        await asyncio.sleep(0)  # what was accepted becomes a transport, which can be aborted
        self._server.close()

    async def drain(self, seconds: float = relay_limits.FARM_DRAIN) -> None:
        """Reject new calls and producers, notify those parked, and wait until no call is left."""
        self._driver.apply(self._driver.board.drain(seconds))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._driver.no_calls.wait()

    @property
    def held(self) -> int:
        """Bytes that wait in memory for readers."""
        return self._driver.board.calls.held

    @property
    def dropped(self) -> Counter[str]:
        """Why connections were closed or rejected: counts by one word."""
        return self._driver.counts

    def stats(self) -> dict[str, int | dict[str, int]]:
        """Counters and sizes; none tells which client called which producer."""
        board = self._driver.board
        carried = board.calls.carried + sum(call.carried for call in board.calls.open)
        return {
            "producers": len(board.producers),
            "parked": board.parked,
            "calls": len(board.calls.open),
            "calls_total": board.calls.total,
            "connections": board.connections,
            "carried_bytes": carried,
            "held_bytes": self.held,
            "dropped": dict(self.dropped),
        }

    async def _check_periodically(self) -> None:
        """Run the switchboard's timers, and check the calls' readers."""
        clock = self._driver.clock
        checked = clock()
        while True:
            await asyncio.sleep(relay_limits.FARM_TICK)
            try:
                self._driver.tick()
                if clock() - checked >= relay_limits.FARM_PROGRESS_CHECK:
                    checked = clock()
                    self._driver.check_calls()
            except Exception:  # a bug must not end these checks
                log.exception("relay: a periodic check of %r failed", self)
