"""Dials nodes back for others: the helper and the third node of `dial_back`.

The target is the source address that the helper has proven, or one that answers a nonce which only
the requester knows; TCP goes to that very port, or to the relay's. A third node dials only for
contacts of its own, seldom one address, at a low rate in all, and never its own machine for another
one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from privox_dht.addresses import Address, pack_address, rate_key, unpack_address
from privox_dht.dht import answer_codec, dht_limits
from privox_dht.dht.answer_codec import ARRIVED, MISSED, UNTRIED
from privox_dht.dht.contact import Contact
from privox_dht.dht.dial_back_rules import may_be_dialled, tries_tcp
from privox_dht.dht.request_codec import Request
from privox_dht.dht.rpc_handlers import Answer, Pending
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.dht.wire import family_of
from privox_dht.quotas import RateLimiter

REFUSED: Answer = {"u": False, "d": UNTRIED}  # no node probed: the requester tries another helper
OpenSocket = Callable[[int], Awaitable[RpcProtocol]]  # a socket of a family


async def request_token(network: RpcNetwork, address: Address, node_id: bytes) -> bytes:
    """A write token of that node; empty if it does not answer."""
    found = await network.request(
        address, "find", [node_id, 0, -1], answer_codec.read_found,
        node_id=node_id, size=dht_limits.FIND_SIZE,
    )  # fmt: skip
    return found.token if found is not None else b""


class DialBackServer:
    """The dial-backs that a node makes for others."""

    def __init__(self, network: RpcNetwork, open_second: OpenSocket) -> None:
        self._network, self._state, self._open_second = network, network.state, open_second
        # running dial-backs by nonce and requester: a repeated request gets the same answer
        self._running: dict[tuple[bytes, Address], asyncio.Future[Answer]] = {}
        self._targets = RateLimiter(1 / dht_limits.DIAL_SAME_TARGET, float(dht_limits.DIAL_HELPERS))
        self._all = RateLimiter(dht_limits.DIAL_RATE, dht_limits.DIAL_BURST)

    # -- the helper --------------------------------------------------------------------------------

    def dial(self, request: Request, address: Address) -> Pending:
        """Pass the request of a proven address on to a contact of ours, or dial it ourselves."""
        there, tcp_port, nonce = request.arguments
        if (running := self._running.get((nonce, address))) is not None:
            return running
        family = family_of(address)
        third = self._network.protocols[family].router.at(there) if there else None
        if (there and third is None) or not self._may_dial(address):
            self._state.drop("not_a_contact")
            return REFUSED
        if third is None:
            second = self._open_second(family)
            return self._start(nonce, address, self._dial_from(second, address, tcp_port, nonce))
        return self._start(nonce, address, self._request_dial(third, address, tcp_port, nonce))

    async def _request_dial(
        self, third: Contact, requester: Address, tcp_port: int, nonce: bytes
    ) -> Answer:
        token = await request_token(self._network, third.address, third.id)
        if not token:
            return REFUSED
        dialled = await self._network.request(
            third.address, "dial_request", [pack_address(*requester), tcp_port, nonce],
            answer_codec.read_dialled, node_id=third.id, token=token,
            hard=dht_limits.DIAL_REFERRED, resend=dht_limits.DIAL_RESEND,
        )  # fmt: skip
        if dialled is None:
            return REFUSED
        return {"u": dialled.udp, "d": dialled.tcp, "o": pack_address(*requester)}

    # -- the third node ----------------------------------------------------------------------------

    def dial_request(self, request: Request, address: Address) -> Pending:
        """Dial a requester back, for a contact of ours."""
        there, tcp_port, nonce = request.arguments
        if (running := self._running.get((nonce, address))) is not None:
            return running
        target = unpack_address(there)
        has_socket, allowed = self._network.can_reach(target), self._state.may_contact
        if (
            self._network.socket(address).router.at(pack_address(*address)) is None
            or not may_be_dialled(target, address, has_socket=has_socket, may_contact=allowed)
            or not self._may_dial(target)
        ):
            self._state.drop("not_a_contact")
            return REFUSED
        tried = self._try(self._network.socket(target), target, tcp_port, nonce)
        return self._start(nonce, address, tried)

    async def _dial_from(
        self, second: Awaitable[RpcProtocol], target: Address, tcp_port: int, nonce: bytes
    ) -> Answer:
        return await self._try(await second, target, tcp_port, nonce)

    async def _try(
        self, protocol: RpcProtocol, target: Address, tcp_port: int, nonce: bytes
    ) -> Answer:
        """Probe by UDP; then dial TCP, if a node there expected the probe."""
        is_expected = await protocol.request(
            target, "probe", [nonce], answer_codec.read_probe_response,
            resend=dht_limits.DIAL_PROBE_RESEND, hard=dht_limits.DIAL_PROBE_TIMEOUT,
        )  # fmt: skip
        tcp = UNTRIED
        if tries_tcp(target, tcp_port, is_expected=bool(is_expected)):
            tcp = await _connect(target[0], tcp_port)
        return {"u": True, "d": tcp, "o": pack_address(*target)}

    def _start(
        self, nonce: bytes, address: Address, work: Coroutine[Any, Any, Answer]
    ) -> asyncio.Future[Answer]:
        """Start a dial-back, once for each nonce and requester however often it is requested."""
        answer = self._running[nonce, address] = self._network.spawn(work)
        loop, forget = asyncio.get_running_loop(), self._running.pop
        loop.call_later(dht_limits.DIAL_ANSWER, forget, (nonce, address), None)
        return answer

    def _may_dial(self, target: Address) -> bool:
        """Limited by address and not by port; on loopback, where a port is a machine, by both."""
        now = asyncio.get_running_loop().time()
        source = rate_key(pack_address(*target))
        return self._targets.try_acquire(source, now) and self._all.try_acquire(b"", now)


async def _connect(ip: str, port: int) -> int:
    try:
        async with asyncio.timeout(dht_limits.DIAL_TIMEOUT):
            _, writer = await asyncio.open_connection(ip, port)
    except (OSError, TimeoutError):
        return MISSED
    writer.transport.abort()
    return ARRIVED
