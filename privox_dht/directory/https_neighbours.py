"""Neighbours over HTTPS: which answer, in which order they are used, how they see us.

contact   several at once; those that answer are used from then on
request   to one after the other, until one answers; those that fail are tried last from then on
records   if one finds none under a key, a second one is asked
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from privox_dht import join_failure, limits
from privox_dht.addresses import Address, join_host
from privox_dht.dht import dht_limits
from privox_dht.dht.node_state import nat_key
from privox_dht.dht.resolver import BAD_RECORD
from privox_dht.directory.https_answer import Answer
from privox_dht.directory.https_client import DirectoryClient
from privox_dht.errors import JobError, ProducerBusy, ProducerLost, RequestRejected
from privox_dht.membership.members import Membership

log = logging.getLogger("privox.directory")

Ask = Callable[[Address], Awaitable[Answer]]
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class ObservedAddress:
    """Our address and clock as seen by a neighbour that answered over HTTPS."""

    seen: str  # our address
    offset: float  # seconds its clock is ahead of ours


class HttpsNeighbours:
    """The neighbours of one mesh."""

    def __init__(
        self,
        mesh: bytes,
        clock: Callable[[], float],
        spawn: Spawn,
        member: Membership | None = None,
    ) -> None:
        """
        Args:
            mesh: the id of our mesh; nodes of others are of no use.
            spawn: runs a coroutine to its end, or to that of the node.
            member: our membership, in a private mesh.
        """
        self._mesh = mesh
        self._clock = clock
        self._spawn = spawn
        self._client = DirectoryClient(member)
        self._order: list[Address] = []  # in which they are tried
        self.observations: dict[Address, ObservedAddress] = {}  # by those that answered last time
        self.failures: dict[Address, str] = {}  # why the others did not, at the last `contact`

    async def close(self) -> None:
        await self._client.__aexit__(None, None, None)

    @property
    def first(self) -> str:
        """The URL of the one that is tried first; empty before any was contacted."""
        return f"https://{join_host(*self._order[0])}" if self._order else ""

    async def contact(
        self, addresses: Sequence[Address], deadline: float
    ) -> dict[Address, ObservedAddress]:
        """Contact all at once; those that answer before or soon after the first answer."""
        answered: dict[Address, ObservedAddress] = {}
        self.failures = {}
        tried = addresses[: limits.HTTPS_NEIGHBOURS]
        try:
            async with asyncio.timeout_at(deadline):
                asking = {self._spawn(self._hello(address, answered)) for address in tried}
                while asking and not answered:
                    _, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                if asking:
                    await asyncio.wait(asking, timeout=dht_limits.SOFT_LEAST)
        except TimeoutError:
            pass
        self._order = [*answered, *(address for address in tried if address not in answered)]
        return answered

    async def hear_anybody(self, deadline: float) -> bool:
        """Whether any of them answers until then."""
        return bool(await self.contact(self._order, deadline))

    async def _hello(self, address: Address, answered: dict[Address, ObservedAddress]) -> None:
        try:
            answer = await self._answer(address, self._client.hello)
        except JobError as exc:
            log.debug("- %s: %s", join_host(*address), exc)
            self.failures[address] = str(exc)
        else:
            answered[address] = self._observation(answer)

    def are_all_in_other_meshes(self) -> bool:
        """Whether all that we contacted answered that they are in another mesh."""
        return bool(self.failures) and set(self.failures.values()) == {join_failure.OTHER_MESH}

    def has_contacted(self, address: Address) -> bool:
        """Whether one of them is that machine (on loopback: that port)."""
        return nat_key(address) in map(nat_key, self._order)

    # -- requests ----------------------------------------------------------------------------------

    async def store(self, wire: bytes) -> int:
        """Have a signed record stored in the DHT; how many nodes hold it now, as reported."""
        asked = await self._ask(lambda node: self._client.store(node, wire))
        return asked[1].holders if asked else 0

    async def records(self, key: bytes, want: int) -> list[bytes]:
        """At most `want` records under a key, still to be checked."""

        def ask(node: Address) -> Awaitable[Answer]:
            return self._client.records(node, key, want)

        asked = await self._ask(ask)
        if asked is None:
            return []
        first, answer = asked
        if not answer.records and (others := [node for node in self.observations if node != first]):
            asked = await self._ask(ask, others[:1])
            answer = asked[1] if asked else answer
        return list(answer.records[:want])

    async def _ask(self, ask: Ask, nodes: Sequence[Address] = ()) -> tuple[Address, Answer] | None:
        """The first answer, and the neighbour that gave it."""
        for last in (False, True):
            busy = False
            for node in nodes or list(self._order):
                try:
                    answer = await self._answer(node, ask)
                except JobError as exc:
                    busy = busy or isinstance(exc, ProducerBusy)
                    self._failed(node, exc)
                    continue
                self.observations[node] = self._observation(answer)
                return node, answer
            if last or not busy:
                break
            await asyncio.sleep(limits.HTTPS_BUSY)
        return None

    async def _answer(self, node: Address, ask: Ask) -> Answer:
        answer = await ask(node)
        if answer.mesh != self._mesh:
            raise ProducerLost(join_failure.OTHER_MESH)
        return answer

    def _failed(self, node: Address, exc: JobError) -> None:
        """Try others before it from now on. One that is busy or rejects a record still answers."""
        log.debug("! %s: %s", join_host(*node), exc)
        rejects = isinstance(exc, RequestRejected) and exc.code == BAD_RECORD
        if not rejects and not isinstance(exc, ProducerBusy):
            self.observations.pop(node, None)
        if node in self._order:
            self._order.remove(node)
            self._order.append(node)

    # -- how they see us ---------------------------------------------------------------------------

    def _observation(self, answer: Answer) -> ObservedAddress:
        return ObservedAddress(answer.seen, answer.time - self._clock())

    def seen_by_any(self) -> list[str]:
        """Every IP at which any of them sees us."""
        return list(dict.fromkeys(observation.seen for observation in self.observations.values()))

    def clock_offset(self) -> float | None:
        """How far their clocks are ahead of ours (median, seconds)."""
        offsets = [observation.offset for observation in self.observations.values()]
        return median(offsets) if offsets else None
