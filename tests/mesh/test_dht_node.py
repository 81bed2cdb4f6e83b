"""Nodes on real UDP sockets: joining, publishing, finding, withdrawing, being a guest."""

import asyncio
import contextlib
import gc
import socket
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from dht_kit import Stranger, mesh_of, node_of, open_node_of, record_of, stranger
from kit import HOST, until

from privox_dht import limits
from privox_dht.addresses import pack_address
from privox_dht.dht import DhtNode, answer_codec, dht_limits, request_codec, wire
from privox_dht.dht.contact import Contact
from privox_dht.dht.iterative_lookup import IterativeLookup
from privox_dht.errors import ConfigError, NotJoined
from privox_dht.identity import Identity
from privox_dht.records import FARM, Record


@pytest.fixture
def silent_ports() -> Iterator[list[int]]:
    """Two UDP ports at which nobody answers, and that no other test gets meanwhile."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(2):
            bound = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            bound.bind((HOST, 0))
            ports.append(int(bound.getsockname()[1]))
        yield ports


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_what_one_publishes_another_finds() -> None:
    async with mesh_of(5) as nodes, node_of(guest=True) as client:
        record = record_of(nodes[1].identity, client.mesh, languages=("de",), models=("small",))
        assert await nodes[1].publish(record) == 5
        await client.join([(HOST, nodes[0].port)])
        assert await client.find("stt", "cpu") == [record]
        assert await client.find("stt") == [record]
        assert await client.find("stt", "cpu", "language=de") == [record]
        assert await client.find("stt", "cpu", "model=small") == [record]
        assert await client.find("stt", "cpu", "language=fr") == []
        assert await client.find("tts", "cpu") == []


async def test_a_lone_node_serves_what_it_publishes_itself() -> None:
    async with node_of() as first, node_of(guest=True) as client:
        record = record_of(first.identity, first.mesh)
        assert await first.join([]) == 0
        assert await first.publish(record) == 1
        assert await first.find("stt", "cpu") == [record]
        await client.join([(HOST, first.port)])
        assert await client.find("stt", "cpu") == [record]


async def test_a_lookup_that_ended_is_freed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that something it holds refers to waits for the collector, with all its candidates: a
    node at rest once took five kilobytes more for that."""
    made: list[weakref.ref[IterativeLookup]] = []
    really = IterativeLookup.__init__

    def noted(lookup: IterativeLookup, *arguments: Any, **options: Any) -> None:
        really(lookup, *arguments, **options)
        made.append(weakref.ref(lookup))

    monkeypatch.setattr(IterativeLookup, "__init__", noted)
    gc.disable()
    try:
        async with mesh_of(4) as nodes:
            await nodes[0].publish(record_of(nodes[0].identity, nodes[0].mesh))
            await nodes[3].find("stt", "cpu")
            await until(lambda: made and not any(one() for one in made), 10.0)
    finally:
        gc.enable()


async def test_two_engines_of_one_publisher_are_both_found() -> None:
    async with mesh_of(3) as nodes:
        one, two = (record_of(nodes[0].identity, nodes[0].mesh, engine=name) for name in "ab")
        await nodes[0].publish(one)
        await nodes[0].publish(two)
        found = await nodes[2].find("stt", "cpu")
        assert sorted(found, key=lambda record: record.engine) == [one, two]


async def test_many_producers_under_one_key_are_found_idle_first() -> None:
    async with mesh_of(4) as nodes, node_of(guest=True) as client:
        for number in range(60):
            who = Identity(number.to_bytes(32, "big"))
            await nodes[number % 4].publish(record_of(who, client.mesh, idle=number % 2))
        await client.join([(HOST, nodes[0].port)])
        some = await client.find("stt", "cpu", want=16)
        assert len(some) == 16 and all(record.idle for record in some)
        everybody = await client.find("stt", "cpu", want=200)
        assert len(everybody) == 60
        assert [record.idle for record in everybody] == [1] * 30 + [0] * 30


async def test_of_more_than_were_wanted_the_idle_are_kept_whatever_was_found_first() -> None:
    async with node_of() as node:
        records = [
            record_of(Identity(bytes([number]) * 32), node.mesh, idle=number % 2)
            for number in range(8)
        ]

        async def busy_first(key: bytes, want: int) -> list[Record]:
            return sorted(records, key=lambda record: record.idle)

        node._lookups.fallback_lookup = busy_first
        found = await node.find("stt", "cpu", want=4)
        assert [record.idle for record in found] == [1] * 4


async def test_the_newest_word_of_a_producer_is_the_one_that_is_found() -> None:
    async with mesh_of(4) as nodes:
        for idle in (1, 0, 2):
            last = record_of(nodes[1].identity, nodes[0].mesh, idle=idle)
            await nodes[1].publish(last)
        assert await nodes[3].find("stt", "cpu") == [last]


async def test_a_withdrawn_record_is_found_by_nobody_and_cannot_be_replayed() -> None:
    async with mesh_of(4) as nodes, node_of(guest=True) as client:
        await client.join([(HOST, nodes[0].port)])
        live = record_of(nodes[1].identity, client.mesh)
        await nodes[1].publish(live)
        assert await client.find("stt", "cpu") == [live]
        gone = record_of(nodes[1].identity, client.mesh, withdrawn=True)
        assert await nodes[1].publish(gone) == 4
        assert await client.find("stt", "cpu", fresh=True) == []
        assert await client.find("stt", "cpu") == []
        assert await client.publish(live) == 0  # anybody may try to store it again
        assert await nodes[2].find("stt", "cpu", fresh=True) == []


async def test_a_second_find_does_not_wait_for_the_mesh() -> None:
    async with mesh_of(3) as nodes, node_of(guest=True) as client:
        await client.join([(HOST, nodes[0].port)])
        record = record_of(nodes[0].identity, client.mesh)
        await nodes[0].publish(record)
        await client.find("stt", "cpu")
        asked = client.stats()["asked"]
        assert await client.find("stt", "cpu") == [record]
        assert client.stats()["asked"] == asked and client.stats()["cache_hits"] == 1


async def test_finds_at_the_same_time_share_one_walk() -> None:
    async with mesh_of(6) as nodes, node_of(guest=True) as client:
        await client.join([(HOST, nodes[0].port)])
        await nodes[0].publish(record_of(nodes[0].identity, client.mesh))
        await client.find("tts", "cpu")
        alone = client._lookups.last_requests
        asked = client.stats()["asked"]
        found = await asyncio.gather(*(client.find("stt", "cpu") for _ in range(20)))
        assert all(len(records) == 1 for records in found)
        assert client.stats()["asked"] - asked <= 2 * alone


async def test_a_farm_is_found_by_its_key_and_among_all_farms() -> None:
    async with mesh_of(3) as nodes:
        farm = record_of(nodes[0].identity, nodes[0].mesh, kind=FARM, engine="", terms={"p": 5})
        await nodes[0].publish(farm)
        assert await nodes[2].find_farm(nodes[0].identity.public) == farm
        assert await nodes[2].find_farm(nodes[1].identity.public) is None
        assert await nodes[2].find(FARM) == [farm]


async def test_meshes_of_different_names_never_mix() -> None:
    async with node_of(network="one") as one, node_of(network="two") as two:
        with pytest.raises(NotJoined):
            await two.join([(HOST, one.port)], timeout=0.3)
        assert one.stats()["dropped"]["mesh"] > 0


async def test_some_neighbours_may_be_dead_or_have_no_address(silent_ports: list[int]) -> None:
    one, other = silent_ports
    async with mesh_of(2) as nodes, node_of() as late:
        began = time.monotonic()
        dead = [(HOST, one), ("no-such-host.invalid", 5678), ("localhost", other)]
        assert await late.join([*dead, ("localhost", nodes[0].port)]) >= 1
        assert time.monotonic() - began < 5


async def test_nobody_answering_is_said_with_who_was_tried(silent_ports: list[int]) -> None:
    port, _ = silent_ports
    async with node_of() as alone:
        began = time.monotonic()
        with pytest.raises(
            NotJoined, match=f"127.0.0.1:{port}: no answer.*invalid:9: no such name"
        ):
            await alone.join([(HOST, port), ("no.such.host.invalid", 9)], timeout=0.5)
        assert 0.4 < time.monotonic() - began < 2


async def test_joining_ourselves_is_joining_nobody() -> None:
    async with node_of() as alone:
        with pytest.raises(NotJoined):
            await alone.join([(HOST, alone.port)], timeout=0.3)
        assert alone.contacts() == [] and alone.stats()["dropped"]["self"] >= 1


async def test_guests_are_remembered_by_nobody() -> None:
    async with mesh_of(3) as nodes, node_of(guest=True) as client:
        await client.join([(HOST, nodes[0].port)])
        for service in ("stt", "tts"):
            await client.find(service, fresh=True)
        await nodes[0].publish(record_of(nodes[0].identity, client.mesh))
        await client.find("stt", fresh=True)
        assert all((HOST, client.port) not in node.contacts() for node in nodes)
        assert len(client.contacts()) == 3


async def test_a_node_that_stops_being_a_guest_is_remembered() -> None:
    async with mesh_of(3) as nodes, node_of(guest=True) as late:
        await late.join([(HOST, nodes[0].port)])
        late.guest = False
        await until(lambda: all((HOST, late.port) in node.contacts() for node in nodes))


async def test_a_guest_can_publish() -> None:
    async with mesh_of(3) as nodes, node_of(guest=True) as behind_nat:
        await behind_nat.join([(HOST, nodes[0].port)])
        record = record_of(behind_nat.identity, behind_nat.mesh)
        assert await behind_nat.publish(record) == 3
        assert await nodes[2].find("stt", "cpu") == [record]


async def test_neighbours_tell_us_our_address_and_the_time() -> None:
    async with mesh_of(4) as nodes, node_of() as node:
        await node.join([(HOST, each.port) for each in nodes])
        assert node.observed() == [(HOST, node.port)]
        offset = node.clock_offset()
        assert offset is not None and abs(offset) < 1
    async with mesh_of(1) as nodes, node_of(clock=lambda: time.time() - 100) as late:
        assert late.clock_offset() is None
        await late.join([(HOST, nodes[0].port)])
        offset = late.clock_offset()
        assert offset is not None and 99 < offset < 101


@pytest.mark.quiet
async def test_a_vanished_node_that_was_asked_once_is_told_of_no_more_and_soon_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every node has asked it: one that has not would tell of it, and a look-up would then wait
    for it as long as the soft timeout is."""
    monkeypatch.setattr(dht_limits, "REFRESH_EVERY", 0.5)
    async with mesh_of(4) as nodes:
        vanished = nodes.pop()
        there = (HOST, vanished.port)
        await until(lambda: all(there in node.contacts() for node in nodes))
        await vanished.__aexit__(None, None, None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(there)
            silent.setblocking(False)
            records = [record_of(node.identity, node.mesh) for node in nodes]
            publishing = (node.publish(record) for node, record in zip(nodes, records, strict=True))
            assert await asyncio.gather(*publishing) == [3, 3, 3]
            await until(lambda: all(node.stats()["unanswered"] for node in nodes))
            for node in nodes:
                assert there in node.contacts()  # once is no proof: it may have been the network
            async with node_of(guest=True) as client:
                await client.join([(HOST, nodes[0].port)])
                began = time.monotonic()
                assert await client.find("tts", "gpu") == []
                assert time.monotonic() - began < 0.4
                asked_by = heard_by(silent)
                assert asked_by >= {node.port for node in nodes}
                assert client.port not in asked_by  # nobody told of it
        await until(lambda: all(there not in node.contacts() for node in nodes))


def heard_by(sock: socket.socket) -> set[int]:
    """The ports from which a socket was sent anything so far."""
    ports: set[int] = set()
    while True:
        try:
            ports.add(sock.recvfrom(limits.MAX_DATAGRAM)[1][1])
        except BlockingIOError:
            return ports


async def test_nothing_is_left_of_a_node_that_left() -> None:
    tasks = len(asyncio.all_tasks())
    async with mesh_of(3) as nodes:
        port = nodes[1].port
        busy = asyncio.create_task(nodes[0].find("stt"))
        await busy
    assert len(asyncio.all_tasks()) == tasks
    async with node_of(port=port) as again:
        assert again.port == port


async def test_a_port_in_use_is_our_owners_mistake() -> None:
    async with node_of() as node:
        with pytest.raises(ConfigError, match=str(node.port)):
            async with node_of(port=node.port):
                pass


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_a_mesh_of_both_families_is_one_mesh() -> None:
    async with node_of(host=None) as both, node_of(host="::1") as six, node_of() as four:
        await six.join([("::1", both.port)])
        await four.join([(HOST, both.port)])
        record = record_of(six.identity, six.mesh)
        assert await six.publish(record) == 2
        assert await four.find("stt", "cpu") == [record]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_ipv6_nodes_alone_are_a_mesh() -> None:
    async with mesh_of(1, host="::1") as nodes, node_of(host="::1") as other:
        await other.join([("::1", nodes[0].port)])
        record = record_of(other.identity, other.mesh)
        await other.publish(record)
        assert await nodes[0].find("stt", "cpu") == [record]


async def test_third_nodes_tell_whether_we_can_be_reached() -> None:
    async with mesh_of(4) as nodes, open_node_of(guest=True) as asker:
        await asker.join([(HOST, nodes[0].port)])
        (reach,) = await asker.dial_back(asker.port)
        assert (reach.udp, reach.tcp, reach.witnesses) == (True, True, 2)
        assert reach.addresses == ((HOST, asker.port),)


async def test_a_dial_back_that_is_asked_for_again_is_the_same_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where every third datagram was lost, so was half of what was asked for and answered: a lender
    was not published within half a minute, since nobody could say whether it is reached."""
    monkeypatch.setattr(dht_limits, "DIAL_RESEND", (0.05, 0.1))
    async with mesh_of(1) as nodes, open_node_of(guest=True) as asker:
        await asker.join([(HOST, nodes[0].port)])
        dial_back, requests = nodes[0]._dial_back, list[Any]()
        dial, tried = dial_back.dial, list[Any]()
        attempt, asked_again = dial_back.server._try, asyncio.Event()

        def note(request: Any, address: tuple[str, int]) -> Any:
            requests.append(dial(request, address))
            if len(requests) == 2:
                asked_again.set()
            return requests[-1]

        async def slow(*arguments: Any) -> Any:
            tried.append(arguments)
            await asked_again.wait()
            return await attempt(*arguments)

        monkeypatch.setattr(dial_back, "dial", note)
        monkeypatch.setattr(dial_back.server, "_try", slow)
        (reach,) = await asker.dial_back(asker.port)
        assert reach.is_open and len(tried) == 1
        assert requests[0] is requests[1]


async def test_a_closed_tcp_port_is_told_as_such() -> None:
    async with mesh_of(4) as nodes, node_of(guest=True) as asker:
        await asker.join([(HOST, nodes[0].port)])
        (reach,) = await asker.dial_back(asker.port)
        assert (reach.udp, reach.tcp) == (True, False)


async def test_one_witness_dials_by_itself_from_a_port_that_we_never_spoke_to() -> None:
    """A mesh with one public machine has no third node, and never began."""
    async with mesh_of(1) as nodes, open_node_of(guest=True) as asker:
        await asker.join([(HOST, nodes[0].port)])
        spoken_to = asker._state.has_contacted
        heard: list[bool] = []
        protocol = next(iter(asker._network.protocols.values()))
        passed = protocol.datagram_received

        def note(data: bytes, addr: tuple[str, int]) -> None:
            heard.append(spoken_to(addr))
            passed(data, addr)

        protocol.datagram_received = note  # type: ignore[method-assign]
        (reach,) = await asker.dial_back(asker.port)
        assert (reach.udp, reach.tcp, reach.witnesses) == (True, True, 1)
        assert reach.addresses == ((HOST, asker.port),)
        assert False in heard, "the probe"


@pytest.mark.parametrize(("lie", "taken"), [("127.0.0.9", True), ("::1", False)])
async def test_a_liar_of_two_witnesses_adds_an_address_at_most_and_takes_none_away(
    monkeypatch: pytest.MonkeyPatch, lie: str, taken: bool
) -> None:
    """While the two did not agree, no address was published at all."""
    async with mesh_of(2) as nodes, open_node_of(guest=True) as asker:
        await asker.join([(HOST, node.port) for node in nodes])
        tried = nodes[1]._dial_back.server._try

        async def told(*arguments: Any) -> Any:
            return {**(await tried(*arguments) or {}), "o": pack_address(lie, 5678)}

        monkeypatch.setattr(nodes[1]._dial_back.server, "_try", told)
        (reach,) = await asker.dial_back(asker.port)
        assert reach.is_open and reach.witnesses == 2
        assert set(reach.addresses) == {(HOST, asker.port), *([(lie, 5678)] if taken else [])}
        asker.set_own_addresses([], reached=[ip for ip, _ in reach.addresses])
        assert HOST in asker.seen_by_any(), "what the honest one sees"


async def test_a_first_node_is_dialled_back_by_a_guest() -> None:
    async with open_node_of() as first, node_of(guest=True) as guest:
        told = asyncio.Event()
        first.on_new_address(told.set)
        await guest.join([(HOST, first.port)])
        await guest.dial_back(None)
        await asyncio.wait_for(told.wait(), 2.0)
        assert not first.contacts()
        (reach,) = await first.dial_back(first.port)
        assert reach.is_open and reach.addresses == ((HOST, first.port),)


async def test_nobody_is_asked_by_whom_nobody_knows() -> None:
    async with node_of() as alone:
        (reach,) = await alone.dial_back(None)
        assert (reach.udp, reach.tcp, reach.witnesses) == (None, None, 0)


async def test_no_port_is_tried_but_the_askers_own_and_the_relays() -> None:
    """With a port of its choice anybody behind a shared address could look for open ones there."""
    async with mesh_of(4) as nodes, node_of(guest=True) as asker:
        tried = asyncio.Event()
        async with await asyncio.start_server(lambda r, w: tried.set(), HOST, 0) as server:
            await asker.join([(HOST, nodes[0].port)])
            (reach,) = await asker.dial_back(server.sockets[0].getsockname()[1])
        assert (reach.udp, reach.tcp) == (True, None)
        assert not tried.is_set()


async def test_nobody_is_called_by_tcp_who_does_not_wait_for_it() -> None:
    """A helper may name any address: what is there must answer the probe first."""
    async with mesh_of(1) as nodes, stranger(nodes[0].mesh) as helper:
        await helper_known(nodes[0], helper)
        async with await asyncio.start_server(lambda r, w: w.close(), HOST, 0) as server:
            target = server.sockets[0].getsockname()[1]
            token = await helper.token(nodes[0].port)
            arguments = [pack_address(HOST, target), target, bytes(wire.NONCE)]
            answer = await helper.ask(nodes[0].port, "dial_request", arguments, token=token)
        assert answer["d"] == answer_codec.UNTRIED


async def test_somebody_elsewhere_cannot_have_our_own_machine_called() -> None:
    async with mesh_of(1) as nodes:
        dial_back = nodes[0]._dial_back
        elsewhere = ("10.1.2.3", 5678)
        protocol = next(iter(nodes[0]._network.protocols.values()))
        protocol.router.add_contact(Contact(b"x" * 20, pack_address(*elsewhere)))
        nodes[0]._state.on_loopback = True
        arguments = [pack_address(HOST, 22), 22, bytes(wire.NONCE)]
        request = request_codec.Request("dial_request", b"x" * 20, 0, b"", arguments)
        assert dial_back.dial_request(request, elsewhere) == {"u": False, "d": answer_codec.UNTRIED}


async def test_dial_backs_are_counted_by_address_and_not_by_port() -> None:
    async with mesh_of(1) as nodes:
        may = nodes[0]._dial_back.server._may_dial
        assert sum(may(("198.51.100.7", port)) for port in range(1, 100)) == dht_limits.DIAL_HELPERS


async def helper_known(node: DhtNode, helper: Stranger) -> None:
    """Make a stranger a contact."""
    helper.send(node.port, helper.request("announce", [], token=await helper.token(node.port)))
    await until(lambda: node.contacts())


async def test_a_node_that_drops_probes_hears_that_it_cannot_be_reached() -> None:
    async with mesh_of(5) as nodes, node_of(guest=True) as asker:
        await asker.join([(HOST, nodes[0].port)])
        protocol = next(iter(asker._network.protocols.values()))
        known = {(HOST, nodes[0].port)}
        passed = protocol.datagram_received

        def as_behind_a_nat(data: bytes, addr: tuple[str, int]) -> None:
            if addr in known or asker._state.has_contacted(addr):
                passed(data, addr)

        protocol.datagram_received = as_behind_a_nat  # type: ignore[method-assign]
        (reach,) = await asker.dial_back(None)
        assert reach.udp is False


async def test_nobody_dials_for_a_stranger() -> None:
    async with mesh_of(2) as nodes, stranger(nodes[0].mesh) as other:
        from privox_dht.addresses import pack_address

        token = await other.token(nodes[0].port)
        there = pack_address("127.0.0.1", 22)
        answer = await other.ask(nodes[0].port, "dial_request", [there, 22, b"n" * 16], token=token)
        assert answer == {"u": False, "d": 2}
        assert nodes[0].stats()["dropped"]["not_a_contact"] == 1


async def test_a_node_says_how_it_is() -> None:
    async with mesh_of(2) as nodes:
        assert repr(nodes[0]).startswith("<DhtNode node ") and "1 contacts" in repr(nodes[0])
        stats = nodes[0].stats()
        assert stats["contacts"] == 1 and stats["dropped"]["internal"] == 0


def test_a_node_is_made_without_a_loop() -> None:
    assert DhtNode(Identity.generate()).port == 0
