"""A node of the DHT: the one object that the rest of the project speaks to.

enter    -> listening on UDP, one socket for each family and one more to ping newcomers from
join     -> neighbours pinged, our own neighbourhood walked to
publish  -> our signed record at the closest nodes of each of its keys
find     -> records, verified, unexpired, the newest only
leave    -> nothing of it is left: no task, no socket; good contacts in the state folder
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from privox_dht import limits
from privox_dht.addresses import Address, is_contactable, is_loopback
from privox_dht.dht import dht_limits, families, udp_transport
from privox_dht.dht.background_tasks import BackgroundTasks
from privox_dht.dht.contact import Contact
from privox_dht.dht.dial_back import DialBack
from privox_dht.dht.dial_back_votes import Reachability
from privox_dht.dht.handover import Handover
from privox_dht.dht.joining import Joining
from privox_dht.dht.maintenance import maintain
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.own_address import OwnAddress
from privox_dht.dht.publisher import Publisher
from privox_dht.dht.record_lookup import RecordLookups
from privox_dht.dht.resolver import RecursiveResolver
from privox_dht.dht.rpc_handlers import RpcHandlers
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.dht.udp_endpoints import UdpEndpoints
from privox_dht.identity import Identity
from privox_dht.membership.members import Membership
from privox_dht.records import FARM, Record, farm_key, service_key
from privox_dht.speech import BACKENDS

log = logging.getLogger(__name__)

CHANCE = random.SystemRandom()  # one for all: each would keep 2.5 KB that it never uses


class DhtNode(OwnAddress):
    """One node; an async context manager."""

    def __init__(
        self,
        identity: Identity,
        *,
        network: str = "privox",
        host: str | None = "0.0.0.0",
        port: int = 0,
        guest: bool = False,
        state: Path | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        member: Membership | None = None,
    ) -> None:
        """
        Args:
            identity: whose id we have and whose key answers pings.
            network: the name of the mesh.
            host: what to listen on; None and `::` mean every address of both families.
            port: UDP port, 0 for any.
            guest: ask every node not to keep us (for clients, and nodes that cannot be reached).
            state: the folder in which good contacts are kept across restarts.
            clock: seconds since the epoch.
            rng: the source of random numbers.
            member: our membership, if the mesh is private.
        """
        own = NodeState(identity, network, clock, rng or CHANCE, member)
        self._tasks = BackgroundTasks(self._task_failed)
        self._spawn = self._tasks.spawn
        super().__init__(own, RpcNetwork(own, self._spawn))
        self.member = member
        self._state.guest = guest
        self._host, self._wanted_port = host, port
        self.network = network
        answers = RpcHandlers(self._state, lambda: self._dial_back)
        self._listening = UdpEndpoints(self._network, answers, self._open)
        self._lookups = RecordLookups(self._network)
        # the mesh's name, as contacts are kept: a private one is not another of the same name
        self.contacts_name = f"{network} {self.mesh.hex()}" if member else network
        self._joining = Joining(
            self._network, self._bootstrapper, network, state, self.contacts_name
        )
        self._state.on_public = self._forget_private
        self._handover = Handover(self._network)
        self._state.on_contact = self._met
        self._state.on_unanswered = self._joining.unanswered

    def __repr__(self) -> str:
        kind = "guest" if self.guest else "node"
        return f"<DhtNode {kind} {self._state.identity.peer_id[:8]}: {self._network.size} contacts>"

    # -- parts that many nodes never need: made when they are --------------------------------------

    @functools.cached_property
    def _publisher(self) -> Publisher:
        return Publisher(self._network)

    @functools.cached_property
    def resolver(self) -> RecursiveResolver:
        """What we do for those whose network blocks UDP."""
        for_others = Publisher(self._network)  # never in our own way
        return RecursiveResolver(self._state, self._lookups, for_others, self._is_in)

    @functools.cached_property
    def _dial_back(self) -> DialBack:
        return DialBack(self._network, self._listening.second)

    @property
    def port(self) -> int:
        """Our UDP port; 0 before there is one."""
        return self._listening.port

    @property
    def mesh(self) -> bytes:
        """The tag of our mesh."""
        return self._state.mesh

    @property
    def guest(self) -> bool:
        """Whether others are asked not to remember us."""
        return self._state.guest

    @guest.setter
    def guest(self, guest: bool) -> None:
        turned = self._state.guest and not guest
        self._state.guest = guest
        if turned:
            self._state.dial_back_peers = frozenset()
        if turned and self._network.size:
            self._bootstrapper.announce()

    @property
    def private(self) -> bool | None:
        """Whether this mesh is on private addresses; None before anybody was met."""
        return self._state.private

    # -- lifetime ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._listening.open(self._host, self._wanted_port)
            if self.member is not None:
                self.member.own.ports.add(self.port)
        except BaseException:
            self._listening.close()
            raise
        close_idle = self._listening.close_idle
        self._spawn(maintain(self._network, self._lookups, close_idle, self.save_contacts))
        if len(self._network.protocols) > 1:
            self._spawn(families.keep(self._state, self._joining.usable, self._joining.rejoin))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.save_contacts()
        await self._tasks.end()
        self._listening.close()

    async def _open(
        self, factory: Callable[[], RpcProtocol], host: str, port: int
    ) -> tuple[RpcProtocol, int]:
        """Where sockets come from; a simulation has its own."""
        return udp_transport.open_udp(factory, host, port)

    def _task_failed(self, error: BaseException) -> None:
        self._state.drop("internal")
        log.error("! a task of %r failed", self, exc_info=error)

    # -- joining -----------------------------------------------------------------------------------

    async def join(
        self, neighbours: Sequence[Address], timeout: float = dht_limits.JOIN_TIMEOUT
    ) -> int:
        """Become part of the mesh; how many contacts we have then.

        Raises:
            NotJoined: no node answered; the message names those that were tried.
        """
        await self._joining.join(neighbours, timeout)
        self.save_contacts()
        return self._network.size

    def remembered(self) -> list[Address]:
        """Nodes known from the last run, which `join` tries too; if it is given neighbours, only
        nodes that were met through them."""
        return self._joining.remembered()

    def save_contacts(self) -> None:
        """Write good contacts to the state folder, if we have one."""
        self._joining.save_contacts()

    # -- publishing and finding --------------------------------------------------------------------

    async def publish(self, record: Record) -> int:
        """Store our signed record (or its withdrawal) at the nodes closest to each of its keys.

        Returns:
            How many nodes hold it now, ourselves included, under the key where the fewest do; 0 if
            there are others and none of them took it.
        """
        # Reserved no longer: we were dialled back, or not
        self._state.dial_back_peers = frozenset()
        return await self._publisher.publish(record)

    def _is_in(self) -> bool:
        """Whether we are in the mesh by our own sockets, and so can ask it for others."""
        return self._lookups.fallback_lookup is None and (not self.guest or self._network.size > 0)

    async def find(
        self,
        kind: str,
        backend: str = "",
        *narrower: str,
        want: int = limits.FIND_WANT,
        fresh: bool = False,
    ) -> list[Record]:
        """Records of a kind: verified, unexpired, the newest of each producer and engine, none
        withdrawn; the idle first, otherwise in random order.

        Args:
            backend: "cpu" or "gpu"; empty for both (a farm has none).
            narrower: words such as "language=de" or "model=small".
            want: how many of each backend are enough; a look-up may find fewer.
            fresh: ask the mesh even if a good answer is at hand.
        """
        backends = (backend,) if backend or kind == FARM else BACKENDS
        keys = [service_key(self.mesh, kind, one, *narrower) for one in backends]
        parts = await asyncio.gather(*(self._lookups.find(key, want, fresh=fresh) for key in keys))
        found = [record for part in parts for record in part[:want]]  # the idle first
        self._state.rng.shuffle(found)
        found.sort(key=lambda record: record.idle == 0)
        return found

    async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None:
        """The record of the farm with this key; None if it has none just now. With `fresh` the
        mesh is asked even if a good answer is at hand."""
        found = await self._lookups.find(farm_key(self.mesh, public), 1, fresh=fresh)
        return next((record for record in found if record.publisher == public), None)

    async def dial_back(self, tcp_port: int | None) -> list[Reachability]:
        """Whether strangers can reach our UDP port and, if given, this TCP port, which must be the
        same or the relay's; for each family that we have."""
        return await self._dial_back.ask(tcp_port)

    def has_contacted(self, address: Address) -> bool:
        """Whether we, as a guest, ever sent anything to that machine (on loopback: that port)."""
        return self._state.has_contacted(address)

    async def hears_anybody(self, within: float = limits.OWN_NETWORK) -> bool:
        """Whether any contact answers now: if none does, our own network is down. True if there is
        no contact."""
        return await self._network.hears_anybody(within)

    def allows(self, ip: str) -> bool:
        """Whether an address that a record gives may be dialled: any machine's in a private mesh
        (this very one only if the mesh is on it), else only global ones."""
        if is_loopback(ip) and not any(is_loopback(there) for there, _ in self.contacts()):
            return False
        return is_contactable(ip, self._state.private is not False)

    # -- state -------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Numbers for logs and status pages, explained in docs/dht.md; `dropped` counts by the
        `REASONS` of `node_state`."""
        state = self._state
        counted = ("lookups", "cache_hits", "asked", "unanswered", "sent", "received")
        return {
            "contacts": self._network.size,
            "guest": state.guest,
            "private": state.private,
            "rtt_ms": round(state.rtt.mean * 1e3, 2),
            "rtt_spread_ms": round(state.rtt.spread * 1e3, 2),
            "records": len(state.store),
            "last_lookup_requests": self._lookups.last_requests,
            **{name: state.counts[name] for name in counted},
            "dropped": state.dropped,
            "turned_away": self.member.turned_away if self.member else {},
        }

    def _met(self, protocol: RpcProtocol, contact: Contact, token: bytes) -> None:
        """A node that was not known is a contact from now on."""
        self._handover.on_new_contact(protocol, contact, token)
        if "_publisher" in vars(self):
            self._publisher.on_new_contact()

    def _forget_private(self) -> None:
        for protocol in self._network.protocols.values():
            protocol.router.keep_only(self._state.may_contact)
