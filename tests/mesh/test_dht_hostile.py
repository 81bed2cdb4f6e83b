"""Strangers' datagrams and answers against a node on a real socket.

Whatever is sent, nothing raises, the socket stays open, memory stays bounded, every drop has a
name and is counted, and an address that proved nothing gets at most 1.5 times what it sent.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from dht_kit import Stranger, mesh_of, node_of, record_of, stranger
from kit import HOST, turns, until

from privox_dht import limits
from privox_dht.addresses import pack_address
from privox_dht.dht import REASONS, DhtNode, dht_limits, wire
from privox_dht.identity import Identity
from privox_dht.membership import members
from privox_dht.records import keys_of, service_key

NONCE = b"n" * wire.NONCE
SOMEWHERE = pack_address(HOST, 9)


async def works(node: DhtNode, neighbour: DhtNode) -> None:
    """A newcomer still joins, publishes and is found."""
    async with node_of(guest=True) as client:
        await client.join([(HOST, node.port)])
        record = record_of(Identity.generate(), client.mesh, engine="works")
        assert await client.publish(record) >= 1
        found = await neighbour.find("stt", "cpu", want=200, fresh=True)
        assert record in found
    assert node.stats()["dropped"]["internal"] == 0
    assert all(not p.transport.is_closing() for p in node._network.protocols.values())


# -- answers ---------------------------------------------------------------------------------


def peers(*some: tuple[bytes, str, int]) -> bytes:
    return b"".join(node_id + pack_address(ip, port) for node_id, ip, port in some)


HOSTILE_ANSWERS: dict[str, Any] = {
    "none at all": None,
    "not a map": [1, 2, 3],
    "a port of 0": {"n": bytes(20) + b"\x7f\0\0\1\0\0"},
    "ids of another length": {"n": b"x" * 25},
    "a host name": {"n": "localhost:5678"},
    "an ip that is a number": {"n": 2130706433},
    "contacts that are a list": {"n": [[b"x" * 20, "127.0.0.1", 70000]]},
    "too many contacts": {"n": b"x" * 26 * 40},
    "nobody's address": {"n": peers((b"x" * 20, "0.0.0.0", 5), (b"y" * 20, "255.255.255.255", 5))},
    "multicast": {
        "n": peers((b"x" * 20, "224.0.0.1", 5678)),
        "m": peers((b"z" * 20, "ff02::1", 1)),
    },
    "a token of another length": {"t": b"x" * 500},
    "records that are numbers": {"r": [1, 2, 3], "c": 3},
    "records that are noise": {"r": [b"x" * 300], "c": 1},
    "a count beyond all": {"r": [b"x" * 300], "c": 1 << 62},
    "a negative count": {"c": -5},
    "more idle than there are": {"c": 1, "i": 5},
    "keys that are numbers": {1: 2, 3: 4},
    "bytes that are not msgpack": b"\x01" + b"PLACEHLD" + b"\x01MESSAGE!" + b"\xc1\xc1",
    "an oversized datagram": b"\x01" + b"PLACEHLD" + b"\x01MESSAGE!" + b"\xc4\xff" + b"x" * 4000,
    "an answer to something else": b"\x01" + b"PLACEHLD" + b"\x01" + b"\0" * 8 + b"\x80",
}


def has_received(node: DhtNode, count: int) -> Callable[[], bool]:
    """Whether so many datagrams have come to it."""
    return lambda: bool(node.stats()["received"] >= count)


@pytest.mark.parametrize("name", list(HOSTILE_ANSWERS))
async def test_a_hostile_answer_costs_a_lookup_nothing(name: str) -> None:
    async with mesh_of(3) as nodes, stranger(nodes[0].mesh) as liar:
        answer = HOSTILE_ANSWERS[name]
        if isinstance(answer, bytes):
            answer = answer.replace(b"PLACEHLD", nodes[0].mesh)
        liar.answers["find"] = lambda arguments, addr: answer
        liar.answers["store"] = lambda arguments, addr: answer
        assert await nodes[0].join([(HOST, liar.port)]) >= 3
        record = record_of(nodes[1].identity, nodes[1].mesh)
        await nodes[1].publish(record)
        assert await nodes[0].find("stt", "cpu") == [record]
        assert any(body[0] == "find" for body, _ in liar.heard)
        await works(nodes[0], nodes[1])


async def test_an_answer_from_another_address_is_not_taken() -> None:
    async with (
        mesh_of(2) as nodes,
        stranger(nodes[0].mesh) as asked,
        stranger(nodes[0].mesh) as other,
    ):

        def elsewhere(arguments: list[Any], addr: Any) -> Any:
            other.transport.sendto(
                wire.frame(nodes[0].mesh, wire.ANSWER, message[0], {"n": b""}), addr
            )

        message: list[bytes] = []
        received = asked.datagram_received

        def note(data: bytes, addr: Any) -> None:
            message[:] = [data[10:18]]
            received(data, addr)

        asked.datagram_received = note  # type: ignore[method-assign]
        asked.answers["find"] = elsewhere
        await nodes[0].join([(HOST, asked.port)], timeout=0.5)
        await until(lambda: nodes[0].stats()["dropped"]["address"])
        await works(nodes[0], nodes[1])


async def test_ever_closer_invented_ids_end_after_so_many_requests() -> None:
    rng = random.Random(1)
    async with mesh_of(2) as nodes, stranger(nodes[0].mesh) as liar:
        sockets = []

        def closer(arguments: list[Any], addr: Any) -> Any:
            near = arguments[0][:18]
            some = [(near + rng.randbytes(2), HOST, rng.choice(ports)) for _ in range(20)]
            return {"t": b"t" * 8, "n": peers(*some)}

        async with asyncio.timeout(20):
            for _ in range(8):
                context = stranger(nodes[0].mesh)
                sockets.append((context, await context.__aenter__()))
            ports = [other.port for _, other in sockets] + list(range(20_000, 60_000))
            for _, other in sockets:
                other.answers["find"] = closer
            liar.answers["find"] = closer
            await nodes[0].join([(HOST, liar.port)])
            asked = nodes[0].stats()["asked"]
            began = time.monotonic()
            await nodes[0].find("tts", "cpu")
            assert time.monotonic() - began < dht_limits.LOOKUP_TIME + 1
            asked = nodes[0].stats()["asked"] - asked
            assert asked < 2 * dht_limits.LOOKUP_REQUESTS + dht_limits.INTRODUCTIONS * 4
            for context, _ in sockets:
                await context.__aexit__(None, None, None)
        await works(nodes[0], nodes[1])


async def test_a_liar_cannot_pose_as_another_node() -> None:
    """It answers pings with somebody else's key, without its signature, and is remembered by
    nobody."""
    async with mesh_of(2) as nodes, stranger(nodes[0].mesh) as liar:
        honest, victim = liar.pong, nodes[1].identity.public
        liar.answers["ping"] = lambda a, addr: {**honest(a, addr), "k": victim}
        with pytest.raises(Exception, match="cannot join"):
            async with node_of() as late:
                await late.join([(HOST, liar.port)], timeout=0.5)
        assert await nodes[0].join([(HOST, liar.port), (HOST, nodes[1].port)]) == 1
        assert nodes[0].contacts() == [(HOST, nodes[1].port)]
        assert nodes[0].stats()["dropped"]["proof"] >= 1


async def test_a_holder_of_forged_and_foreign_records_is_not_believed() -> None:
    async with mesh_of(3) as nodes, stranger(nodes[0].mesh) as liar:
        mesh = nodes[0].mesh
        good = record_of(nodes[1].identity, mesh)
        tts = record_of(nodes[1].identity, mesh, kind="tts")
        forged = bytearray(record_of(nodes[2].identity, mesh).encoded)
        forged[10] ^= 1
        lies = [bytes(forged), tts.encoded]
        liar.answers["find"] = lambda a, addr: {"t": b"t" * 8, "r": lies, "c": 900, "i": 900}
        await nodes[0].join([(HOST, liar.port)])
        await nodes[1].publish(good)
        dropped = nodes[0].stats()["dropped"]
        async with asyncio.timeout(5):
            while not dropped["record wrong_key"]:  # it may be content before the liar answers
                assert await nodes[0].find("stt", "cpu", fresh=True) == [good]
        assert dropped["record wrong_key"] and dropped["record signature"]


# -- requests --------------------------------------------------------------------------------


async def hit(node: DhtNode, reason: str, send: Callable[[], Any]) -> None:
    before = node.stats()["dropped"][reason]
    said = send()
    if said is not None:
        await said
    await until(lambda: node.stats()["dropped"][reason] > before)


@asynccontextmanager
async def besieged() -> AsyncIterator[tuple[DhtNode, DhtNode, Stranger]]:
    async with mesh_of(2) as nodes, stranger(nodes[0].mesh) as enemy:
        yield nodes[0], nodes[1], enemy


async def test_every_reason_to_drop_something_is_hit_and_counted() -> None:
    async with besieged() as (node, other, enemy):
        port, mesh, me = node.port, node.mesh, enemy.identity
        token = await enemy.token(port)
        good = record_of(me, mesh)
        key = keys_of(good)[0]

        def send(data: bytes) -> Callable[[], None]:
            return lambda: enemy.send(port, data)

        def put(record_wire: bytes, under: bytes = key) -> Callable[[], None]:
            return send(enemy.request("store", [under, 0, 0, [record_wire]], token=token))

        def sealed(body: Any, kind: int = wire.REQUEST) -> bytes:
            return wire.frame(mesh, kind, b"message!", body)

        await hit(node, "short", send(b"tiny"))
        await hit(node, "long", send(bytes(limits.MAX_DATAGRAM + 1)))
        await hit(node, "version", send(b"\x09" + sealed([])[1:]))
        await hit(node, "mesh", send(wire.frame(b"x" * 8, 0, b"m" * 8, [])))
        await hit(node, "kind", send(sealed([], kind=9)))
        await hit(node, "shape", send(sealed({"not": "a request"})))
        await hit(node, "sender", send(sealed(["find", b"short", 2, b"", [], b""])))
        await hit(node, "method", send(sealed(["stun", me.dht_id, 2, b"", [], b""])))
        await hit(node, "argument", send(enemy.request("find", [b"short", 0, -1])))
        await hit(node, "unasked", send(sealed({}, kind=wire.ANSWER)))
        await hit(node, "token", send(enemy.request("store", [key, 0, 0, [good.encoded]])))
        dial = [SOMEWHERE, 0, NONCE]
        await hit(node, "not_a_contact", send(enemy.request("dial_request", dial, token=token)))

        stale = int(time.time()) - 300
        forged = bytearray(good.encoded)
        forged[10] ^= 1
        await hit(node, "record size", put(b"x" * 513))
        await hit(node, "record shape", put(b"x" * 64 + b"\xc1"))
        await hit(node, "record version", put(b"x" * 64 + b"\x81\xa1v\x63"))
        await hit(node, "record mesh", put(record_of(me, b"x" * 8).encoded))
        await hit(node, "record field", put(b"x" * 64 + b"\x81\xa1v\x01"))
        await hit(node, "record signature", put(bytes(forged)))
        await hit(node, "record wrong_key", put(good.encoded, b"k" * 20))
        await hit(node, "record expired", put(signed_at(me, mesh, stale)))
        await hit(node, "record future", put(signed_at(me, mesh, int(time.time()) + 100)))
        await hit(node, "record lifetime", put(signed_at(me, mesh, int(time.time()), 9_000)))
        newer, older = record_of(me, mesh, sequence=1 << 50), record_of(me, mesh)
        put(newer.encoded)()
        await hit(node, "record superseded", put(older.encoded))
        node._state.store._keys = 0
        elsewhere = record_of(me, mesh, kind="other")
        await hit(node, "record full", put(elsewhere.encoded, keys_of(elsewhere)[0]))
        node._state.store._keys = dht_limits.KEYS_IN_ALL

        def flood() -> None:
            for _ in range(400):
                enemy.send(port, enemy.request("find", [key, 0, -1]))

        await hit(
            node,
            "rate",
            flood,
        )
        await node_side_reasons(node, other, enemy)
        private = set(members.REASONS)  # see test_private_attacks.py
        missed = set(REASONS) - set(node.stats()["dropped"]) - private - {"internal"}
        assert not missed
        assert node.stats()["dropped"]["internal"] == 0


def signed_at(who: Identity, mesh: bytes, issued: int, lifetime: int = 120) -> bytes:
    """A record signed properly over times that nobody should sign."""
    import msgpack

    good = record_of(who, mesh)
    body = msgpack.unpackb(good.encoded[64:])
    body.update(a=issued, z=issued + lifetime)
    packed = msgpack.packb(body)
    return who.sign(b"privox_dht record 1\0" + packed) + bytes(packed)


async def node_side_reasons(node: DhtNode, other: DhtNode, enemy: Stranger) -> None:
    """Those that come of what the node itself asked."""
    protocol = next(iter(node._network.protocols.values()))
    dropped = node.stats()["dropped"]
    honest = enemy.pong
    enemy.answers["ping"] = lambda a, addr: {**honest(a, addr), "s": bytes(64)}
    await hit(node, "proof", lambda: protocol.ping((HOST, enemy.port), lambda contact: None))
    enemy.answers["ping"] = honest
    liar = {"t": b"t" * 8, "n": peers((b"q" * 20, "224.0.0.1", 5))}
    enemy.answers["find"] = lambda a, addr: liar
    await node.join([(HOST, enemy.port)])
    await node.find("tts", fresh=True)
    assert dropped["contact"]
    await hit(node, "self", lambda: protocol.ping((HOST, node.port), lambda contact: None))
    async with stranger(node.mesh) as third:
        message: list[bytes] = []
        received = enemy.datagram_received

        def elsewhere(data: bytes, addr: Any) -> None:
            message[:] = [data[10:18]]
            third.transport.sendto(wire.frame(node.mesh, wire.ANSWER, message[0], {}), addr)

        enemy.datagram_received = elsewhere  # type: ignore[method-assign]
        await hit(node, "address", lambda: protocol.ping((HOST, enemy.port), lambda contact: None))
        enemy.datagram_received = received  # type: ignore[method-assign]
    await hit(node, "unsendable", lambda: protocol._send(b"x" * 70_000, (HOST, other.port)))
    flights = dict(protocol._outstanding)
    for number in range(dht_limits.OUTSTANDING):
        flights[number.to_bytes(8, "big")] = None  # type: ignore[assignment]
    protocol._outstanding, real = flights, protocol._outstanding
    await hit(
        node, "too_many_pending", lambda: protocol.ping((HOST, other.port), lambda contact: None)
    )
    protocol._outstanding = real


async def test_an_unproven_address_gets_at_most_one_and_a_half_times_its_bytes() -> None:
    async with mesh_of(12) as nodes, stranger(nodes[0].mesh) as spoofed:
        key = service_key(nodes[0].mesh, "stt", "cpu")
        for number in range(20):
            who = Identity(number.to_bytes(32, "big"))
            await nodes[0].publish(record_of(who, nodes[0].mesh, models=("m" * 30, "n" * 30)))
        here = pack_address(HOST, nodes[0].port)
        requests = [
            spoofed.request(method, arguments, size=size)
            for size in (0, 100, 200, 400, 800, 1200)
            for method, arguments in (
                ("find", [key, 0, -1]), ("find", [key, 32, -1]), ("find", [key, 32, 0]),
                ("find", [key, 0, -1, NONCE + here]), ("find", [key, 32, -1, NONCE + here]),
                ("ping", [NONCE, here]), ("store", [key, 0, 0, [b"x" * 100]]),
                ("dial", [here, 80, NONCE]), ("dial_request", [here, 80, NONCE]),
                ("probe", [NONCE]),
            )
        ]  # fmt: skip
        for request in requests:
            before = spoofed.bytes_in
            received = nodes[0].stats()["received"]
            spoofed.send(nodes[0].port, request)
            await until(has_received(nodes[0], received + 1))
            await turns(5)  # an answer is sent before the next datagram is read
            assert spoofed.bytes_in - before <= dht_limits.AMPLIFICATION * len(request), request[
                18:30
            ]
        assert all(size <= limits.MAX_DATAGRAM for _, size in spoofed.arrived._queue)  # type: ignore[attr-defined]
        assert not spoofed.heard  # nobody pinged it either


async def test_a_proven_address_gets_full_answers_and_a_forged_token_nothing_more() -> None:
    async with mesh_of(2) as nodes, stranger(nodes[0].mesh) as asker:
        key = service_key(nodes[0].mesh, "stt", "cpu")
        for number in range(9):
            who = Identity(number.to_bytes(32, "big"))
            await nodes[0].publish(record_of(who, nodes[0].mesh))
        token = await asker.token(nodes[0].port)
        proven = await asker.ask(nodes[0].port, "find", [key, 9, 0], token=token)
        forged = await asker.ask(nodes[0].port, "find", [key, 9, 0], token=b"x" * 8)
        assert len(proven["r"]) == 3 and "r" not in forged


async def test_a_store_flood_leaves_memory_flat() -> None:
    async with besieged() as (node, other, enemy):
        token = await enemy.token(node.port)
        state = node._state
        state.proven_rates.each = 0.0
        state.store._per_key, state.store._in_all = 64, 500
        mesh = node.mesh
        flood = []
        for number in range(1_500):
            who = Identity(number.to_bytes(32, "big"))
            record = record_of(who, mesh, kind=f"kind{number % 20}")
            flood.append(
                enemy.request("store", [keys_of(record)[0], 0, 0, [record.encoded]], token=token)
            )
        for number, request in enumerate(flood):
            enemy.send(node.port, request)
            if number % 50 == 0:
                await until(has_received(node, number))
        await until(lambda: node.stats()["received"] >= len(flood))
        assert len(state.store) <= 500
        assert state.dropped["record full"] > 400
        await works(node, other)


def mutations(rng: random.Random, valid: list[bytes], count: int) -> list[bytes]:
    """Four of five are valid messages with something changed; the rest is noise."""
    some = []
    for number in range(count):
        if number % 5 == 4:
            some.append(rng.randbytes(rng.randrange(1, 300)))
            continue
        data = bytearray(rng.choice(valid))
        for _ in range(rng.randrange(1, 4)):
            match rng.randrange(3):
                case 0:
                    data[rng.randrange(18, len(data))] = rng.randrange(256)
                case 1:
                    del data[rng.randrange(18, len(data)) :]
                    data += rng.randbytes(rng.randrange(20))
                case 2:
                    at = rng.randrange(18, len(data))
                    data[at:at] = rng.randbytes(rng.randrange(1, 6))
            if len(data) < 19:
                break
        some.append(bytes(data[: limits.MAX_DATAGRAM + 5]))
    return some


@pytest.mark.parametrize(
    "count", [5_000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(300)])]
)
async def test_a_flood_of_mutated_messages_stops_nothing(count: int) -> None:
    rng = random.Random(7)
    async with besieged() as (node, other, enemy):
        node._state.rates.each = node._state.proven_rates.each = 0.0  # every one is to be read
        token = await enemy.token(node.port)
        record = record_of(enemy.identity, node.mesh, models=("a", "b"), languages=("de",))
        key = keys_of(record)[0]
        valid = [
            enemy.request("find", [key, 9, -1], size=480),
            enemy.request("find", [key, 9, -1, NONCE + SOMEWHERE], size=480),
            enemy.request("find", [key, 9, 3], token=token),
            enemy.request("ping", [NONCE, SOMEWHERE], size=128),
            enemy.request("store", [key, 0, 0, [record.encoded]], token=token),
            enemy.request("store", [key, 1, 0, [record.encoded]], token=token),
            enemy.request("dial", [SOMEWHERE, 80, NONCE], token=token),
            enemy.request("dial_request", [SOMEWHERE, 80, NONCE], token=token),
            enemy.request("probe", [NONCE]),
            wire.frame(node.mesh, wire.ANSWER, b"m" * 8, {"t": b"t" * 8, "n": b"x" * 52}),
        ]
        enemy.answers.clear()
        warm = mutations(rng, valid, 1_000)
        for data in warm:
            enemy.send(node.port, data)
        await until(lambda: node.stats()["received"] > 500)
        grown = psutil.Process().memory_info().rss
        during: list[asyncio.Task[Any]] = []
        began = node.stats()["received"]
        for number, data in enumerate(mutations(rng, valid, count)):
            enemy.send(node.port, data)
            for _ in range(500):  # not faster than the node reads: else the kernel drops them
                if number % 50 or node.stats()["received"] - began >= number:
                    break
                await asyncio.sleep(0)
            if number == count // 2:
                during.append(asyncio.create_task(works(node, other)))
        await asyncio.gather(*during)
        await works(node, other)
        assert psutil.Process().memory_info().rss - grown < 64 << 20
        assert Counter(node.stats()["dropped"]).total() > count // 2
