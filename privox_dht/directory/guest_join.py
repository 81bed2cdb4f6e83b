"""How a guest joins a mesh: through its neighbours, nodes it remembers, or the local network.

join          once, within a time-out            -> joined, or NotJoined
keep_trying   after 2, 4, 8 s, up to a minute    -> joined; meanwhile `failure` says why not yet
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

from privox_dht.addresses import Address
from privox_dht.backoff import backoff
from privox_dht.directory.failover import Directory
from privox_dht.errors import NotJoined
from privox_dht.extras import needed_by

RETRY_FIRST, RETRY_LONGEST = 2.0, 60.0  # seconds between attempts to join, doubling


class GuestJoin:
    """One guest's attempts to join.

    Args:
        neighbours: used beside those that the directory remembers.
        lan: use nodes that announce themselves in the local network instead.
        timeout: seconds that one attempt may take.
    """

    def __init__(
        self, directory: Directory, neighbours: Sequence[Address], lan: bool, timeout: float
    ) -> None:
        self._directory = directory
        self._neighbours = neighbours
        self._lan = lan
        self._timeout = timeout
        self.failure: NotJoined | None = None  # of the last attempt

    async def join(self) -> None:
        """
        Raises:
            NotJoined: no node answered, or none is known.
            ConfigError: `lan` is wanted and its libraries are not installed.
        """
        directory, neighbours = self._directory, self._neighbours
        try:
            if self._lan:
                neighbours = await self._in_local_network()
            if not neighbours and not directory.remembered():
                raise NotJoined(
                    f"no node of mesh {directory.network!r} is known: give --neighbours host:port"
                )
            await directory.join(neighbours, self._timeout)
        except NotJoined as exc:
            self.failure = exc
            raise
        self.failure = None

    async def keep_trying(self) -> None:
        """Return once joined."""
        failures = 0
        while self.failure is not None:
            failures += 1
            await asyncio.sleep(backoff(failures, RETRY_FIRST, RETRY_LONGEST, random.Random()))
            with suppress(NotJoined):
                await self.join()

    async def _in_local_network(self) -> list[Address]:
        """
        Raises:
            NotJoined: no node announces itself there.
        """
        with needed_by("lan", "lan"):
            from privox_dht.lan import find
        with suppress(OSError):  # there is no network
            if found := await find(self._directory.mesh):
                return found
        raise NotJoined(
            f"no node of mesh {self._directory.network!r} announces itself in the local network"
            " (a node does so with --lan)"
        )
