"""Whom a node joins through, and what it does when nobody answers any more.

join       -> every neighbour that it was told of, and those answered through them before
           <- contacts: then a walk to its own id
unanswered -> none of the contacts answers: neighbours and those remembered are answered again
saved      -> good contacts, in a file for this mesh and these neighbours
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from privox_dht import join_failure
from privox_dht.addresses import Address, is_literal
from privox_dht.dht import dht_limits, families, udp_transport
from privox_dht.dht.bootstrap import Bootstrapper
from privox_dht.dht.contact_file import ContactFile
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.errors import NotJoined


class Joining:
    """One node's ways in, kept for when it has to come back."""

    __slots__ = (
        "_bootstrapper",
        "_contact_file",
        "_folder",
        "_kept_as",
        "_name",
        "_network",
        "_rejoining",
        "_state",
        "named",
    )  # fmt: skip

    def __init__(
        self,
        network: RpcNetwork,
        bootstrapper: Bootstrapper,
        name: str,
        folder: Path | None,
        kept_as: str,
    ) -> None:
        """
        Args:
            name: the mesh's.
            folder: in which good contacts are kept; None: they are not.
            kept_as: the mesh's name there; a private one is not another of the same name.
        """
        self._network, self._state = network, network.state
        self._bootstrapper, self._name = bootstrapper, name
        self._folder, self._kept_as = folder, kept_as
        self.named: tuple[Address, ...] = ()  # every neighbour that `join` was told of
        self._contact_file: ContactFile | None = None  # where those answered are kept, once that is known
        self._rejoining: asyncio.Task[None] | None = None  # while nobody we know answers

    async def join(
        self, neighbours: Sequence[Address], timeout: float = dht_limits.JOIN_TIMEOUT
    ) -> None:
        """Become part of the mesh, if we know of anybody.

        Raises:
            NotJoined: nobody answered; the message says who was tried.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        known = self.known(neighbours)
        if not known:
            return
        names_until = loop.time() + timeout / 2  # a slow name server must not take it all
        found = await udp_transport.resolve(known, self._state.families, names_until)
        answered = (
            await self._bootstrapper.ping_until_answer(found.addresses, deadline)
            if found.addresses
            else []
        )
        if not answered:
            raise NotJoined(join_failure.why(self._name, timeout, known, found.unknown))
        if self._state.guest:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._bootstrapper.reserve_dial_back_peers(answered)
            except TimeoutError:
                pass
        walk = self._network.spawn(self._bootstrapper.populate_table())
        await asyncio.wait([walk], timeout=max(0.0, deadline - loop.time()))

    def remembered(self) -> list[Address]:
        """Nodes known from the last time, which `join` tries too: only those answered through the
        neighbours that it was told of, if it was told of any."""
        kept = self.contact_file()
        return kept.known(self._state.clock()) if kept else []

    def known(self, neighbours: Sequence[Address] = ()) -> list[Address]:
        """Whom to join through: every neighbour we were told of, and those remembered."""
        if not set(neighbours) <= set(self.named):
            self.named, self._contact_file = (*self.named, *neighbours), None
        self._state.families = self.usable()
        return list(dict.fromkeys([*self.named, *self.remembered()]))

    def contact_file(self) -> ContactFile | None:
        if self._contact_file is None and self._folder is not None:
            self._contact_file = ContactFile.choose(self._folder, self._kept_as, self.named)
        return self._contact_file

    def usable(self) -> int:
        """Flags of the families in which a packet of ours could leave just now."""
        named = [host for host, _ in self.named if is_literal(host)]
        return families.usable(self._network.protocols, named)

    def unanswered(self) -> None:
        """A contact did not answer. If none of them does, somebody may whom we were told of: one
        that came back, and was forgotten, or those that we know have moved."""
        if self._rejoining is None and all(contact.failures for contact in self._network.contacts()):
            self._rejoining = self._network.spawn(self._rejoin_and_pause())

    async def _rejoin_and_pause(self) -> None:
        try:
            await self.rejoin(dht_limits.MET_AGAIN)
            await asyncio.sleep(dht_limits.REFRESH_EVERY)
        finally:
            self._rejoining = None

    async def rejoin(self, most: int | None = None) -> None:
        """Meet the neighbours, and those remembered, once more: a family of addresses has come, or
        nobody else answers."""
        deadline = asyncio.get_running_loop().time() + dht_limits.JOIN_TIMEOUT
        found = await udp_transport.resolve(self.known()[:most], self._state.families, deadline)
        if await self._bootstrapper.ping_until_answer(found.addresses, deadline):
            await self._bootstrapper.populate_table()

    def save_contacts(self) -> None:
        """Write good contacts to the state folder, if we have one."""
        some, kept = self._network.contacts(), self.contact_file()
        if kept is None or not some:
            return
        now = self._state.clock()
        ahead = now - asyncio.get_running_loop().time()
        kept.save(((c.address, c.seen + ahead) for c in some), now)
