"""The answers of a node: one function per request, from checked arguments to a map.

    ping  -> our key, our signature over the nonce and the address we were asked at
    find  -> contacts closer to the target, and a few of the records under it; with a challenge,
             the answer to a ping as well
    store -> each record held, refused, or full; needs a token
    dial, dial_request, probe -> see `dial_back`

Nothing here sends. `room` is how many bytes the answer may have.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from kademlia.node import Node

from privox_dht import limits
from privox_dht.addresses import Address, holder_of, is_loopback, pack_address, unpack_address
from privox_dht.dht import answer_codec, dht_limits, wire
from privox_dht.dht.compact_nodes import ID, IPV4_CONTACT, pack_peers
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.record_validator import shard_of
from privox_dht.dht.request_codec import Request
from privox_dht.dht.routing_table import RoutingTable, spread
from privox_dht.dht.wire import FAMILY_4, FAMILY_6
from privox_dht.identity import dht_id_of

ANSWER_FRAME = 48  # bytes of an answer to a find beside its contacts and records
ROOM_WITH_PROOF = answer_codec.PROOF + 8 * IPV4_CONTACT  # bytes; with less there is no proof
SPARE_CONTACTS = 4  # looked up beyond those in the answer: some may be left out
CONTACTS_WITH_RECORDS = 8  # contacts beside records: the rest of the room is for those

Answer = dict[str, Any] | None
Pending = asyncio.Future[Answer] | Answer  # an answer, or a future of it


class DialBackService(Protocol):
    """The dial-backs of a node (`dial_back`)."""

    def dial(self, request: Request, address: Address) -> Pending: ...
    def dial_request(self, request: Request, address: Address) -> Pending: ...
    def probe_received(self, nonce: bytes, address: Address) -> bool: ...


class RpcHandlers:
    """The answers of one node, the same from each of its sockets."""

    __slots__ = ("_dial_back", "_state", "tables")

    def __init__(self, state: NodeState, dial_back: Callable[[], DialBackService]) -> None:
        self._state, self._dial_back = state, dial_back
        self.tables: list[RoutingTable] = []

    def __call__(self, request: Request, address: Address, proven: bool, room: int) -> Any:
        """The answer to a request, a future of it, or None for none."""
        match request.method:
            case "ping":
                return self._ping(request, address)
            case "find":
                return self._find(request, address, proven, room)
            case "store":
                return self._store(request, address, proven)
            case "probe":
                expected = self._dial_back().probe_received(request.arguments[0], address)
                return {} if expected else None
            case "announce":  # the socket notes a proven sender
                return None
        if not proven:
            self._state.drop("token")
            return None
        if request.method == "dial":
            return self._dial_back().dial(request, address)
        return self._dial_back().dial_request(request, address)

    def _token(self, address: Address) -> bytes:
        now = asyncio.get_running_loop().time()
        return self._state.tokens.give(pack_address(*address), now)

    def _ping(self, request: Request, address: Address) -> Answer:
        nonce, there = request.arguments
        answer = self._proof(nonce, there, address)
        if answer is not None:
            answer["t"] = self._token(address)
        return answer

    def _proof(self, nonce: bytes, there: bytes, address: Address) -> Answer:
        state = self._state
        if state.is_not_our_address(unpack_address(there)[0]):
            state.drop("proof", "we are not where the requester thinks")
            return None
        return {
            "k": state.identity.public,
            "s": state.identity.sign(answer_codec.proof(nonce, there)),
            "o": pack_address(*address),
            "n": int(state.clock() * 1000),
        }

    def _find(self, request: Request, address: Address, proven: bool, room: int) -> Answer:
        state = self._state
        target, want, start, *challenge = request.arguments
        answer: dict[str, Any] = {"t": self._token(address)}
        room -= ANSWER_FRAME
        if challenge and room >= ROOM_WITH_PROOF:
            (asked,) = challenge
            if proof := self._proof(asked[: wire.NONCE], asked[wire.NONCE :], address):
                answer["p"] = proof
                room -= answer_codec.PROOF
        state.store.sweep_key(target, state.clock())
        count = state.store.count(target) if want else 0
        if not want or not count or start < 0:
            most = CONTACTS_WITH_RECORDS if count else dht_limits.MAX_CONTACTS_IN_DATAGRAM
            if count and not proven:  # a record first: contacts take what it leaves
                most = max(2, min(most, (room - limits.TYPICAL_RECORD) // IPV4_CONTACT))
            peers = self._closest(request, address, target, min(most, room // ID))
            packed = pack_peers(peers)
            while peers and sum(map(len, packed.values())) > room:
                packed = pack_peers(peers := peers[:-1])
            answer.update(packed)
            room -= sum(map(len, packed.values()))
        if want:
            requester = pack_address(*address) if proven else b""
            answer.update(self._records(target, want, start, room, requester))
        elif state.store.is_split(target):
            answer["f"] = True  # a publisher goes on to a shard
        return answer

    def _records(
        self, key: bytes, want: int, start: int, room: int, requester: bytes
    ) -> dict[str, Any]:
        store, now = self._state.store, self._state.clock()
        most = min(want, dht_limits.MAX_RECORDS_IN_DATAGRAM)
        if start < 0:
            wires = store.sample(key, most, room, now, requester)
        else:
            wires = store.page(key, start, most, room, now, requester)
        fields: dict[str, Any] = {"r": wires} if wires else {}
        if count := store.count(key):
            fields.update(c=count, i=store.idle(key))
        if store.is_split(key):
            fields["f"] = True
        return fields

    def _closest(self, request: Request, address: Address, target: bytes, most: int) -> list[Any]:
        """The contacts closest to a target, of families that the requester can use; without those
        that left their last request unanswered, and at most two of one network."""
        node = Node(target)
        if not self._state.diverse:
            return self._from_tables(request, address, node, most)[:most]
        for wanted in (most + SPARE_CONTACTS, 2 * most):  # seldom are so many of one network
            chosen = spread(self._from_tables(request, address, node, wanted), most)
            if len(chosen) == most:
                break
        return chosen

    def _from_tables(self, request: Request, address: Address, node: Node, most: int) -> list[Any]:
        """Up to `most` contacts of each family's table, closest first."""
        families, here = request.flags, is_loopback(address[0])
        found: list[Any] = []
        for table in self.tables:
            near = table.find_neighbors(node, most, exclude=request.sender)
            if near and families & (FAMILY_4 if len(near[0].packed) == IPV4_CONTACT else FAMILY_6):
                found += near  # all contacts of a table are of one family
        found = [contact for contact in found if not contact.failures]
        if self._state.on_loopback and not here:
            found = [contact for contact in found if not contact.on_loopback]
        if len(self.tables) > 1:
            found.sort(key=lambda contact: contact.long_id ^ node.long_id)
        return found

    def _store(self, request: Request, address: Address, proven: bool) -> Answer:
        state = self._state
        if not proven:
            state.drop("token")
            return {"t": self._token(address), "s": []}
        base, depth, deeper, wires = request.arguments
        results, key = [], b""
        source = b"" if is_loopback(address[0]) else holder_of(address[0])
        for wire_bytes in wires:
            record = state.accept(wire_bytes, base)
            if record is None:
                results.append(answer_codec.REFUSED)
                continue
            key = shard_of(base, dht_id_of(record.publisher), depth)
            result = state.store.put(
                key, record, source, state.clock(), networks=state.diverse, deeper=bool(deeper)
            )
            if result == answer_codec.FULL:
                state.drop("record full")
            results.append(result)
        answer: dict[str, Any] = {"t": self._token(address), "s": results}
        if state.store.is_split(key):  # of the last record: publishers send one at a time
            answer["f"] = True
        if depth:
            answer["c"] = state.store.count(key)
        return answer
