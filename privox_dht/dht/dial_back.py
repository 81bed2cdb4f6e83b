"""Can others reach us, and at which address? Asked of nodes that we have never spoken to.

    asker  -> helper       dial: this third node, my TCP port, a nonce      (token: proven address)
    helper -> third node   refer: the asker's address, as I see it, port, nonce
    third  -> asker        probe: the nonce, by UDP
    asker  -> third        I wait for that: only then one TCP connection, closed at once
    third  -> helper -> asker   which address that was, and whether TCP came through

A NAT lets in whoever was spoken to before, so the third node must be a stranger to the asker: new
nodes leave a few contacts alone (`NodeState.dial_back_peers`) until this is done. Two must agree.

In a mesh with one public machine there is no third node. Then a lone witness dials by itself, from
a port that we never spoke to, and its word is enough: TCP comes through no NAT by itself. A first
node has guests only to ask. Whoever publishes on one witness's word asks again and again.

The target is the source address that the helper has proven, or one that answers a nonce which only
who waits for it knows; TCP goes to that very port, or to the relay's. A third node does this only
for contacts of its own, seldom for one address, slowly altogether, and never on its own machine for
somebody who is not on it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from privox_dht.addresses import Address, pack_address, rate_key, unpack_address
from privox_dht.dht import answer_codec, dht_limits, wire
from privox_dht.dht.answer_codec import ARRIVED, MISSED, UNTRIED, Dialled
from privox_dht.dht.compact_nodes import ID, CompactNode
from privox_dht.dht.contact import Contact
from privox_dht.dht.dial_back_rules import (
    is_at_home,
    is_third,
    may_be_dialled,
    may_be_ours,
    tries_tcp,
)
from privox_dht.dht.dial_back_votes import Quorum, Reachability
from privox_dht.dht.request_codec import Request
from privox_dht.dht.rpc_handlers import Answer
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.dht.wire import family_of
from privox_dht.quotas import RateLimiter

T = TypeVar("T")
REFUSED: Answer = {"u": False, "d": UNTRIED}  # nobody probed: ask another helper at once
Second = Callable[[int], Awaitable[RpcProtocol]]  # a socket of a family at another port than ours


class Witness(NamedTuple):
    """A node that can dial us back by itself."""

    id: bytes
    address: Address


class DialBack:
    """All three parts: asker, helper and third node."""

    def __init__(self, network: RpcNetwork, second: Second) -> None:
        self._network, self._state, self._second = network, network.state, second
        self._waiting: dict[bytes, tuple[Address | None, asyncio.Event]] = {}
        # what we dial for others, by nonce and asker: a request that is sent again is the same one
        self._dialling: dict[tuple[bytes, Address], asyncio.Future[Answer]] = {}
        self._targets = RateLimiter(1 / dht_limits.DIAL_SAME_TARGET, float(dht_limits.DIAL_HELPERS))
        self._all = RateLimiter(dht_limits.DIAL_RATE, dht_limits.DIAL_BURST)

    # -- the asker ---------------------------------------------------------------------------------

    async def ask(self, tcp_port: int | None) -> list[Reachability]:
        """Have others dial us, in each family that we have; until two agree, or nobody is left."""
        found = await asyncio.gather(*(self._ask(f, tcp_port) for f in self._network.protocols))
        self._state.dial_back_peers = frozenset()
        return list(found)

    async def _ask(self, family: int, tcp_port: int | None) -> Reachability:
        votes = Quorum()
        tried: set[Address] = set()
        for _ in range(dht_limits.DIAL_HELPERS):
            pair = await self._pair(family, tried)
            if pair is None or votes.is_settled(tcp_port is not None):
                break
            helper, token, third = pair
            tried.add((third.ip, third.port))
            there = pack_address(third.ip, third.port)
            votes.cast(*await self._dial(Witness(helper.id, helper.address), token, there,
                                         tcp_port or 0))  # fmt: skip
        for witness in self._witnesses(family) if len(votes) < dht_limits.DIAL_AGREE else ():
            if votes.is_settled(tcp_port is not None):
                break
            if token := await self._token(witness):
                votes.cast(*await self._dial(witness, token, b"", tcp_port or 0))
        if not self._state.observed():  # the third nodes are strangers no more
            await asyncio.gather(*(self._network.meet(third) for third in tried))
        return Reachability(
            family, votes.agreed("udp"), votes.agreed("tcp"), votes.addresses(), len(votes)
        )

    def _witnesses(self, family: int) -> list[Witness]:
        """Who may be asked to dial us by itself: contacts, or guests where there are none."""
        contacts = self._network.protocols[family].router.contacts()
        self._state.rng.shuffle(contacts)
        some = [Witness(contact.id, contact.address) for contact in contacts]
        guests = [
            Witness(node_id, address)
            for address, node_id in reversed(self._state.witnesses.items())
            if family_of(address) == family
        ]
        outside = [one for one in (*some, *guests) if not self._is_at_home(one.address[0])]
        return outside[: dht_limits.DIAL_HELPERS]

    async def _token(self, witness: Witness) -> bytes:
        found = await self._call(
            witness, "find", [witness.id, 0, -1], answer_codec.read_found, size=dht_limits.FIND_SIZE
        )
        return found.token if found is not None else b""

    async def _pair(
        self, family: int, tried: set[Address]
    ) -> tuple[Contact, bytes, CompactNode] | None:
        """A contact of ours with its token, and one of its contacts that we never spoke to."""
        helpers = self._network.protocols[family].router.contacts()
        self._state.rng.shuffle(helpers)
        for helper in helpers[: dht_limits.DIAL_HELPERS]:
            target = self._state.rng.randbytes(ID)
            found = await self._call(
                helper, "find", [target, 0, -1], answer_codec.read_found, size=dht_limits.FIND_SIZE
            )
            if found is None:
                continue
            for peer in found.peers:
                if (peer.ip, peer.port) not in tried and self._is_third(peer, helper):
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
        own = self._state.views.of_any()
        return is_at_home(ip, own, public=self._state.private is False)

    async def _dial(
        self, helper: Witness, token: bytes, third: bytes, tcp_port: int
    ) -> tuple[bool | None, Dialled | None]:
        """Have a helper's contact dial us, or with b"" the helper itself."""
        nonce = self._state.rng.randbytes(wire.NONCE)
        probed = asyncio.Event()
        self._waiting[nonce] = (unpack_address(third) if third else None, probed)
        try:
            dialled = await self._call(
                helper,
                "dial",
                [third, tcp_port, nonce],
                answer_codec.read_dialled,
                token=token,
                hard=dht_limits.DIAL_ANSWER,
            )
            allowed = self._state.may_contact
            if dialled and not may_be_ours(dialled.where, helper.address, may_contact=allowed):
                dialled = dialled._replace(where=None)
            if dialled is None or not dialled.udp:
                return (True if probed.is_set() else None), dialled
            return probed.is_set(), dialled
        finally:
            del self._waiting[nonce]

    def probe_received(self, nonce: bytes, address: Address) -> bool:
        """A probe came in; whether it was waited for."""
        third, event = self._waiting.get(nonce, (None, None))
        if event is None or third not in (None, address):
            self._state.drop("unasked", "a probe")
            return False
        event.set()
        return True

    # -- the helper --------------------------------------------------------------------------------

    def dial(self, request: Request, address: Address) -> asyncio.Future[Answer] | Answer:
        """Pass the request of a proven address on to a contact of ours, or dial it ourselves."""
        there, tcp_port, nonce = request.arguments
        if (same := self._dialling.get((nonce, address))) is not None:
            return same
        family = family_of(address)
        third = self._network.protocols[family].router.at(unpack_address(there)) if there else None
        if (there and third is None) or not self._may_dial(address):
            self._state.drop("not_a_contact")
            return REFUSED
        if third is None:
            second = self._second(family)
            return self._once(nonce, address, self._try_from(second, address, tcp_port, nonce))
        return self._once(nonce, address, self._refer(third, address, tcp_port, nonce))

    async def _refer(self, third: Contact, asker: Address, tcp_port: int, nonce: bytes) -> Answer:
        token = await self._token(Witness(third.id, third.address))
        if not token:
            return REFUSED
        dialled = await self._call(
            third,
            "dial_request",
            [pack_address(*asker), tcp_port, nonce],
            answer_codec.read_dialled,
            token=token,
            hard=dht_limits.DIAL_REFERRED,
        )
        if dialled is None:
            return REFUSED
        return {"u": dialled.udp, "d": dialled.tcp, "o": pack_address(*asker)}

    # -- the third node ----------------------------------------------------------------------------

    def refer(self, request: Request, address: Address) -> asyncio.Future[Answer] | Answer:
        """Dial an asker back, for a contact of ours."""
        there, tcp_port, nonce = request.arguments
        if (same := self._dialling.get((nonce, address))) is not None:
            return same
        target = unpack_address(there)
        has_socket, allowed = self._network.can_reach(target), self._state.may_contact
        if (
            self._network.socket(address).router.at(address) is None
            or not may_be_dialled(target, address, has_socket=has_socket, may_contact=allowed)
            or not self._may_dial(target)
        ):
            self._state.drop("not_a_contact")
            return REFUSED
        tried = self._try(self._network.socket(target), target, tcp_port, nonce)
        return self._once(nonce, address, tried)

    async def _try_from(
        self, second: Awaitable[RpcProtocol], target: Address, tcp_port: int, nonce: bytes
    ) -> Answer:
        return await self._try(await second, target, tcp_port, nonce)

    async def _try(
        self, protocol: RpcProtocol, target: Address, tcp_port: int, nonce: bytes
    ) -> Answer:
        """Probe; then TCP, if somebody there waits for that, and at a port of that node only."""
        was_waited_for = await protocol.request(
            target, "probe", [nonce], answer_codec.read_probe_response,
            resend=dht_limits.DIAL_PROBE_RESEND, hard=dht_limits.DIAL_PROBE_TIMEOUT,
        )  # fmt: skip
        tcp = UNTRIED
        if tries_tcp(target, tcp_port, was_waited_for=bool(was_waited_for)):
            tcp = await _connect(target[0], tcp_port)
        return {"u": True, "d": tcp, "o": pack_address(*target)}

    def _once(
        self, nonce: bytes, address: Address, work: Coroutine[Any, Any, Answer]
    ) -> asyncio.Future[Answer]:
        """Do this for whoever asks at an address, however often he sends that request."""
        answer = self._dialling[nonce, address] = self._network.spawn(work)
        forget = self._dialling.pop
        asyncio.get_running_loop().call_later(
            dht_limits.DIAL_ANSWER, forget, (nonce, address), None
        )
        return answer

    def _may_dial(self, target: Address) -> bool:
        """By address, not by port: on one machine only, every port is somebody else."""
        now = asyncio.get_running_loop().time()
        source = rate_key(pack_address(*target))
        return self._targets.try_acquire(source, now) and self._all.try_acquire(b"", now)

    # -- all ---------------------------------------------------------------------------------------

    async def _call(
        self,
        contact: Contact | Witness,
        method: str,
        arguments: list[Any],
        read: Callable[[Any], T],
        *,
        token: bytes = b"",
        size: int = 0,
        hard: float = dht_limits.HARD_TIMEOUT,
    ) -> T | None:
        return await self._network.request(
            contact.address,
            method,
            arguments,
            read,
            node_id=contact.id,
            token=token,
            size=size,
            hard=hard,
            resend=dht_limits.RESEND if method == "find" else dht_limits.DIAL_RESEND,
        )


async def _connect(ip: str, port: int) -> int:
    try:
        async with asyncio.timeout(dht_limits.DIAL_TIMEOUT):
            _, writer = await asyncio.open_connection(ip, port)
    except (OSError, TimeoutError):
        return MISSED
    writer.transport.abort()
    return ARRIVED
