"""The mesh's directory, by UDP where that passes, else over HTTPS through a neighbour.

    join    by UDP; when nobody has answered for two seconds, over HTTPS beside it, at the same
            addresses (a node's TCP port has the number of its UDP port, unless its owner chose
            another); whichever answers first is used
    find    by UDP: a walk. Over HTTPS: a neighbour walks for us; another is asked when it does not
            answer, or knows of nobody. Every record is checked just the same
    publish likewise
    again   every three minutes: does UDP answer now? Then it is used. And when UDP that worked has
            answered nothing for a minute: do the neighbours answer over HTTPS?

Over HTTPS a node is a guest for good: nobody could ask it anything. It parks at farms like any
other that cannot be reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import Any

from privox_dht import limits, unjoined
from privox_dht.addresses import is_loopback
from privox_dht.dht import DhtNode, Reach
from privox_dht.dht.udp_transport import Resolved, resolve
from privox_dht.directory.https_client import DirectoryClient
from privox_dht.directory.https_server import Answer
from privox_dht.errors import Busy, JobError, Lost, NotJoined
from privox_dht.hostport import Address, join_host
from privox_dht.identity import Identity
from privox_dht.records import Record

log = logging.getLogger("privox.directory")

Ask = Callable[[Address], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class View:
    """What a neighbour that answered over HTTPS says of us."""

    seen: str  # our address
    offset: float  # seconds its clock is ahead of ours


class Directory(DhtNode):
    """A `DhtNode` that gets by without UDP."""

    def __init__(
        self,
        identity: Identity,
        *,
        udp_wait: float = limits.UDP_WAIT,
        udp_again: float = limits.UDP_AGAIN,
        udp_silent: float = limits.UDP_SILENT,
        hidden: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            udp_wait: seconds without an answer by UDP after which HTTPS is tried beside it.
            udp_again: seconds between tries whether UDP answers again, at most.
            hidden: speak to nobody but the neighbours, over HTTPS: they do all looking up, so that
                no other node learns our address.
            udp_silent: seconds in which UDP must answer something, if anything was asked by it.
            options: those of `DhtNode`.
        """
        super().__init__(identity, **options)
        self._udp_wait, self._udp_again, self._udp_silent = udp_wait, udp_again, udp_silent
        self._hidden = hidden
        self._client = DirectoryClient()
        self._neighbours: list[Address] = []  # that may be asked over HTTPS, the best first
        self._views: dict[Address, View] = {}  # of those that answered when last asked
        self._tried = Resolved({}, {})  # who was last asked over HTTPS ...
        self._failures: dict[Address, str] = {}  # ... and why they were of no use
        self._keeping: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Directory by {self.through or 'UDP'}, {super().__repr__()}>"

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, error, trace)
        await self._client.__aexit__(kind, error, trace)

    @property
    def through(self) -> str:
        """The neighbour that is asked over HTTPS; empty while we are in the mesh by UDP."""
        if self._lookups.instead is None or not self._neighbours:
            return ""
        return f"https://{join_host(*self._neighbours[0])}"

    # -- joining -----------------------------------------------------------------------------------

    async def join(
        self, neighbours: Sequence[Address], timeout: float = limits.JOIN_TIMEOUT
    ) -> int:
        """Become part of the mesh, by whichever way answers; how many contacts we have then.

        Raises:
            NotJoined: nobody answered; the message says who was tried.
        """
        began = asyncio.get_running_loop().time()
        if self._hidden:
            self._known(neighbours)
            if met := await self._meet_over_https(began + timeout):
                return self._joined_over_https(met)
            raise NotJoined(self._why_not(timeout))
        by_udp = self._spawn(self._join_by_udp(neighbours, timeout))
        try:
            await asyncio.wait([by_udp], timeout=min(self._udp_wait, timeout / 2))
            if by_udp.done() or self._udp_answered(began):
                return self._joined_by_udp(await by_udp)
            return await self._join_by_either(by_udp, began, timeout)
        finally:
            by_udp.cancel()

    async def _join_by_udp(self, neighbours: Sequence[Address], timeout: float) -> int | NotJoined:
        try:
            return await super().join(neighbours, timeout)
        except NotJoined as exc:
            return exc

    async def _join_by_either(
        self,
        by_udp: asyncio.Task[int | NotJoined],
        began: float,
        timeout: float,
    ) -> int:
        by_https = self._spawn(self._meet_over_https(began + timeout))
        try:
            await asyncio.wait([by_udp, by_https], return_when=asyncio.FIRST_COMPLETED)
            met = by_https.result() if by_https.done() else {}
            if by_https.done() and self._all_elsewhere():
                raise NotJoined(self._why_not(timeout))
            if not met and not self._udp_answered(began):
                await asyncio.wait([by_udp, by_https])
                met = by_https.result()
            if met and not self._udp_answered(began):
                return self._joined_over_https(met)
            outcome = await by_udp
            if isinstance(outcome, NotJoined):
                outcome = NotJoined(self._why_not(timeout))
            return self._joined_by_udp(outcome)
        finally:
            by_https.cancel()

    def _all_elsewhere(self) -> bool:
        """Whether everybody we could ask answered, and is in another mesh."""
        return bool(self._failures) and set(self._failures.values()) == {unjoined.OTHER_MESH}

    def _why_not(self, timeout: float) -> str:
        reasons = self._tried.of_each(self._failures)
        return unjoined.why(self.network, timeout, self._known(), reasons)

    def _udp_answered(self, since: float) -> bool:
        return self._table_size() > 0 and self._state.heard_at >= since

    async def _meet_over_https(self, deadline: float) -> dict[Address, View]:
        """Those of the neighbours that answer, as far as they do so soon after the first."""
        met: dict[Address, View] = {}
        self._failures = {}
        self._tried = await resolve(self._known(), self._state.families, deadline)
        some = self._tried.addresses[: limits.HTTPS_NEIGHBOURS]
        try:
            async with asyncio.timeout_at(deadline):
                asking = {self._spawn(self._greet(address, met)) for address in some}
                while asking and not met:
                    _, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                if asking:
                    await asyncio.wait(asking, timeout=limits.SOFT_LEAST)
        except TimeoutError:
            pass
        self._neighbours = [*met, *(address for address in some if address not in met)]
        return met

    async def _greet(self, address: Address, met: dict[Address, View]) -> None:
        try:
            answer = await self._heard(address, self._client.greet)
        except JobError as exc:
            log.debug("- %s: %s", join_host(*address), exc)
            self._failures[address] = str(exc)
        else:
            met[address] = self._view(answer)

    def _joined_over_https(self, met: dict[Address, View]) -> int:
        self._views = met
        for ip, _ in met:
            self._state.met(ip, named=True)
        self._lookups.instead = self._look_up
        log.debug("> working through %s", self.through)
        self.save_contacts()
        self._keep_way()
        return len(met)

    def _joined_by_udp(self, outcome: int | NotJoined) -> int:
        if isinstance(outcome, NotJoined):
            raise outcome
        self._lookups.instead = None
        self._views = {}
        self._keep_way()
        return outcome

    def has_contacted(self, address: Address) -> bool:
        """Whether we ever sent anything to that machine (on loopback: that port)."""
        asked = {a if is_loopback(a[0]) else (a[0], 0) for a in self._neighbours}
        party = address if is_loopback(address[0]) else (address[0], 0)
        return party in asked or super().has_contacted(address)

    def _keep_way(self) -> None:
        """From now on, find out when the other way is the one that works."""
        if self._keeping is None and not self._hidden:
            self._keeping = self._spawn(self._look_for_ways())

    async def _look_for_ways(self) -> None:
        wait = limits.UDP_AGAIN_FIRST
        while True:
            if self._lookups.instead is not None:
                wait = min(wait, self._udp_again)
                await asyncio.sleep(wait * (0.9 + 0.2 * self._state.rng.random()))
                wait *= 2
                await self._try_udp()
            elif await self._udp_fell_silent():
                wait = limits.UDP_AGAIN_FIRST
                deadline = asyncio.get_running_loop().time() + limits.JOIN_TIMEOUT
                if met := await self._meet_over_https(deadline):
                    self._joined_over_https(met)

    async def _try_udp(self) -> None:
        outcome = await self._join_by_udp(self._named, self._udp_wait)
        if isinstance(outcome, int) and self._table_size():
            log.debug("> UDP answers again")
            self._joined_by_udp(outcome)

    async def _udp_fell_silent(self) -> bool:
        """Whether, for a while, something was asked by UDP and nothing answered."""
        began, before = asyncio.get_running_loop().time(), self._state.counts["unanswered"]
        await asyncio.sleep(self._udp_silent)
        return self._state.heard_at < began and self._state.counts["unanswered"] > before

    # -- asking ------------------------------------------------------------------------------------

    async def publish(self, record: Record) -> int:
        """Leave our signed record (or its withdrawal) with the closest nodes of each of its keys.

        Returns:
            How many nodes hold it now; over HTTPS that is the neighbour's word.
        """
        if self._lookups.instead is None:
            return await super().publish(record)
        asked = await self._asked(lambda node: self._client.leave(node, record.wire))
        return asked[1].holders if asked else 0

    async def _look_up(self, key: bytes, want: int) -> list[Record]:
        """The records under a key, each checked; that there is none, two neighbours must say."""

        def ask(node: Address) -> Awaitable[Answer]:
            return self._client.records(node, key, want)

        asked = await self._asked(ask)
        if asked is None:
            return []
        first, answer = asked
        if not answer.wires and (others := [node for node in self._views if node != first]):
            asked = await self._asked(ask, others[:1])
            answer = asked[1] if asked else answer
        checked = (self._state.accept(wire, key) for wire in answer.wires[:want])
        return [record for record in checked if record is not None]

    async def _asked(
        self, ask: Ask, nodes: Sequence[Address] = ()
    ) -> tuple[Address, Answer] | None:
        """The first answer that a neighbour gives, and whose it is. Those that fail are asked
        last from then on."""
        for last in (False, True):
            busy = False
            for node in nodes or list(self._neighbours):
                try:
                    answer = await self._heard(node, ask)
                except JobError as exc:
                    busy = busy or isinstance(exc, Busy)
                    self._failed(node, exc)
                    continue
                self._views[node] = self._view(answer)
                return node, answer
            if last or not busy:
                break
            await asyncio.sleep(limits.HTTPS_BUSY)
        return None

    async def _heard(self, node: Address, ask: Ask) -> Answer:
        answer = await ask(node)
        if answer.mesh != self.mesh:
            raise Lost(unjoined.OTHER_MESH)
        return answer

    def _failed(self, node: Address, exc: JobError) -> None:
        """Others are asked before it from now on. Busy is not dead."""
        log.debug("! %s: %s", join_host(*node), exc)
        if not isinstance(exc, Busy):
            self._views.pop(node, None)
        if node in self._neighbours:
            self._neighbours.remove(node)
            self._neighbours.append(node)

    def _view(self, answer: Answer) -> View:
        return View(answer.seen, answer.time - self._state.clock())

    # -- what there is to know ---------------------------------------------------------------------

    def contacts(self) -> list[Address]:
        """The addresses of all contacts; over HTTPS, of the neighbours that answer."""
        return super().contacts() if self._lookups.instead is None else list(self._views)

    def glimpsed(self) -> list[str]:
        """Every IP at which any neighbour sees us, agreed on or not."""
        if self._lookups.instead is None:
            return super().glimpsed()
        return list(dict.fromkeys(view.seen for view in self._views.values()))

    def clock_offset(self) -> float | None:
        """How far our neighbours' clocks are ahead of ours (median, seconds)."""
        if self._lookups.instead is None:
            return super().clock_offset()
        return median(view.offset for view in self._views.values()) if self._views else None

    async def dial_back(self, tcp_port: int | None) -> list[Reach]:
        """Whether strangers can reach us: not by UDP where it is blocked; nobody tries TCP."""
        if self._lookups.instead is None:
            return await super().dial_back(tcp_port)
        return [Reach(family, udp=False) for family in self._protocols]

    def save_contacts(self) -> None:
        """Write good contacts to the state folder, if we have one."""
        if self._lookups.instead is None:
            super().save_contacts()
        elif (kept := self._contact_file()) is not None:
            kept.add(self._views, self._state.clock())

    def stats(self) -> dict[str, Any]:
        """Numbers for logs and status pages."""
        return {**super().stats(), "through": self.through or "udp"}
