"""Meshes in which some lie, in virtual time: sybils beside a key, and liars of every kind.

eclipse  forty nodes of one /24 have taken the ids closest to a key; they tell of one another
         only, say that they hold what they are given, and never tell of it
liars    a share of all nodes answers with whatever the parser lets through: forged and stale
         records, invented contacts, counts of thousands, tokens of nobody, silence
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from bench.sim.virtual import Air, address_of, run
from bench.sim.worlds import PORT, Ours, SimNode, record_of
from privox_dht.addresses import Address, pack_address
from privox_dht.dht import rpc_protocol
from privox_dht.dht.answer_codec import HELD
from privox_dht.dht.request_codec import Request
from privox_dht.identity import dht_id_of
from privox_dht.records import Record, service_key

AGAIN = 200  # look-ups after which the producers announce again: their records live for two minutes

Answerer = Callable[[Request, Address, bool, int], Any]


async def mesh(world: Ours, count: int, rng: random.Random) -> list[SimNode]:
    """Honest nodes, each in a /24 of its own."""
    nodes: list[SimNode] = []
    for number in range(count):
        some = [nodes[n].ip for n in rng.sample(range(number), min(3, number))]
        nodes.append(await world.start(number, some))
    await asyncio.sleep(20)
    return nodes


class Gang:
    """Sybils that stand where they like: as if somebody had ground the keys for it."""

    def __init__(self, key: bytes, count: int, network: str, rng: random.Random) -> None:
        self.ids = [key[:8] + rng.randbytes(12) for _ in range(count)]
        self.addresses = [(f"{network}.{number + 1}", PORT) for number in range(count)]

    def posing_as(self, truthful: Answerer) -> Answerer:
        """The answers of a member: its proof is in order, all else is the gang's."""

        def answer(request: Request, address: Address, proven: bool, room: int) -> Any:
            if request.method in ("find", "store"):
                return self.answer(request)
            return truthful(request, address, proven, room)

        return answer

    def answer(self, request: Request) -> Any:
        if request.method == "find":
            packed = [i + pack_address(*a) for i, a in zip(self.ids, self.addresses, strict=True)]
            return {"t": b"t" * 8, "n": b"".join(packed[:20])}
        if request.method == "store":
            return {"t": b"t" * 8, "s": [HELD]}
        return None


async def place(
    world: Ours, gang: Gang, number: int, honest: list[SimNode], given: dict[bytes, bytes]
) -> list[SimNode]:
    """Let a gang join. Their ids are given, not earned: the proof of an id is taken from them, and
    the id of each public key added to `given`."""
    members = []
    for node_id, (ip, _) in zip(gang.ids, gang.addresses, strict=True):
        member = world.node(number)
        member.ip = member._host = ip
        given[member.identity.public] = node_id
        member._state.identity.dht_id = node_id
        members.append(member)
    for member in members:
        await member.__aenter__()
        for socket in member._network.protocols.values():
            assert socket.answer
            socket.answer = gang.posing_as(socket.answer)
        await member.join([(node.ip, PORT) for node in honest[:8]])
    return members


def eclipse(nodes: int, sybils: int, keys: int, looks: int, seed: int = 6) -> tuple[int, int]:
    """How many of how many look-ups found what stands beside the sybils."""

    given: dict[bytes, bytes] = {}  # DHT id by public key

    async def main() -> tuple[int, int]:
        rng, world = random.Random(seed), Ours(seed)
        honest = await mesh(world, nodes, rng)
        found = tried = 0
        for number in range(keys):
            kind = f"service{number}"
            key = service_key(honest[0].mesh, kind, "cpu")
            gang = Gang(key, sybils, f"66.6.{number}", rng)
            members = await place(world, gang, 60_000 + number, rng.sample(honest, 8), given)
            await asyncio.sleep(5)
            await rng.choice(honest).publish(record_of(rng.choice(honest), kind))
            await asyncio.sleep(2)
            for node in rng.sample(honest, looks):
                tried += 1
                found += bool(await node.find(kind, "cpu", fresh=True))
            for node in members:
                await node.__aexit__(None, None, None)
        for node in honest:
            await node.__aexit__(None, None, None)
        return found, tried

    def id_of(public: bytes) -> bytes:
        return given.get(public) or dht_id_of(public)

    with patch.object(rpc_protocol, "dht_id_of", id_of):
        return run(Air(seed), main)


class Liar:
    """One node's answers, each a lie drawn at random."""

    def __init__(self, truthful: Answerer, seen: list[Record], rng: random.Random) -> None:
        self.truthful, self.seen, self.rng = truthful, seen, rng

    def __call__(self, request: Request, address: Address, proven: bool, room: int) -> Any:
        if request.method == "ping":
            return self.truthful(request, address, proven, room)  # else nobody would listen to it
        if request.method == "store":
            return self.rng.choice(
                (None, {"t": b"t" * 8, "s": [HELD]}, {"t": b"t" * 8, "s": []}, 5)
            )
        if request.method != "find":
            return None
        lies: tuple[Callable[[Request], Any], ...] = (
            self.nothing, self.silence, self.forged, self.stale, self.foreign, self.closer,
            self.nowhere, self.thousands, self.nonsense,
        )  # fmt: skip
        return self.rng.choice(lies)(request)

    def nothing(self, request: Request) -> Any:
        return {"t": b"t" * 8}

    def silence(self, request: Request) -> Any:
        return None

    def forged(self, request: Request) -> Any:
        wires = [bytearray(record.encoded) for record in self.seen[:2]]
        for some in wires:
            some[self.rng.randrange(64)] ^= 1
        return {"t": b"t" * 8, "r": [bytes(some) for some in wires], "c": 2}

    def stale(self, request: Request) -> Any:
        return {"t": b"t" * 8, "r": [record.encoded for record in self.seen[:1]], "c": 1, "i": 1}

    def foreign(self, request: Request) -> Any:
        return {"t": b"t" * 8, "r": [record.encoded for record in self.seen[-1:]], "c": 1}

    def closer(self, request: Request) -> Any:
        some = (request.arguments[0][:18] + self.rng.randbytes(2) for _ in range(15))
        there = (pack_address(address_of(self.rng.randrange(50_000)), PORT) for _ in range(15))
        return {"t": b"t" * 8, "n": b"".join(map(bytes.__add__, some, there))}

    def nowhere(self, request: Request) -> Any:
        there = (f"{first}.0.0.{n}" for n, first in enumerate((0, 10, 127, 224, 255)))
        return {"n": b"".join(self.rng.randbytes(20) + pack_address(ip, 5) for ip in there)}

    def thousands(self, request: Request) -> Any:
        return {"t": b"t" * 8, "c": 1_000_000, "i": 1_000_000, "f": True, "r": [b"x" * 200]}

    def nonsense(self, request: Request) -> Any:
        return self.rng.choice(([], 5, "text", {"n": 5}, {"r": [None]}, {"c": -1}, {"t": b"x"}))


def liars(nodes: int, share: float, looks: int, seed: int = 7) -> tuple[int, int, int]:
    """Look-ups that found the producer, those that had its newest word, false words believed. An
    older word of a producer that has not expired is no lie that a look-up could see through."""

    async def main() -> tuple[int, int, int]:
        rng, world = random.Random(seed), Ours(seed)
        every = await mesh(world, nodes, rng)
        bad = set(rng.sample(range(nodes), int(nodes * share)))
        honest = [node for number, node in enumerate(every) if number not in bad]
        old = [record_of(honest[n], f"service{n}", slots=1, idle=0) for n in range(10)]
        await asyncio.sleep(2)  # what comes next has higher sequences
        for number in bad:
            for socket in every[number]._network.protocols.values():
                assert socket.answer
                socket.answer = Liar(socket.answer, old, rng)
        new = {}
        found = newest = believed = 0
        for at in range(looks):
            kind = f"service{at % 10}"
            if at % AGAIN == 0:
                for number in range(10):
                    new[f"service{number}"] = record_of(honest[number], f"service{number}")
                    await honest[number].publish(new[f"service{number}"])
                await asyncio.sleep(2)
            records = await rng.choice(honest).find(kind, "cpu", fresh=True)
            found += any(r.publisher == new[kind].publisher for r in records)
            newest += new[kind] in records
            believed += any(r.publisher != new[kind].publisher or r.kind != kind for r in records)
        for node in every:
            await node.__aexit__(None, None, None)
        return found, newest, believed

    result: tuple[int, int, int] = run(Air(seed), main)
    return result


def crowd(nodes: int, producers: int, seed: int = 8) -> tuple[int, int, float]:
    """Producers under one key found by one fresh client; requests and seconds that took."""

    async def main() -> tuple[int, int, float]:
        rng, world = random.Random(seed), Ours(seed)
        every = await mesh(world, nodes, rng)
        guests = [world.node(100_000 + n, guest=True) for n in range(producers)]
        step = max(50, producers // 50)  # a record lives for two minutes: all must fit into one
        for guest in guests:
            await guest.__aenter__()
        for words in range(2):  # once a key has split, the next announcement goes to the shards
            for start in range(0, producers, step):
                some = guests[start : start + step]
                await asyncio.gather(*(announce(g, rng.choice(every).ip, words) for g in some))
        loop = asyncio.get_running_loop()
        async with world.node(200_000, guest=True) as client:
            await client.join([(rng.choice(every).ip, PORT)])
            began = loop.time()
            found = await client.find("stt", "cpu", want=2 * producers)
            took, requests = loop.time() - began, client._lookups.last_requests
        for node in (*every, *guests):
            await node.__aexit__(None, None, None)
        return len({record.publisher for record in found}), requests, took

    result: tuple[int, int, float] = run(Air(seed), main)
    return result


async def announce(node: SimNode, neighbour: str, words: int) -> None:
    """A producer's first or second word."""
    if not words:
        await node.join([(neighbour, PORT)])
    await node.publish(record_of(node, "stt", lifetime=150))
