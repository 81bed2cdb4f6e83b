"""Whether others can reach us, and at which address: asked of nodes that we never contacted.

    asker  -> helper       dial: a third node, our TCP port, a nonce        (token: proven address)
    helper -> third node   dial_request: the asker's address, as the helper sees it, port, nonce
    third  -> asker        probe: the nonce, by UDP
    asker  -> third        we expect that nonce: only then one TCP connection, closed at once
    third  -> helper -> asker   the address that was dialled, and whether TCP came through

A NAT lets in any address that we sent to before, so the third node must be a stranger to us: new
nodes leave a few contacts alone (`NodeState.dial_back_peers`) until this is done. Two must agree.

In a mesh with one public machine there is no third node. Then a lone witness dials by itself, from
a port that we never sent to, and its answer is enough: TCP comes through no NAT by itself. A first
node can only ask guests. A node that publishes on one witness's answer asks again and again.

`dial_back_server` is the other side: the helper and the third node.
"""

import asyncio
from typing import NamedTuple

from privox_dht.addresses import Address, pack_address, unpack_address
from privox_dht.dht import answer_codec, dht_limits, wire
from privox_dht.dht.answer_codec import Dialled
from privox_dht.dht.compact_nodes import ID, CompactNode
from privox_dht.dht.contact import Contact
from privox_dht.dht.dial_back_rules import is_at_home, is_third, may_be_ours
from privox_dht.dht.dial_back_server import DialBackServer, OpenSocket, request_token
from privox_dht.dht.dial_back_votes import Quorum, Reachability
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.wire import family_of


class Witness(NamedTuple):
    """A node that can dial us back by itself."""

    id: bytes
    address: Address


class DialBack:
    """The dial-backs of one node: those it requests, and by `server` those it makes."""

    def __init__(self, network: RpcNetwork, open_second: OpenSocket) -> None:
        """`open_second` opens a socket of a family at another port than ours."""
        self._network, self._state = network, network.state
        self.server = DialBackServer(network, open_second)
        self.dial, self.dial_request = self.server.dial, self.server.dial_request
        # by nonce: the third node that is to probe us (None: any address may), and the arrival
        self._expected: dict[bytes, tuple[Address | None, asyncio.Event]] = {}

    async def ask(self, tcp_port: int | None) -> list[Reachability]:
        """Have others dial us in each family that we have, until two agree or none is left."""
        found = await asyncio.gather(*(self._ask(f, tcp_port) for f in self._network.protocols))
        self._state.dial_back_peers = frozenset()
        return list(found)

    async def _ask(self, family: int, tcp_port: int | None) -> Reachability:
        votes = Quorum()
        tried: set[Address] = set()
        for _ in range(dht_limits.DIAL_HELPERS):
            pair = await self._find_third(family, tried)
            if pair is None or votes.is_settled(tcp_port is not None):
                break
            helper, token, third = pair
            tried.add(third.address)
            votes.cast(*await self._dial(Witness(helper.id, helper.address), token,
                                         pack_address(*third.address), tcp_port or 0))  # fmt: skip
        for witness in self._witnesses(family) if len(votes) < dht_limits.DIAL_AGREE else ():
            if votes.is_settled(tcp_port is not None):
                break
            if token := await request_token(self._network, witness.address, witness.id):
                votes.cast(*await self._dial(witness, token, b"", tcp_port or 0))
        if not self._state.observed():  # the third nodes need not stay strangers
            await asyncio.gather(*(self._network.meet(third) for third in tried))
        return Reachability(
            family, votes.agreed("udp"), votes.agreed("tcp"), votes.addresses(), len(votes)
        )

    def _witnesses(self, family: int) -> list[Witness]:
        """Nodes that may be asked to dial us by themselves: contacts, then guests."""
        contacts = self._network.protocols[family].router.contacts()
        self._state.rng.shuffle(contacts)
        witnesses = [Witness(contact.id, contact.address) for contact in contacts]
        guests = [
            Witness(node_id, address)
            for address, node_id in reversed(self._state.witnesses.items())
            if family_of(address) == family
        ]
        outside = [w for w in (*witnesses, *guests) if not self._is_at_home(w.address[0])]
        return outside[: dht_limits.DIAL_HELPERS]

    async def _find_third(
        self, family: int, tried: set[Address]
    ) -> tuple[Contact, bytes, CompactNode] | None:
        """A helper, its token, and a contact of the helper that we never sent to."""
        helpers = self._network.protocols[family].router.contacts()
        self._state.rng.shuffle(helpers)
        for helper in helpers[: dht_limits.DIAL_HELPERS]:
            target = self._state.rng.randbytes(ID)
            found = await self._network.request(
                helper.address, "find", [target, 0, -1], answer_codec.read_found,
                node_id=helper.id, size=dht_limits.FIND_SIZE,
            )  # fmt: skip
            if found is None:
                continue
            for peer in found.peers:
                if peer.address not in tried and self._is_third(peer, helper):
                    return helper, found.token, peer
        return None

    def _is_third(self, peer: CompactNode, helper: Contact) -> bool:
        state = self._state
        is_other = peer.id != state.identity.dht_id and not self._is_at_home(peer.ip)
        return is_other and is_third(
            peer.address, helper.address,
            may_contact=state.may_contact, has_contacted=state.has_contacted,
        )  # fmt: skip

    def _is_at_home(self, ip: str) -> bool:
        own = self._state.observations.all_ips()
        return is_at_home(ip, own, public=self._state.private is False)

    async def _dial(
        self, helper: Witness, token: bytes, third: bytes, tcp_port: int
    ) -> tuple[bool | None, Dialled | None]:
        """Have a helper's contact (packed address) dial us, or with b"" the helper itself; whether
        a probe came (None: no node says that it sent one), and the helper's answer."""
        nonce = self._state.rng.randbytes(wire.NONCE)
        probed = asyncio.Event()
        self._expected[nonce] = (unpack_address(third) if third else None, probed)
        try:
            dialled = await self._network.request(
                helper.address, "dial", [third, tcp_port, nonce], answer_codec.read_dialled,
                node_id=helper.id, token=token, hard=dht_limits.DIAL_ANSWER,
                resend=dht_limits.DIAL_RESEND,
            )  # fmt: skip
            allowed = self._state.may_contact
            if dialled and not may_be_ours(dialled.where, helper.address, may_contact=allowed):
                dialled = dialled._replace(where=None)
            if dialled is None or not dialled.udp:
                return (True if probed.is_set() else None), dialled
            return probed.is_set(), dialled
        finally:
            del self._expected[nonce]

    def probe_received(self, nonce: bytes, address: Address) -> bool:
        """A probe came in; whether it was expected."""
        third, event = self._expected.get(nonce, (None, None))
        if event is None or third not in (None, address):
            self._state.drop("unasked", "a probe")
            return False
        event.set()
        return True
