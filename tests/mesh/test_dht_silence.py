"""On real sockets: nobody answers, and nobody else's answer says whose network is gone."""

import asyncio
import time
from typing import Any

import pytest
from dht_kit import mesh_of, node_of, record_of, stranger
from kit import HOST, until

from privox_dht.dht import DhtNode, dht_limits


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_limits, "REFRESH_EVERY", 0.5)
    monkeypatch.setattr(dht_limits, "SILENT_FOR", 3.0)


async def looked(node: DhtNode) -> float:
    """Seconds that a find of what nobody has takes."""
    began = time.monotonic()
    assert await node.find("tts", "gpu", fresh=True) == []
    return time.monotonic() - began


async def test_the_one_who_is_left_of_two_soon_waits_for_the_other_no_more() -> None:
    async with mesh_of(2) as (one, other):
        port, identity = other.port, other.identity
        await until(lambda: (HOST, port) in one.contacts())
        await other.__aexit__(None, None, None)
        assert await looked(one) > dht_limits.HARD_TIMEOUT  # it may be a moment's trouble
        assert await looked(one) < dht_limits.HARD_TIMEOUT
        async with stranger(one.mesh) as asker:
            answer = await asker.ask(one.port, "find", [bytes(20), 0, -1])
            assert "n" not in answer  # it is told of to nobody
        async with node_of(guest=True) as client:
            await client.join([(HOST, one.port)])
            assert await looked(client) < dht_limits.HARD_TIMEOUT
        assert one.contacts() == [(HOST, port)]  # it may be our own network: it is kept
        async with node_of(port=port, identity=identity) as again:
            await until(lambda: (HOST, one.port) in again.contacts())  # it was pinged
            record = record_of(identity, again.mesh)
            assert await again.publish(record) == 2
            assert await one.find("stt", "cpu") == [record]


async def test_a_node_whose_own_network_goes_away_keeps_everybody_and_is_back_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(*_: Any) -> None: ...

    async with mesh_of(4) as nodes:
        *others, away = nodes
        known = {(HOST, node.port) for node in others}
        await until(lambda: set(away.contacts()) == known)
        record = record_of(others[0].identity, away.mesh)
        with monkeypatch.context() as gone:
            for protocol in away._network.protocols.values():
                gone.setattr(protocol, "_send", nothing)
                gone.setattr(protocol, "datagram_received", nothing)
            await looked(away)
            asked = away.stats()["unanswered"]
            await until(lambda: away.stats()["unanswered"] > asked + 4 * len(known))
            assert await looked(away) < dht_limits.HARD_TIMEOUT
            assert set(away.contacts()) == known
            await others[0].publish(record)
        assert await away.find("stt", "cpu") == [record]
        await until(lambda: not any(contact.failures for contact in away._network.contacts()))
        assert set(away.contacts()) == known
        await asyncio.gather(*(node.publish(record) for node in nodes))
        assert await away.find("stt", "cpu", fresh=True) == [record]
