"""One UDP socket of a node: rpcudp's protocol with every datagram dispatched in one step.

ask -> see `rpc_client`
<-  request: checked, counted against its source, answered within 1.5 times its bytes unless it
    shows a token; no task is made for it, and nothing in it can raise out of here. Requests with a
    token have a quota of their own, since a forged address can use up that of all others. Then the
    answer is a token, shorter than the request, and `rpc_client` asks again with it

verify -> ping with a nonce, or a find that we send anyway, with the same (`Challenge`)
       <- key and signature: only then is a node a contact. A node that sent us a request is pinged
          from another port than the one it sent to, so that the mapping it opened proves nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from privox_dht import limits
from privox_dht.addresses import Address, is_loopback, normalize, pack_address, rate_key
from privox_dht.dht import answer_codec, dht_limits, request_codec, wire
from privox_dht.dht.answer_codec import Pong
from privox_dht.dht.contact import Contact
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.request_codec import Request
from privox_dht.dht.routing_table import RoutingTable
from privox_dht.dht.rpc_client import RpcClientProtocol
from privox_dht.dht.wire import ANSWER, GUEST, HEADER
from privox_dht.errors import BadMessage
from privox_dht.identity import dht_id_of, verify

log = logging.getLogger(__name__)

Answerer = Callable[[Request, Address, bool, int], Any]


class Challenge(NamedTuple):
    """A node that was asked for its proof, and when."""

    node_id: bytes | None  # None: any node at that address
    address: Address
    question: bytes  # nonce, and the address we ask at
    began: float  # loop time
    wall: float  # seconds since the epoch


class RpcProtocol(RpcClientProtocol):
    """The socket. `answer` says what is answered to a request; without it, nothing is."""

    def __init__(
        self, state: NodeState, router: RoutingTable | None = None, answer: Answerer | None = None
    ) -> None:
        super().__init__(state, router)
        self.answer = answer
        self.on_new_peer: Callable[[bytes, Address], None] = self.verify_peer  # see `prober`
        self._verifying: dict[Address, None] = {}

    def __repr__(self) -> str:
        return f"<RpcProtocol {len(self._outstanding)} pending, {self.router!r}>"

    def release_memory(self) -> None:
        """Release the memory that a burst took: a dict that once was large stays so."""
        if not self._outstanding and not self._verifying:
            self._outstanding, self._verifying = {}, {}

    # -- receiving ---------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        state = self.state
        state.counts["received"] += 1
        try:
            if state.sealed is not None:
                data = state.sealed.unseal(data)
            kind, message, packed = wire.unframe(state.mesh, data)
            if kind == ANSWER:
                self._on_answer(message, packed, normalize(addr))
            elif self.answer is not None:
                self._on_request(message, packed, normalize(addr), len(data))
            else:
                state.drop("kind", "a request to a socket that only asks")
        except BadMessage as exc:
            state.drop(exc.reason, str(exc))
        except Exception:
            state.drop("internal")
            log.exception("! a datagram from %s broke its handler", addr)

    def _on_request(self, message: bytes, packed: bytes, address: Address, size: int) -> None:
        state = self.state
        now = self.loop.time()
        where = pack_address(*address)
        request = request_codec.read_request(wire.unpack(packed))
        proven = state.tokens.proves(request.token, where, now)
        rates = state.proven_rates if proven else state.rates
        if not rates.try_acquire(rate_key(where), now):
            if not proven and size > answer_codec.RETRY_SIZE:
                self._reply(message, answer_codec.retry(state.tokens.give(where, now)), address)
            raise BadMessage("rate")
        if not state.on_loopback:
            state.on_loopback = is_loopback(address[0])
        room = state.largest if proven else int(size * dht_limits.AMPLIFICATION)
        room = min(room, state.largest) - HEADER
        assert self.answer is not None
        answer = self.answer(request, address, proven, room)
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(lambda late: self._reply_late(message, late, address))
        elif answer is not None:
            self._reply(message, answer, address, room)
        if proven:
            self._note_requester(request, address)

    def _note_requester(self, request: Request, address: Address) -> None:
        """A node at a proven address sent us a request."""
        guest = bool(request.flags & GUEST)
        self.state.note_requester(request.sender, address, guest)
        if guest:
            return
        known = self.router.get(request.sender)
        if known is not None:
            if known.address != address:
                self._check_move(known, address)
        elif self.may_verify(request.sender, address):
            self.on_new_peer(request.sender, address)

    def _check_move(self, known: Contact, address: Address) -> None:
        """A contact's id sends from a new address. If the contact does not answer at its old one,
        it may prove its key at the new one."""
        where, now = pack_address(*address), self.loop.time()
        if known.address in self._verifying or not self.state.proof_failures.try_acquire(
            where, now
        ):
            return
        self._verifying[known.address] = None

        def still_there(contact: Contact | None) -> None:
            self._verifying.pop(known.address, None)
            if contact is None:
                self.ping(address, lambda contact: None, expected=known.id)

        self.ping(known.address, still_there, expected=known.id)

    def _reply_late(self, message: bytes, late: asyncio.Future[Any], address: Address) -> None:
        if not late.cancelled() and late.exception() is None:
            self._reply(message, late.result(), address)

    def _reply(
        self, message: bytes, body: object, address: Address, room: int = limits.MAX_DATAGRAM
    ) -> None:
        datagram = wire.frame(self.state.mesh, ANSWER, message, body)
        if len(datagram) > room + HEADER:  # the request was too short for it
            self.state.drop("token")
            return
        self._send(datagram, address)

    # -- who may be a contact ----------------------------------------------------------------------

    def may_verify(self, node_id: bytes, address: Address) -> bool:
        """Whether the table has room for a node, and it may be asked for its proof."""
        where = pack_address(*address)
        return self.router.has_room(node_id, where) and not (  # mostly it has: first things first
            address in self._verifying
            or address in self.state.dial_back_peers
            or len(self._verifying) >= dht_limits.INTRODUCTIONS
            or not self.state.may_contact(address[0])
            or self.state.proof_failures.is_exhausted(where, self.loop.time())
        )

    def verify_peer(self, node_id: bytes, address: Address) -> None:
        """Ask a node for its proof, if the table has room for it."""
        if not self.may_verify(node_id, address):
            return
        where = pack_address(*address)
        self._verifying[address] = None

        def proven(contact: Contact | None) -> None:
            self._verifying.pop(address, None)
            if contact is None:
                self.state.proof_failures.try_acquire(where, self.loop.time())

        self.ping(address, proven, expected=node_id)

    def ping(
        self,
        address: Address,
        done: Callable[[Contact | None], None],
        *,
        expected: bytes | None = None,
        named: bool = False,
    ) -> None:
        """Ask for a proof; a node that gives it becomes a contact if the table has room."""
        challenge = self._challenge(expected, address)
        question = challenge.question
        self.send_request(
            address,
            "ping",
            [question[: wire.NONCE], question[wire.NONCE :]],
            answer_codec.read_pong,
            lambda pong: done(self._proven(challenge, pong, named=named) if pong else None),
            node_id=expected or b"",
            size=dht_limits.PING_SIZE,
            resend=dht_limits.RESEND_NAMED if named else dht_limits.RESEND,
        )

    def challenge(self, node_id: bytes, address: Address) -> Challenge | None:
        """A challenge to add to a find, so that its answer proves the node; None: not needed."""
        if not self.may_verify(node_id, address):
            return None
        return self._challenge(node_id, address)

    def _challenge(self, node_id: bytes | None, address: Address) -> Challenge:
        question = self.state.rng.randbytes(wire.NONCE) + pack_address(*address)
        return Challenge(node_id, address, question, self.loop.time(), self.state.clock())

    def challenge_answered(self, challenge: Challenge, proof: Pong) -> None:
        """The answer to a find has a proof as well."""
        address = challenge.address
        if not self.may_verify(challenge.node_id or b"", address):
            return  # it was proven meanwhile
        if self._proven(challenge, proof) is None:
            self.state.proof_failures.try_acquire(pack_address(*address), self.loop.time())

    def _proven(self, challenge: Challenge, pong: Pong, *, named: bool = False) -> Contact | None:
        """The node that answered a challenge, if its proof is good; a contact if the table has
        room."""
        contact = self._read_proof(pong, challenge.question, challenge.node_id)
        if contact is None:
            return None
        now, state = self.loop.time(), self.state
        contact.note_rtt(now - challenge.began)
        contact.seen = state.coarse_time(now)
        state.peer_verified(challenge.address[0], named=named)
        if self.answer is not None:  # our lasting port, not the prober's
            offset = pong.time - (challenge.wall + (now - challenge.began) / 2)
            state.record_observation(challenge.address, pong.observed, offset)
        self._add_contact(contact, pong.token)
        return contact

    def _read_proof(self, pong: Pong, question: bytes, expected: bytes | None) -> Contact | None:
        node_id = dht_id_of(pong.public)
        if node_id == self.source_node.id:
            self.state.drop("self")
            return None
        if expected is not None and node_id != expected:
            self.state.drop("proof", "another id")
            return None
        nonce, there = question[: wire.NONCE], question[wire.NONCE :]
        if not verify(pong.public, pong.signature, answer_codec.proof(nonce, there)):
            self.state.drop("proof", "signature")
            return None
        return Contact(node_id, there)

    def _add_contact(self, contact: Contact, token: bytes) -> None:
        if not self.state.may_contact(contact.ip):
            return
        known = self.router.get(contact.id)
        if known is not None:
            if known.address == contact.address:
                known.rtt_ms, known.seen, known.failures = contact.rtt_ms, contact.seen, 0
                self._announce(known, token)
                return
            if self.loop.time() - known.seen < dht_limits.CONTACT_STALE and not known.failures:
                return  # it still answers where it was
        if self.router.add_contact(contact):
            self._announce(contact, token)
            self.state.on_contact(self, contact, token)

    def _announce(self, contact: Contact, token: bytes) -> None:
        """Show a contact its token: that proves our address, so that it may add us as well."""
        if self.answer is not None and not self.state.guest:
            self.notify(contact.address, "announce", [], token)
