"""The mesh's directory, by UDP where that passes, else over HTTPS through a neighbour.

    join    by UDP; without an answer for two seconds, over HTTPS as well, at the same addresses (a
            node's TCP port has the number of its UDP port, unless its owner chose another). The
            first transport that answers is used
    find    by UDP: a walk. Over HTTPS: a neighbour walks for us; another is asked if it does not
            answer, or finds nothing. Every record is checked all the same
    publish likewise
    switch  over HTTPS, UDP is tried every three minutes, and used when it answers; where no
            neighbour answers any more, their names are looked up again. By UDP, HTTPS is tried when
            no request was answered for a minute

Over HTTPS a node stays a guest: no other node can send it requests. It parks at farms like any
other that cannot be reached.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from privox_dht import join_failure, limits
from privox_dht.addresses import Address
from privox_dht.backoff import backoff
from privox_dht.dht import DhtNode, Reachability, dht_limits
from privox_dht.dht.udp_transport import Resolved, resolve
from privox_dht.directory.https_neighbours import HttpsNeighbours, ObservedAddress
from privox_dht.errors import NotJoined
from privox_dht.identity import Identity
from privox_dht.records import Record, latest_per_key

log = logging.getLogger("privox.directory")


class Directory(DhtNode):
    """A `DhtNode` that falls back to HTTPS where UDP is blocked."""

    def __init__(
        self,
        identity: Identity,
        *,
        udp_wait: float = limits.UDP_WAIT,
        udp_retry_max: float = limits.UDP_RETRY_MAX,
        udp_silence: float = limits.UDP_SILENT,
        hidden: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            udp_wait: seconds without an answer by UDP after which HTTPS is tried as well.
            udp_retry_max: the most seconds between tries whether UDP works again.
            hidden: contact only the neighbours, over HTTPS: they look up for us, so that no other
                node learns our address.
            udp_silence: seconds without an answer by UDP to any request, after which it counts as
                blocked.
            options: those of `DhtNode`.
        """
        super().__init__(identity, **options)
        self._udp_wait, self._udp_silence = udp_wait, udp_silence
        self._udp_retry_max = udp_retry_max
        self._hidden = hidden
        self._https = HttpsNeighbours(self.mesh, self._state.clock, self._spawn, self.member)
        self._resolved = Resolved({}, {})  # the neighbours last contacted over HTTPS
        self._monitor: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Directory by {self.https_neighbour or 'UDP'}, {super().__repr__()}>"

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        await self._https.close()

    @property
    def https_neighbour(self) -> str:
        """The neighbour that is asked over HTTPS; empty while we are in the mesh by UDP."""
        return "" if self._lookups.fallback_lookup is None else self._https.first

    # -- joining -----------------------------------------------------------------------------------

    async def join(
        self, neighbours: Sequence[Address], timeout: float = dht_limits.JOIN_TIMEOUT
    ) -> int:
        """Join the mesh by the transport that answers first; how many contacts we have then.

        Raises:
            NotJoined: no node answered; the message says which neighbours were tried.
        """
        began = asyncio.get_running_loop().time()
        if self._hidden:
            self._joining.known(neighbours)
            if answered := await self._contact_over_https(began + timeout):
                return self._joined_over_https(answered)
            raise NotJoined(self._explain_failure(timeout))
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
        self, by_udp: asyncio.Task[int | NotJoined], began: float, timeout: float
    ) -> int:
        by_https = self._spawn(self._contact_over_https(began + timeout))
        try:
            await asyncio.wait([by_udp, by_https], return_when=asyncio.FIRST_COMPLETED)
            answered = by_https.result() if by_https.done() else {}
            if by_https.done() and self._https.are_all_in_other_meshes():
                raise NotJoined(self._explain_failure(timeout))
            if not answered and not self._udp_answered(began):
                await asyncio.wait([by_udp, by_https])
                answered = by_https.result()
            if answered and not self._udp_answered(began):
                return self._joined_over_https(answered)
            outcome = await by_udp
            if isinstance(outcome, NotJoined):
                outcome = NotJoined(self._explain_failure(timeout))
            return self._joined_by_udp(outcome)
        finally:
            by_https.cancel()

    def _explain_failure(self, timeout: float) -> str:
        reasons = self._resolved.of_each(self._https.failures)
        return join_failure.why(self.network, timeout, self._joining.known(), reasons)

    def _udp_answered(self, since: float) -> bool:
        return self._network.size > 0 and self._state.last_answer_at >= since

    async def _contact_over_https(self, deadline: float) -> dict[Address, ObservedAddress]:
        self._resolved = await resolve(self._joining.known(), self._state.families, deadline)
        return await self._https.contact(self._resolved.addresses, deadline)

    def _joined_over_https(self, answered: dict[Address, ObservedAddress]) -> int:
        self._https.observations = answered
        for ip, _ in answered:
            self._state.peer_verified(ip, named=True)
        self._lookups.fallback_lookup = self._look_up
        log.debug("> using HTTPS, by %s", self.https_neighbour)
        self.save_contacts()
        self._monitor_transport()
        return len(answered)

    def _joined_by_udp(self, outcome: int | NotJoined) -> int:
        if isinstance(outcome, NotJoined):
            raise outcome
        self._lookups.fallback_lookup = None
        self._https.observations = {}
        self._monitor_transport()
        return outcome

    def has_contacted(self, address: Address) -> bool:
        """Whether we ever sent anything to that machine (on loopback: that port)."""
        return self._https.has_contacted(address) or super().has_contacted(address)

    async def hears_anybody(self, within: float = limits.OWN_NETWORK) -> bool:
        """Whether any contact answers now; over HTTPS, any neighbour."""
        if self._lookups.fallback_lookup is None:
            return await super().hears_anybody(within)
        return await self._https.hear_anybody(asyncio.get_running_loop().time() + within)

    def _monitor_transport(self) -> None:
        """From now on, look for neighbours by the other transport, or by their names, when none
        answers any more."""
        if self._monitor is None:
            self._monitor = self._spawn(self._switch_transport())

    async def _switch_transport(self) -> None:
        failures, first, most = 0, limits.UDP_RETRY_FIRST, self._udp_retry_max
        while True:
            if self._lookups.fallback_lookup is None:
                failures, is_lost = 0, await self._udp_fell_silent()
            else:
                failures += 1
                await asyncio.sleep(backoff(failures, first, most, self._state.rng))
                await self._try_udp()
                is_lost = not self.contacts()  # they may have new addresses
            if is_lost:
                deadline = asyncio.get_running_loop().time() + dht_limits.JOIN_TIMEOUT
                if answered := await self._contact_over_https(deadline):
                    self._joined_over_https(answered)

    async def _try_udp(self) -> None:
        if self._hidden:
            return
        outcome = await self._join_by_udp(self._joining.named, self._udp_wait)
        if isinstance(outcome, int) and self._network.size:
            log.debug("> UDP works again")
            self._joined_by_udp(outcome)

    async def _udp_fell_silent(self) -> bool:
        """Whether no request by UDP was answered for a while."""
        began, before = asyncio.get_running_loop().time(), self._state.counts["unanswered"]
        await asyncio.sleep(self._udp_silence)
        return self._state.last_answer_at < began and self._state.counts["unanswered"] > before

    # -- records -----------------------------------------------------------------------------------

    async def publish(self, record: Record) -> int:
        """See `DhtNode.publish`; over HTTPS, what the neighbour reports is returned."""
        if self._lookups.fallback_lookup is None:
            return await super().publish(record)
        return await self._https.store(record.encoded)

    async def _look_up(self, key: bytes, want: int) -> list[Record]:
        """The records under a key, each checked."""
        wires = await self._https.records(key, want)
        checked = (self._state.accept(wire, key) for wire in wires)
        return latest_per_key(record for record in checked if record is not None)

    # -- status -----------------------------------------------------------------------------------

    def contacts(self) -> list[Address]:
        """The addresses of all contacts; over HTTPS, of the neighbours that answer."""
        if self._lookups.fallback_lookup is None:
            return super().contacts()
        return list(self._https.observations)

    def seen_by_any(self) -> list[str]:
        """Every IP at which any neighbour sees us, agreed on or not."""
        if self._lookups.fallback_lookup is None:
            return super().seen_by_any()
        return self._https.seen_by_any()

    def clock_offset(self) -> float | None:
        """How far our neighbours' clocks are ahead of ours (median, seconds)."""
        if self._lookups.fallback_lookup is None:
            return super().clock_offset()
        return self._https.clock_offset()

    def clock_advice(self) -> str:
        """What to do if our clock is so wrong that valid records look invalid; else empty."""
        offset = self.clock_offset()
        if offset is None or abs(offset) <= limits.CLOCK_SKEW:
            return ""
        return (
            f"this machine's clock is {-offset:+.0f} s off the mesh's, so that valid records look "
            "expired or not yet valid: set it (sudo timedatectl set-ntp true)"
        )

    async def dial_back(self, tcp_port: int | None) -> list[Reachability]:
        """Whether strangers can reach us; over HTTPS: not by UDP, and TCP is not tried."""
        if self._lookups.fallback_lookup is None:
            return await super().dial_back(tcp_port)
        return [Reachability(family, udp=False) for family in self._network.protocols]

    def save_contacts(self) -> None:
        """Write good contacts to the state folder, if we have one."""
        if self._lookups.fallback_lookup is None:
            super().save_contacts()
        elif (kept := self._joining.contact_file()) is not None:
            kept.add(self._https.observations, self._state.clock())

    def stats(self) -> dict[str, Any]:
        """Numbers for logs and status pages."""
        return {**super().stats(), "through": self.https_neighbour or "udp"}
