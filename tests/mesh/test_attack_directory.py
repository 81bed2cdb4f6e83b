"""Attacks on the directory, each against live nodes at global addresses (`public_kit`).

Every test does what an attacker did, prints what came of it (`-s` shows it), and bounds that. Small
counts by default, the full ones under the `soak` marker; docs/weaknesses.md has the figures.
"""

import asyncio
import contextlib
import random
import time
from typing import Any

import pytest
from dht_kit import mesh_of, node_of, page_of, record_of
from kit import HOST, until
from public_kit import Internet, Passerby, PublicNode, announce, internet

from privox_dht import limits
from privox_dht.addresses import pack_address
from privox_dht.dht import answer_codec, dht_limits
from privox_dht.directory.https_client import DirectoryClient
from privox_dht.identity import Identity
from privox_dht.records import Direct, Record, keys_of, service_key

soak = [pytest.mark.soak, pytest.mark.timeout(600)]
HOUSEHOLD = "66.6.6.6"
HELD_LONG = 2.0  # times a look-up may take what it takes in peace ...
HELD_MORE = 2.0  # ... and seconds beside that


def measured(what: str, value: object) -> None:
    """A figure for the table in docs/weaknesses.md."""
    print(f"\nmeasured: {what}: {value}")


def contact(node_id: bytes, ip: str, port: int) -> bytes:
    return node_id + pack_address(ip, port)


async def joined(net: Internet, node: PublicNode, *others: Passerby) -> None:
    """Let strangers be known to a node."""
    await node.join([(other.ip, other.port) for other in others])


def unhurried(node: PublicNode) -> None:
    """The attacker has had all the time that it needs to stay below the rates."""
    state = node._state
    for rates in (state.rates, getattr(state, "proven_rates", state.rates)):
        rates.each = 0.0


async def silent(node: PublicNode) -> None:
    """Nothing that this node asked is on its way any more."""
    await until(lambda: not any(p.busy for p in node._network.protocols.values()), 10.0)


# -- look-ups that reflect -------------------------------------------------------------------------


@pytest.mark.parametrize("lookups", [4, pytest.param(40, marks=soak)], ids=["quick", "full"])
@pytest.mark.parametrize("named", [1, 20])
@pytest.mark.parametrize("spread", ["one address", "one network", "many networks"])
async def test_a_lookup_sends_strangers_at_most_five_times_what_named_them(
    spread: str, named: int, lookups: int
) -> None:
    """Whoever is asked may name any address as that of a closer node. It is asked once or twice,
    and what is sent there in vain is bounded by what the answer that named it weighed."""
    rng = random.Random(5)
    victims = {
        "one address": [("77.7.7.7", port) for port in range(1000, 1020)],
        "one network": [(f"77.7.7.{last}", 53) for last in range(1, 21)],
        "many networks": [(f"77.7.{last}.7", 53) for last in range(1, 21)],
    }[spread]
    async with internet() as net:
        nodes = await net.mesh(3)
        liar = await net.stranger(nodes[0].mesh, HOUSEHOLD)

        def point(arguments: list[Any], addr: Any) -> Any:
            some = rng.sample(victims, named)
            near = (arguments[0][:10] + rng.randbytes(10) for _ in some)
            return {
                "t": b"t" * 8,
                "n": b"".join(contact(i, *a) for i, a in zip(near, some, strict=True)),
            }

        liar.answers["find"] = point
        await joined(net, nodes[1], liar)
        await silent(nodes[1])
        net.bytes_to.clear()
        before = liar.bytes_out
        finds = (nodes[1].find(f"service{n}", "cpu", fresh=True) for n in range(lookups))
        await asyncio.gather(*finds)
        for number in range(lookups):
            await announce(nodes[1], Identity.generate(), kind=f"other{number}")
        await silent(nodes[1])
        hit = sum(count for ip, count in net.bytes_to.items() if ip.startswith("77.7."))
        ratio = hit / (liar.bytes_out - before)
        measured(f"bytes at {spread} for each of the attacker's, {named} named", round(ratio, 1))
        assert any(body[0] == "find" for body, _ in liar.heard)
        assert ratio <= 5


# -- who hides the producers of a key --------------------------------------------------------------


async def place(liar: Passerby, node: PublicNode, records: list[Record], depth: int = 0) -> None:
    """Put records at a node, three a datagram, no faster than it reads them."""
    token = await liar.ask(node.address, "find", [bytes(20), 0, -1])
    for at in range(0, len(records), 3):
        some = records[at : at + 3]
        put = [keys_of(some[0])[0], depth, 0, [record.encoded for record in some]]
        answer = await liar.ask(node.address, "store", put, token=token["t"])
        assert len(answer["s"]) == len(some)


def crowd(mesh: bytes, keys: int, engines: int, *, routes: bool = False) -> list[Record]:
    """Records of producers that nobody needs, which claim to be the fastest; with routes each
    claims a port of the household."""
    made = []
    for number in range(keys):
        who = Identity(b"crowd" + number.to_bytes(27, "big"))
        more = {"routes": (Direct(HOUSEHOLD, 2000 + number),)} if routes else {}
        made += [
            record_of(who, mesh, engine=f"e{engine}", idle=2, speed=190.0, **more)
            for engine in range(engines)
        ]
    random.Random(1).shuffle(made)
    return made


@pytest.mark.parametrize(
    ("keys", "engines"), [(80, 11), pytest.param(256, 16, marks=soak)], ids=["quick", "full"]
)
async def test_one_address_cannot_hide_the_producers_of_a_key(keys: int, engines: int) -> None:
    """One address offers hundreds, or thousands, of records to every node. Whoever looks afterwards
    finds all who are honest, in the first thirty-two."""
    async with internet() as net:
        nodes = await net.mesh(10)
        for node in nodes:
            unhurried(node)
        honest = [await announce(node, node.identity) for node in nodes[:6]]
        liar = await net.stranger(nodes[0].mesh, HOUSEHOLD)
        flood = crowd(nodes[0].mesh, keys, engines)
        await asyncio.gather(*(place(liar, node, flood) for node in nodes[:1]))
        for node in nodes[1:]:
            await place(liar, node, flood)
        found = []
        for number in range(20):
            client = await net.node(f"30.0.{number}.1", neighbour=nodes[9].address, guest=True)
            some = await client.find("stt", "cpu", fresh=True)
            found.append(len({r.publisher for r in some} & {r.publisher for r in honest}))
        key = keys_of(honest[0])[0]
        measured("of six honest producers found, in twenty look-ups", found)
        measured("records of one address under one key", nodes[0]._state.store.count(key) - 6)
        assert min(found) == 6
        assert not any(node._state.store.is_split(key) for node in nodes)


async def test_one_ipv6_household_gets_a_bounded_share_of_a_node() -> None:
    """A provider gives a home a /56, which is 256 networks of /64: they count as one home."""
    async with internet() as net:
        node = await net.node("20.0.0.7", "2a01:1:1:1::1")
        node._state.private = False
        mesh, there = node.mesh, ("2a01:1:1:1::1", node.port)
        unhurried(node)
        who = [Identity(bytes([number]) * 32) for number in range(5)]
        for number in range(12):
            liar = await net.stranger(mesh, f"2a02:8:8:{number + 1:x}::1")
            token = await liar.ask(there, "find", [bytes(20), 0, -1])
            for at in range(250):
                kind = f"kind{number}.{at}"
                wires = [record_of(one, mesh, kind=kind).encoded for one in who[:3]]
                key = service_key(mesh, kind, "cpu")
                await liar.ask(there, "store", [key, 0, 0, wires], token=token["t"])
        held = len(node._state.store)
        measured("records that twelve /64 of one /56 placed, of 9,000", held)
        assert held <= 2_048
        honest = await net.stranger(mesh, "2a03:8:8:1::1")
        token = await honest.ask(there, "find", [bytes(20), 0, -1])
        put = [keys_of(record_of(who[4], mesh))[0], 0, 0, [record_of(who[4], mesh).encoded]]
        assert (await honest.ask(there, "store", put, token=token["t"]))["s"] == [answer_codec.HELD]


# -- a lie of "full" -------------------------------------------------------------------------------


async def liars_beside(net: Internet, nodes: list[PublicNode], count: int) -> list[Passerby]:
    """Strangers whom everybody knows, the closest to a key there are, who say of every key that it
    is full, and then no more."""
    key = int.from_bytes(service_key(nodes[0].mesh, "stt", "cpu")[:2], "big")
    liars = []
    for number in range(count):
        who = Identity.generate()
        while (int.from_bytes(who.dht_id[:2], "big") ^ key) >> 8:  # 256 keys cost nothing
            who = Identity.generate()
        liar = await net.stranger(nodes[0].mesh, f"66.6.{number}.6", who)
        routes = (Direct(liar.ip, 2000),)
        record = record_of(liar.identity, nodes[0].mesh, idle=2, speed=190.0, routes=routes)

        def full(arguments: list[Any], addr: Any, wire: bytes = record.encoded) -> Any:
            if arguments[2] >= 0:
                return None  # who asks for a page waits for ever
            return {"t": b"t" * 8, "r": [wire], "c": 1_000, "i": 1_000, "f": True}

        liar.answers["find"] = full
        liar.answers["store"] = lambda a, addr: {"t": b"t" * 8, "s": [answer_codec.FULL], "f": True}
        liars.append(liar)
    for node in nodes:
        await joined(net, node, *liars)
    return liars


@pytest.mark.quiet
@pytest.mark.parametrize("want", [limits.FIND_WANT, limits.LIST_WANT])
async def test_three_liars_who_say_that_a_key_is_full_hold_no_lookup_up(want: int) -> None:
    async with internet() as net:
        nodes = await net.mesh(10)
        honest = [await announce(node, node.identity) for node in nodes[:3]]
        client = await net.node("30.0.0.1", neighbour=nodes[9].address, guest=True)
        began = time.monotonic()
        assert len(await client.find("stt", "cpu", want=want, fresh=True)) == 3
        quiet = time.monotonic() - began
        liars = await liars_beside(net, nodes, 3)
        client = await net.node("30.0.1.1", neighbour=nodes[9].address, guest=True)
        await joined(net, client, *liars)
        before, began = client.stats()["sent"], time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(25):
                found = await client.find("stt", "cpu", want=want, fresh=True)
        took = time.monotonic() - began
        measured(f"seconds of a look-up for {want} beside three liars", round(took, 2))
        measured("datagrams it sent", client.stats()["sent"] - before)
        assert {record.publisher for record in honest} <= {record.publisher for record in found}
        assert took <= HELD_LONG * quiet + HELD_MORE
        assert client.stats()["sent"] - before < dht_limits.LOOKUP_REQUESTS + want


async def test_a_lie_of_full_does_not_make_publishers_announce_to_shards() -> None:
    async with internet() as net:
        nodes = await net.mesh(10)
        liars = await liars_beside(net, nodes, 3)
        for liar in liars:
            liar.heard.clear()
        await announce(nodes[0], nodes[0].identity)
        shards = [body[4] for liar in liars for body, _ in liar.heard if body[0] == "store"]
        measured("puts to shards that three liars drew", sum(depth > 0 for _, depth, *_ in shards))
        assert not any(depth for _, depth, *_ in shards)


async def test_what_is_looked_up_for_an_asker_ends_when_it_leaves() -> None:
    """One request over HTTPS, given up after a moment, had a node send tens of thousands of
    datagrams for a minute."""
    async with internet() as net:
        nodes = await net.mesh(10)
        await announce(nodes[1], nodes[1].identity)
        await liars_beside(net, nodes, 3)
        key = service_key(nodes[0].mesh, "stt", "cpu")
        async with page_of(nodes[0]) as page, DirectoryClient() as client:
            before = nodes[0].stats()["lookups"]
            asking = asyncio.create_task(client.records((HOST, page.port), key, 256))
            await until(lambda: nodes[0].stats()["lookups"] > before)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await until(lambda: not nodes[0]._lookups._waiting)
        before = nodes[0].stats()["sent"]
        await asyncio.sleep(3.0)  # nothing is to happen: there is nothing to wait for
        after = nodes[0].stats()["sent"] - before
        measured("datagrams sent in three seconds for somebody who had left", after)
        assert after < 40


# -- spoofed junk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1.5, pytest.param(60.0, marks=soak)], ids=["quick", "full"])
async def test_junk_in_a_producers_name_does_not_mute_it(seconds: float) -> None:
    """A thousand datagrams a second reach each of six nodes, with the producer's address on them
    (here: from another port of it, which counts for the same)."""
    async with internet() as net:
        nodes = await net.mesh(6)
        producer = await net.node("50.0.0.1", neighbour=nodes[0].address)
        spoofed = await net.stranger(nodes[0].mesh, "50.0.0.1")
        junk = spoofed.request("find", [bytes(20), 0, -1], size=90)
        held: list[int] = []
        began = time.monotonic()

        async def flood() -> None:
            while True:
                for _ in range(10):
                    for node in nodes:
                        spoofed.send(node.address, junk)
                await asyncio.sleep(0.01)

        flooding = asyncio.create_task(flood())
        await until(lambda: nodes[5].stats()["dropped"]["rate"] > 50, 10)
        while not held or time.monotonic() - began < seconds:
            record = record_of(producer.identity, producer.mesh)
            held.append(await producer.publish(record))
            holders = [n for n in nodes if n._state.store.count(keys_of(record)[0])]
            await asyncio.sleep(min(45.0, seconds / 3))
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        measured("of six nodes hold the announcement, each time", held)
        assert min(held) >= 6 and len(holders) == 6


# -- a mesh that grows -----------------------------------------------------------------------------


@pytest.mark.quiet
@pytest.mark.parametrize("at_once", [1, 8], ids=["one by one", "eight at a time"])
async def test_producers_that_came_while_the_mesh_grew_are_listed_within_seconds(
    at_once: int,
) -> None:
    """Each left its record with those who were the closest when it came. Who came later and stands
    closer is given it, not told of it at its next announcement."""
    async with mesh_of(4) as nodes, contextlib.AsyncExitStack() as stack:

        async def come(number: int) -> bytes:
            node = await stack.enter_async_context(node_of())
            await node.join([(HOST, nodes[number % 4].port)])
            record = record_of(node.identity, node.mesh)
            await node.publish(record)
            return record.publisher

        honest: set[bytes] = set()
        for first in range(0, 56, at_once):
            honest |= set(await asyncio.gather(*map(come, range(first, first + at_once))))
        grown = time.monotonic()
        missing = [0]
        seen = 0
        while seen < 5:
            client = await stack.enter_async_context(node_of(guest=True))
            await client.join([(HOST, nodes[len(missing) % 4].port)])
            found = await client.find("stt", "cpu", want=limits.LIST_WANT, fresh=True)
            missing.append(len(honest - {record.publisher for record in found}))
            seen = 0 if missing[-1] else seen + 1
            if seen == 1:
                took = time.monotonic() - grown
            if time.monotonic() - grown > 10.0:
                break
            await asyncio.sleep(0.2)
        measured("of 56 producers are missing, each 0.2 s", missing[1:])
        assert seen == 5
        measured("seconds until newcomers are shown all", round(took, 2))
        assert took <= 5.0
