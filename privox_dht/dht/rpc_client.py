"""The requests of one UDP socket: sent, sent again, answered or lost.

request -> sent; again after 0.3, 0.7, 1.2 and 1.8 s of silence; lost after 2.5 s
        <- answer, accepted only for a message id we sent, from the very address we sent it to
        <- a token instead of an answer: sent once more, with the token

An answer renews a contact and its round-trip time; one that fails twice in a row is removed.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from kademlia.node import Node
from kademlia.protocol import KademliaProtocol

from privox_dht.addresses import Address
from privox_dht.dht import answer_codec, dht_limits, request_codec, wire
from privox_dht.dht.contact import Contact
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.pending_request import LATE, RESEND, PendingRequest, Timing
from privox_dht.dht.routing_table import RoutingTable
from privox_dht.dht.wire import REQUEST
from privox_dht.errors import BadMessage

T = TypeVar("T")


class RpcClientProtocol(KademliaProtocol):  # type: ignore[misc]  # kademlia has no types
    """A socket that asks."""

    def __init__(self, state: NodeState, router: RoutingTable | None) -> None:
        super().__init__(Node(state.identity.dht_id), state.store, dht_limits.BUCKET)
        self.state = state
        if router is None:
            router = RoutingTable(self, dht_limits.BUCKET, self.source_node, lambda: state.diverse)
        self.router = router
        self._outstanding: dict[bytes, PendingRequest] = {}
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        """Not rpcudp's: an attribute that is missing is a mistake, not a remote call."""
        raise AttributeError(name)

    @property
    def busy(self) -> bool:
        """Whether answers are waited for."""
        return bool(self._outstanding)

    # -- the socket --------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True

    def error_received(self, exc: Exception) -> None:
        self.state.drop("unsendable", str(exc))

    def close(self) -> None:
        """Close the socket; pending requests end without an answer."""
        self._closed = True
        if self.transport is not None:
            self.transport.close()
        outstanding, self._outstanding = list(self._outstanding.values()), {}
        for pending in outstanding:
            if pending.timer is not None:
                pending.timer.cancel()
            pending.done(None)

    def _send(self, datagram: bytes, address: Address, node_id: bytes = b"") -> None:
        if self._closed:
            return
        self.state.counts["sent"] += 1
        self.state.note_contacted(address)
        if self.state.sealed is not None:
            datagram = self.state.sealed.seal(datagram, address, node_id)
        try:
            self.transport.sendto(datagram, address)
        except (OSError, ValueError) as exc:
            self.state.drop("unsendable", str(exc))

    # -- asking ------------------------------------------------------------------------------------

    def send_request(
        self,
        address: Address,
        method: str,
        arguments: list[Any],
        read: Callable[[Any], T],
        done: Callable[[T | None], None],
        *,
        token: bytes = b"",
        size: int = 0,
        **timing: Unpack[Timing],
    ) -> None:
        """Ask a node; `done` is called once with what `read` made of its answer, or with None. The
        request is padded to `size` bytes."""
        state = self.state
        if self._closed or len(self._outstanding) >= dht_limits.OUTSTANDING:
            state.drop("too_many_pending")
            self.loop.call_soon(done, None)
            return
        body = request_codec.request_body(
            method, state.identity.dht_id, state.flags, token, arguments, size
        )
        message = state.rng.randbytes(8)
        datagram = wire.frame(state.mesh, REQUEST, message, body)
        pending = PendingRequest(address, datagram, read, done, self.loop.time(), **timing)
        self._outstanding[message] = pending
        self._wait(message, pending)
        state.counts["asked"] += 1
        self._send(datagram, address, pending.node_id)

    async def request(
        self,
        address: Address,
        method: str,
        arguments: list[Any],
        read: Callable[[Any], T],
        *,
        token: bytes = b"",
        size: int = 0,
        **timing: Unpack[Timing],
    ) -> T | None:
        """`send_request` as a coroutine."""
        answer: asyncio.Future[T | None] = self.loop.create_future()

        def done(result: T | None) -> None:
            if not answer.done():
                answer.set_result(result)

        self.send_request(address, method, arguments, read, done, token=token, size=size, **timing)
        return await answer

    def notify(
        self, address: Address, method: str, arguments: list[Any], token: bytes = b""
    ) -> None:
        """Send a request that has no answer."""
        body = request_codec.request_body(
            method, self.state.identity.dht_id, self.state.flags, token, arguments, 0
        )
        message = self.state.rng.randbytes(8)
        self._send(wire.frame(self.state.mesh, REQUEST, message, body), address)

    def _wait(self, message: bytes, pending: PendingRequest) -> None:
        when = pending.sent + pending.next_moment()
        pending.timer = self.loop.call_at(when, self._on_timer, message)

    def _on_timer(self, message: bytes) -> None:
        """No answer yet: call `late`, send the request again, or give it up."""
        pending = self._outstanding.get(message)
        if pending is None:
            return
        what = pending.pass_moment()
        if what in (LATE, RESEND):
            self._wait(message, pending)
        if what == LATE:
            if pending.late is not None:
                pending.late()
        elif what == RESEND:
            self._resend(pending)
        else:
            del self._outstanding[message]
            self.state.counts["unanswered"] += 1
            self._on_timeout(pending)
            pending.done(None)

    def _resend(self, pending: PendingRequest) -> None:
        if pending.bare:
            pending.bare = False
            pending.datagram = request_codec.in_short(self.state.mesh, pending.datagram)
        if pending.again is None or pending.again(len(pending.datagram)):
            self._send(pending.datagram, pending.address, pending.node_id)

    def _on_answer(self, message: bytes, packed: bytes, address: Address) -> None:
        pending = self._outstanding.get(message)
        if pending is None:
            raise BadMessage("unasked")
        if pending.address != address:
            raise BadMessage("address")
        try:
            body = wire.unpack(packed)
            token = answer_codec.read_retry(body)
        except BadMessage:
            body, token = None, b""
        if token and not pending.proven:
            pending.proven = True
            pending.datagram = request_codec.with_token(self.state.mesh, pending.datagram, token)
            pending.bare = False
            self._send(pending.datagram, address, pending.node_id)
            return
        del self._outstanding[message]
        if pending.timer is not None:
            pending.timer.cancel()
        answer = None
        try:
            answer = pending.read(body)
            self._on_response(pending)
        finally:
            pending.done(answer)

    def _contact(self, pending: PendingRequest) -> Contact | None:
        """The contact that was asked, if it is one."""
        contact = self.router.get(pending.node_id) if pending.node_id else None
        return contact if contact is not None and contact.address == pending.address else None

    def _on_response(self, pending: PendingRequest) -> None:
        now = self.state.last_answer_at = self.loop.time()
        contact = self._contact(pending)
        if pending.tries == 1:  # otherwise it is not known which one was answered
            self.state.rtt.note(now - pending.sent)
            if contact is not None:
                contact.note_rtt(now - pending.sent)
        if contact is not None:
            contact.seen, contact.failures = self.state.coarse_time(now), 0

    def _on_timeout(self, pending: PendingRequest) -> None:
        contact = self._contact(pending)
        if contact is None:
            return
        if contact.note_timeout(uplink_down=self.state.last_answer_at < pending.sent):
            self.router.remove_contact(contact)
        self.state.on_unanswered()
