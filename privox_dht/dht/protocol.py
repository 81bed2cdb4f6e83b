"""One UDP socket of a node: rpcudp's protocol with every datagram dispatched in one step.

ask -> request out; again after 0.4 and 1.2 s of silence; lost after 2.5 s
    <- answer, accepted only for a message id we sent, from the very address we sent it to
<-  request: counted against its source, checked, answered within 1.5 times its bytes unless it
    shows a token; no task is made for it, and nothing in it can raise out of here

introduce -> ping with a nonce
          <- key and signature: only then is a node a contact. Whoever asked us is pinged from
             another port than the one it asked, so that a mapping it opened proves nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from kademlia.node import Node
from kademlia.protocol import KademliaProtocol

from privox_dht import limits
from privox_dht.dht import wire
from privox_dht.dht.addresses import Address, is_loopback, pack_address, plain, source_of
from privox_dht.dht.state import NodeState
from privox_dht.dht.table import Contact, MeshTable
from privox_dht.dht.wire import ANSWER, GUEST, HEADER, REQUEST, Pong, Request
from privox_dht.errors import BadMessage
from privox_dht.identity import dht_id_of, verify

log = logging.getLogger(__name__)

Done = Callable[[Any], None]  # called once, with what was read or None
Answerer = Callable[[Request, Address, bool, int], Any]


class Flight:
    """A request of ours that waits for its answer."""

    __slots__ = ("address", "datagram", "done", "hard", "node_id", "read", "resend", "sent",
                 "timer", "tries")  # fmt: skip

    def __init__(
        self, address: Address, datagram: bytes, read: Callable[[Any], Any], done: Done
    ) -> None:
        self.address, self.datagram, self.read, self.done = address, datagram, read, done
        self.sent = 0.0
        self.node_id = b""  # of the node asked, if it may be a contact
        self.tries = 1
        self.timer: asyncio.TimerHandle | None = None
        self.hard = limits.HARD_TIMEOUT
        self.resend: tuple[float, ...] = limits.RESEND


class MeshProtocol(KademliaProtocol):  # type: ignore[misc]  # kademlia has no types
    """The socket. `answer` says what is answered to a request; without it, nothing is."""

    def __init__(
        self, state: NodeState, router: MeshTable | None = None, answer: Answerer | None = None
    ) -> None:
        super().__init__(Node(state.identity.dht_id), state.store, limits.BUCKET)
        self.state = state
        self.router = router or MeshTable(
            self, limits.BUCKET, self.source_node, lambda: state.diverse
        )
        self.answer = answer
        self.newcomer: Callable[[bytes, Address], None] = self.introduce  # see `prober`
        self._outstanding: dict[bytes, Flight] = {}
        self._introducing: dict[Address, None] = {}
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        """Not rpcudp's: an attribute that is missing is a mistake, not a remote call."""
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"<MeshProtocol {len(self._outstanding)} in flight, {self.router!r}>"

    @property
    def busy(self) -> bool:
        """Whether answers are waited for."""
        return bool(self._outstanding)

    def rest(self) -> None:
        """Give back the room that a burst took: a dict that once was large stays so."""
        if not self._outstanding and not self._introducing:
            self._outstanding, self._introducing = {}, {}

    # -- the socket --------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True

    def error_received(self, exc: Exception) -> None:
        self.state.drop("unsendable", str(exc))

    def close(self) -> None:
        """Close the socket; whoever waits is told that nothing came."""
        self._closed = True
        if self.transport is not None:
            self.transport.close()
        flights, self._outstanding = list(self._outstanding.values()), {}
        for flight in flights:
            if flight.timer is not None:
                flight.timer.cancel()
            flight.done(None)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        state = self.state
        state.counts["received"] += 1
        try:
            kind, message, packed = wire.unseal(state.mesh, data)
            if kind == ANSWER:
                self._answered(message, packed, plain(addr))
            elif self.answer is not None:
                self._asked(message, packed, plain(addr), len(data))
            else:
                state.drop("kind", "a request to a socket that only asks")
        except BadMessage as exc:
            state.drop(exc.reason, str(exc))
        except Exception:
            state.drop("internal")
            log.exception("! a datagram from %s broke its handler", addr)

    def _send(self, datagram: bytes, address: Address) -> None:
        if self._closed:
            return
        self.state.counts["sent"] += 1
        self.state.note_contacted(address)
        try:
            self.transport.sendto(datagram, address)
        except (OSError, ValueError) as exc:
            self.state.drop("unsendable", str(exc))

    # -- being asked -------------------------------------------------------------------------------

    def _asked(self, message: bytes, packed: bytes, address: Address, size: int) -> None:
        state = self.state
        now = self.loop.time()
        if not state.rates.allow(source_of(*address), now):
            raise BadMessage("rate")
        request = wire.read_request(wire.unpack(packed))
        state.on_loopback = state.on_loopback or is_loopback(address[0])
        proven = state.tokens.proves(request.token, pack_address(*address), now)
        room = limits.MAX_DATAGRAM if proven else int(size * limits.AMPLIFICATION)
        room = min(room, limits.MAX_DATAGRAM) - HEADER
        assert self.answer is not None
        answer = self.answer(request, address, proven, room)
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(lambda late: self._reply_late(message, late, address))
        elif answer is not None:
            self._reply(message, answer, address, room)
        if proven and not request.flags & GUEST and self.may_introduce(request.sender, address):
            self.newcomer(request.sender, address)

    def _reply_late(self, message: bytes, late: asyncio.Future[Any], address: Address) -> None:
        if not late.cancelled() and late.exception() is None:
            self._reply(message, late.result(), address)

    def _reply(
        self, message: bytes, body: object, address: Address, room: int = limits.MAX_DATAGRAM
    ) -> None:
        datagram = wire.seal(self.state.mesh, ANSWER, message, body)
        if len(datagram) > room + HEADER:  # it asked with too few bytes to be told this much
            self.state.drop("token")
            return
        self._send(datagram, address)

    # -- asking ------------------------------------------------------------------------------------

    def ask(
        self,
        address: Address,
        method: str,
        arguments: list[Any],
        read: Callable[[Any], Any],
        done: Done,
        *,
        node_id: bytes = b"",
        token: bytes = b"",
        size: int = 0,
        hard: float = limits.HARD_TIMEOUT,
        resend: tuple[float, ...] = limits.RESEND,
    ) -> None:
        """Ask a node; `done` is called once with what `read` made of its answer, or with None."""
        state = self.state
        if self._closed or len(self._outstanding) >= limits.OUTSTANDING:
            state.drop("flight")
            self.loop.call_soon(done, None)
            return
        body = wire.request_body(method, state.identity.dht_id, state.flags, token, arguments, size)
        message = state.rng.randbytes(8)
        flight = Flight(address, wire.seal(state.mesh, REQUEST, message, body), read, done)
        flight.node_id = node_id
        flight.sent, flight.hard, flight.resend = self.loop.time(), hard, resend
        self._outstanding[message] = flight
        wait = resend[0] if resend else hard
        flight.timer = self.loop.call_later(wait, self._silent, message)
        state.counts["asked"] += 1
        self._send(flight.datagram, address)

    async def call(
        self,
        address: Address,
        method: str,
        arguments: list[Any],
        read: Callable[[Any], Any],
        **more: Any,
    ) -> Any:
        """`ask`, for whoever has nothing else to do meanwhile."""
        answer: asyncio.Future[Any] = self.loop.create_future()

        def done(result: Any) -> None:
            if not answer.done():
                answer.set_result(result)

        self.ask(address, method, arguments, read, done, **more)
        return await answer

    def tell(self, address: Address, method: str, arguments: list[Any], token: bytes = b"") -> None:
        """Say something that has no answer."""
        body = wire.request_body(
            method, self.state.identity.dht_id, self.state.flags, token, arguments, 0
        )
        message = self.state.rng.randbytes(8)
        self._send(wire.seal(self.state.mesh, REQUEST, message, body), address)

    def _silent(self, message: bytes) -> None:
        """A timer of a flight: send it again, or give it up."""
        flight = self._outstanding.get(message)
        if flight is None:
            return
        if flight.tries <= len(flight.resend):
            self._send(flight.datagram, flight.address)
            past = flight.resend[flight.tries - 1]
            after = (
                flight.resend[flight.tries] if flight.tries < len(flight.resend) else flight.hard
            )
            flight.tries += 1
            flight.timer = self.loop.call_later(after - past, self._silent, message)
            return
        del self._outstanding[message]
        self.state.counts["unanswered"] += 1
        self._unheard(flight)
        flight.done(None)

    def _answered(self, message: bytes, packed: bytes, address: Address) -> None:
        flight = self._outstanding.get(message)
        if flight is None:
            raise BadMessage("unasked")
        if flight.address != address:
            raise BadMessage("address")
        del self._outstanding[message]
        if flight.timer is not None:
            flight.timer.cancel()
        answer = None
        try:
            answer = flight.read(wire.unpack(packed))
            self._heard(flight)
        finally:
            flight.done(answer)

    def _contact(self, flight: Flight) -> Contact | None:
        """The contact that was asked, if it is one."""
        contact = self.router.get(flight.node_id) if flight.node_id else None
        return contact if contact is not None and contact.address == flight.address else None

    def _heard(self, flight: Flight) -> None:
        now = self.state.heard_at = self.loop.time()
        contact = self._contact(flight)
        if flight.tries == 1:  # of a request sent twice nobody knows which one was answered
            self.state.rtt.note(now - flight.sent)
            if contact is not None:
                contact.note_rtt(now - flight.sent)
        if contact is not None:
            contact.seen, contact.failures = self.state.second(now), 0

    def _unheard(self, flight: Flight) -> None:
        contact = self._contact(flight)
        if contact is None or self.state.heard_at < flight.sent:
            return  # nobody answered meanwhile: it may be our own network that is gone
        contact.failures += 1
        if contact.failures >= limits.CONTACT_FAILURES:
            self.router.remove_contact(contact)

    # -- who may be a contact ----------------------------------------------------------------------

    def may_introduce(self, node_id: bytes, address: Address) -> bool:
        """Whether there would be a place for a node, and nothing speaks against asking it."""
        where = pack_address(*address)
        return not (
            address in self._introducing
            or address in self.state.reserved
            or len(self._introducing) >= limits.INTRODUCTIONS
            or not self.state.may_contact(address[0])
            or not self.router.has_room(node_id, where)
            or self.state.failed.holds(where, self.loop.time())
        )

    def introduce(self, node_id: bytes, address: Address) -> None:
        """Ask a node for its proof, if there would be a place for it."""
        if not self.may_introduce(node_id, address):
            return
        where = pack_address(*address)
        self._introducing[address] = None

        def proven(contact: Contact | None) -> None:
            self._introducing.pop(address, None)
            if contact is None:
                self.state.failed.allow(where, self.loop.time())

        self.ping(address, proven, expected=node_id)

    def ping(
        self,
        address: Address,
        done: Callable[[Contact | None], None],
        *,
        expected: bytes | None = None,
        named: bool = False,
    ) -> None:
        """Ask for a proof; a node that gives it becomes a contact if there is a place for it."""
        nonce = self.state.rng.randbytes(wire.NONCE)
        there = pack_address(*address)
        began, wall = self.loop.time(), self.state.clock()

        def answered(pong: Pong | None) -> None:
            contact = None
            if pong is not None:
                contact = self._proven(pong, nonce, there, address, expected)
            if contact is not None and pong is not None:
                now = self.loop.time()
                contact.note_rtt(now - began)
                contact.seen = self.state.second(now)
                self.state.met(address[0], named=named)
                if self.answer is not None:  # from our lasting port: what was said is about it
                    offset = pong.time - (wall + (now - began) / 2)
                    self.state.note_view(address, pong.observed, offset)
                self._add(contact, pong.token)
            done(contact)

        self.ask(
            address,
            "ping",
            [nonce, there],
            wire.read_pong,
            answered,
            node_id=expected or b"",
            size=limits.PING_SIZE,
        )

    def _proven(
        self, pong: Pong, nonce: bytes, there: bytes, address: Address, expected: bytes | None
    ) -> Contact | None:
        node_id = dht_id_of(pong.public)
        if node_id == self.source_node.id:
            self.state.drop("self")
            return None
        if expected is not None and node_id != expected:
            self.state.drop("proof", "another id")
            return None
        if not verify(pong.public, pong.signature, wire.proof(nonce, there)):
            self.state.drop("proof", "signature")
            return None
        return Contact(node_id, there)

    def _add(self, contact: Contact, token: bytes) -> None:
        if not self.state.may_contact(contact.ip):
            return
        known = self.router.get(contact.id)
        if known is not None:
            if known.address == contact.address:
                known.rtt_ms, known.seen, known.failures = contact.rtt_ms, contact.seen, 0
                self._say_here(known, token)
                return
            if self.loop.time() - known.seen < limits.CONTACT_STALE and not known.failures:
                return  # it still answers where it was
        if self.router.add_contact(contact):
            self._say_here(contact, token)

    def _say_here(self, contact: Contact, token: bytes) -> None:
        """Show a contact the token it gave us: our address is proven, it may want us as well."""
        if self.answer is not None and not self.state.guest:
            self.tell(contact.address, "here", [], token)

    # -- what kademlia would do, and must not ------------------------------------------------------

    def welcome_if_new(self, node: Any) -> None:
        """Nobody is remembered for having asked, and nobody is sent our records."""
