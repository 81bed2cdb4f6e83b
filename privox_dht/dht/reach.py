"""Can others reach us? Asked of nodes that we have never spoken to.

    asker  -> helper       dial: this third node, my TCP port, a nonce      (token: proven address)
    helper -> third node   refer: the asker's address, as I see it, port, nonce
    third  -> asker        knock: the nonce, by UDP; and one TCP connection, closed at once
    third  -> helper -> asker   whether TCP came through

A NAT lets in whoever was spoken to before, so the third node must be a stranger to the asker: new
nodes leave a few contacts alone (`NodeState.reserved`) until this is done. The target is the
source address the helper has proven, never one of anybody's choosing; the third node does this
only for contacts of its own, seldom for one address, and slowly altogether. Two must agree.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from privox_dht import limits
from privox_dht.dht import wire
from privox_dht.dht.addresses import Address, is_loopback, pack_address, unpack_address
from privox_dht.dht.answers import Answer
from privox_dht.dht.guards import Rates
from privox_dht.dht.peers import ID, Peer
from privox_dht.dht.protocol import MeshProtocol
from privox_dht.dht.publish import Spawn
from privox_dht.dht.state import NodeState
from privox_dht.dht.table import Contact
from privox_dht.dht.wire import (
    ARRIVED,
    MISSED,
    UNTRIED,
    Dialled,
    Found,
    Request,
    family_of,
)

REFUSED: Answer = {"u": False, "d": UNTRIED}  # nobody knocked: ask another helper at once


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether strangers can reach us; None where that could not be determined."""

    udp: bool | None = None
    tcp: bool | None = None
    address: Address | None = None  # ours, as two neighbours or more see it


class Votes:
    """What third nodes saw, until two of them agree."""

    def __init__(self) -> None:
        self._cast: Counter[bool] = Counter()

    def cast(self, came: bool | None) -> None:
        if came is not None:
            self._cast[came] += 1

    @property
    def verdict(self) -> bool | None:
        agreed = [came for came, count in self._cast.items() if count >= limits.DIAL_AGREE]
        return agreed[0] if len(agreed) == 1 else None


class DialBack:
    """All three parts: asker, helper and third node."""

    def __init__(self, state: NodeState, protocols: dict[int, MeshProtocol], spawn: Spawn) -> None:
        self._state, self._protocols, self._spawn = state, protocols, spawn
        self._waiting: dict[bytes, tuple[Address, asyncio.Event]] = {}
        self._targets = Rates(1 / limits.DIAL_SAME_TARGET, float(limits.DIAL_HELPERS))
        self._all = Rates(limits.DIAL_RATE, limits.DIAL_BURST)

    # -- the asker ---------------------------------------------------------------------------------

    async def ask(self, tcp_port: int | None) -> Reach:
        """Have third nodes dial us until two agree, or there is nobody left to ask."""
        udp, tcp = Votes(), Votes()
        tried: set[Address] = set()
        for _ in range(limits.DIAL_HELPERS):
            pair = await self._pair(tried)
            if pair is None:
                break
            helper, token, third = pair
            tried.add((third.ip, third.port))
            came, dialled = await self._dial(helper, token, third, tcp_port or 0)
            udp.cast(came)
            if dialled is not None and dialled.tcp != UNTRIED:
                tcp.cast(dialled.tcp == ARRIVED)
            if udp.verdict is not None and (tcp_port is None or tcp.verdict is not None):
                break
        self._state.reserved = frozenset()
        if not self._state.observed():  # the third nodes are strangers no more
            await asyncio.gather(*(self._meet(third) for third in tried))
        observed = self._state.observed()
        return Reach(udp.verdict, tcp.verdict, observed[0] if observed else None)

    async def _meet(self, address: Address) -> None:
        protocol = self._protocols[family_of(address)]
        answered: asyncio.Future[None] = protocol.loop.create_future()

        def done(contact: Contact | None) -> None:
            if not answered.done():
                answered.set_result(None)

        protocol.ping(address, done)
        await answered

    async def _pair(self, tried: set[Address]) -> tuple[Contact, bytes, Peer] | None:
        """A contact of ours with its token, and one of its contacts that we never spoke to."""
        helpers = [c for p in self._protocols.values() for c in p.router.contacts()]
        self._state.rng.shuffle(helpers)
        for helper in helpers[: limits.DIAL_HELPERS]:
            target = self._state.rng.randbytes(ID)
            found: Found | None = await self._call(
                helper, "find", [target, 0, -1], wire.read_found, size=limits.FIND_SIZE
            )
            if found is None:
                continue
            for peer in found.peers:
                if (peer.ip, peer.port) not in tried and self._is_third(peer, helper):
                    return helper, found.token, peer
        return None

    def _is_third(self, peer: Peer, helper: Contact) -> bool:
        state = self._state
        apart = peer.ip != helper.ip or (is_loopback(peer.ip) and peer.port != helper.port)
        return (
            apart
            and peer.id != state.identity.dht_id
            and (":" in peer.ip) == (":" in helper.ip)
            and state.may_contact(peer.ip)
            and not state.has_contacted((peer.ip, peer.port))
        )

    async def _dial(
        self, helper: Contact, token: bytes, third: Peer, tcp_port: int
    ) -> tuple[bool | None, Dialled | None]:
        nonce = self._state.rng.randbytes(wire.NONCE)
        knocked = asyncio.Event()
        self._waiting[nonce] = ((third.ip, third.port), knocked)
        try:
            dialled: Dialled | None = await self._call(
                helper,
                "dial",
                [pack_address(third.ip, third.port), tcp_port, nonce],
                wire.read_dialled,
                token=token,
                hard=limits.DIAL_ANSWER,
            )
            if not knocked.is_set() and dialled is not None and dialled.knocked:
                try:
                    await asyncio.wait_for(knocked.wait(), limits.KNOCK_LATE)
                except TimeoutError:
                    return False, dialled
            return (True if knocked.is_set() else None), dialled
        finally:
            del self._waiting[nonce]

    def knocked(self, nonce: bytes, address: Address) -> None:
        """A knock came in."""
        third, event = self._waiting.get(nonce, (None, None))
        if event is None or third != address:
            self._state.drop("unasked", "a knock")
            return
        event.set()

    # -- the helper --------------------------------------------------------------------------------

    def dial(self, request: Request, address: Address) -> asyncio.Future[Answer] | Answer:
        """Pass the wish of a proven address on to a contact of ours."""
        there, tcp_port, nonce = request.arguments
        protocol = self._protocols[family_of(address)]
        third = protocol.router.at(unpack_address(there))
        if third is None or not self._may_dial(address):
            self._state.drop("vouch")
            return REFUSED
        return self._spawn(self._refer(third, address, tcp_port, nonce))

    async def _refer(self, third: Contact, asker: Address, tcp_port: int, nonce: bytes) -> Answer:
        found: Found | None = await self._call(
            third, "find", [third.id, 0, -1], wire.read_found, size=limits.FIND_SIZE
        )
        if found is None:
            return REFUSED
        dialled: Dialled | None = await self._call(
            third,
            "refer",
            [pack_address(*asker), tcp_port, nonce],
            wire.read_dialled,
            token=found.token,
        )
        return REFUSED if dialled is None else {"u": dialled.knocked, "d": dialled.tcp}

    # -- the third node ----------------------------------------------------------------------------

    def refer(self, request: Request, address: Address) -> asyncio.Future[Answer] | Answer:
        """Dial an asker back, for a contact of ours."""
        there, tcp_port, nonce = request.arguments
        target = unpack_address(there)
        protocol = self._protocols[family_of(address)]
        if (
            protocol.router.at(address) is None
            or family_of(target) not in self._protocols
            or not self._state.may_contact(target[0])
            or not self._may_dial(target)
        ):
            self._state.drop("vouch")
            return REFUSED
        self._protocols[family_of(target)].tell(target, "knock", [nonce])
        return self._spawn(self._connect(target[0], tcp_port))

    async def _connect(self, ip: str, tcp_port: int) -> Answer:
        if not tcp_port:
            return {"u": True, "d": UNTRIED}
        try:
            async with asyncio.timeout(limits.DIAL_TIMEOUT):
                _, writer = await asyncio.open_connection(ip, tcp_port)
        except (OSError, TimeoutError):
            return {"u": True, "d": MISSED}
        writer.transport.abort()
        return {"u": True, "d": ARRIVED}

    def _may_dial(self, target: Address) -> bool:
        now = asyncio.get_running_loop().time()
        return self._targets.allow(pack_address(*target), now) and self._all.allow(b"", now)

    # -- all ---------------------------------------------------------------------------------------

    async def _call(
        self,
        contact: Contact,
        method: str,
        arguments: list[Any],
        read: Callable[[Any], Any],
        *,
        token: bytes = b"",
        size: int = 0,
        hard: float = limits.HARD_TIMEOUT,
    ) -> Any:
        return await self._protocols[family_of(contact.address)].call(
            contact.address,
            method,
            arguments,
            read,
            node_id=contact.id,
            token=token,
            size=size,
            hard=hard,
            resend=limits.RESEND if method == "find" else (),  # a second dial would be refused
        )
