"""What a node looks up again by itself, in virtual time: what it uses, and nothing for others."""

import asyncio

import pytest

from bench.sim import virtual, worlds
from privox_dht.dht import dht_limits
from privox_dht.dht.record_search import RecordSearch
from privox_dht.records import service_key


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("for_others", "walks"), [(False, 2), (True, 1)])
def test_an_answer_is_renewed_for_the_node_that_uses_it_and_not_for_others(
    monkeypatch: pytest.MonkeyPatch, for_others: bool, walks: int
) -> None:
    """One question over HTTPS, from anybody, was two minutes of walks, one every half a minute."""
    air, world = virtual.Air(1), worlds.Ours(1)
    keys: list[bytes] = []
    find = RecordSearch.find

    async def counted(self: RecordSearch) -> object:
        keys.append(self.base)
        return await find(self)

    monkeypatch.setattr(RecordSearch, "find", counted)

    async def story() -> None:
        first = await world.start(1, [])
        one = await world.start(2, [first.ip])
        await asyncio.sleep(5.0)
        await one.publish(worlds.record_of(one, "stt"))
        if for_others:
            key = service_key(first.mesh, "stt", "cpu")
            assert len(await first.resolver.look_up("9.9.9.9", key, 8)) == 1
        else:
            assert len(await first.find("stt", "cpu")) == 1
        await asyncio.sleep(3.2 * dht_limits.REFRESH_EVERY)

    virtual.run(air, story)
    assert len(keys) == walks
