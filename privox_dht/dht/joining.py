"""How a node joins a mesh, and joins again when no contact answers any more.

join       -> pings the named neighbours, and the contacts met through them in earlier runs
           <- contacts: then a walk to its own id
unanswered -> no contact answers: neighbours and remembered contacts are pinged again
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
    """The neighbours of one node, and its contacts of earlier runs."""

    __slots__ = ("_bootstrapper", "_contact_file", "_contacts_name", "_folder", "_name", "_network",
                 "_rejoining", "_state", "named")  # fmt: skip

    def __init__(
        self,
        network: RpcNetwork,
        bootstrapper: Bootstrapper,
        name: str,
        folder: Path | None,
        contacts_name: str,
    ) -> None:
        """
        Args:
            name: the mesh's.
            folder: in which good contacts are saved; None: they are not.
            contacts_name: the mesh's name there, which differs for two private meshes of one name.
        """
        self._network, self._state = network, network.state
        self._bootstrapper, self._name = bootstrapper, name
        self._folder, self._contacts_name = folder, contacts_name
        self.named: tuple[Address, ...] = ()  # all neighbours that were given to `join`
        self._contact_file: ContactFile | None = None  # once it is chosen
        self._rejoining: asyncio.Task[None] | None = None  # while no contact answers

    async def join(
        self, neighbours: Sequence[Address], timeout: float = dht_limits.JOIN_TIMEOUT
    ) -> None:
        """Join the mesh, if any node of it is known.

        Raises:
            NotJoined: no node answered; the message says which were tried.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        known = self.known(neighbours)
        if not known:
            return
        found = await udp_transport.resolve(known, self._state.families, deadline)
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
        """Contacts of earlier runs, which `join` tries too; if neighbours were named, only those
        that were met through them."""
        kept = self.contact_file()
        return kept.known(self._state.clock()) if kept else []

    def known(self, neighbours: Sequence[Address] = ()) -> list[Address]:
        """The nodes to join through: all named neighbours, and remembered contacts."""
        if not set(neighbours) <= set(self.named):
            self.named, self._contact_file = (*self.named, *neighbours), None
        self._state.families = self.usable()
        return list(dict.fromkeys([*self.named, *self.remembered()]))

    def contact_file(self) -> ContactFile | None:
        if self._contact_file is None and self._folder is not None:
            self._contact_file = ContactFile.choose(self._folder, self._contacts_name, self.named)
        return self._contact_file

    def usable(self) -> int:
        """Flags of the families in which a packet of ours could leave just now."""
        named = [host for host, _ in self.named if is_literal(host)]
        return families.usable(self._network.protocols, named)

    def unanswered(self) -> None:
        """A contact did not answer. If none does, ping neighbours and remembered contacts again:
        one may be back that was forgotten, or the contacts may have new addresses."""
        contacts = self._network.contacts()
        if self._rejoining is None and all(contact.failures for contact in contacts):
            self._rejoining = self._network.spawn(self._rejoin_and_pause())

    async def _rejoin_and_pause(self) -> None:
        try:
            await self.rejoin(dht_limits.MET_AGAIN)
            await asyncio.sleep(dht_limits.REFRESH_EVERY)
        finally:
            self._rejoining = None

    async def rejoin(self, most: int | None = None) -> None:
        """Ping neighbours and remembered contacts once more: an address family has become usable,
        or no contact answers."""
        deadline = asyncio.get_running_loop().time() + dht_limits.JOIN_TIMEOUT
        found = await udp_transport.resolve(self.known()[:most], self._state.families, deadline)
        if await self._bootstrapper.ping_until_answer(found.addresses, deadline):
            await self._bootstrapper.populate_table()

    def save_contacts(self) -> None:
        """Write good contacts to the state folder, if we have one."""
        contacts, kept = self._network.contacts(), self.contact_file()
        if kept is None or not contacts:
            return
        now = self._state.clock()
        ahead = now - asyncio.get_running_loop().time()
        kept.save(((c.address, c.seen + ahead) for c in contacts), now)
