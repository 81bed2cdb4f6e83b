"""A producer at several farms: choosing, asking again, and what its owner's code may do wrong."""

import pytest
from kit import HOST, until
from relay_kit import farm_of, parkings, post, relayed, serving

from privox_dht.errors import NotJoined, ProducerLost
from privox_dht.identity import Identity
from privox_dht.relay import Farm, FarmAddress, FarmPool, relay_limits

FARMS = [Identity.generate() for _ in range(3)]


def where(farm: Farm, key: Identity) -> FarmAddress:
    return FarmAddress(key.public, HOST, farm.port)


async def test_a_producer_parks_at_two_of_three_farms_and_can_be_called_at_both() -> None:
    async with (
        serving() as served,
        farm_of(FARMS[0]) as one,
        farm_of(FARMS[1]) as two,
        farm_of(FARMS[2]) as three,
    ):
        farms = {key.public: farm for key, farm in zip(FARMS, (one, two, three), strict=True)}
        known = [where(farms[key.public], key) for key in FARMS]
        async with parkings(served, known) as some:
            assert len(some.parked_at) == 2
            for where_parked in some.parked_at:
                answer = await post(relayed(farms[where_parked.public], served, "/count"))
                assert answer["bytes"] == 4
            assert repr(some).count(" parked") == 2
        await until(lambda: not any(farm.stats()["producers"] for farm in farms.values()))


async def test_a_producer_without_farms_finds_them_when_they_can_be_found() -> None:
    answers: list[Exception | list[FarmAddress]] = [
        NotJoined("no neighbour answered"), OSError("no network"), []
    ]  # fmt: skip
    async with serving() as served, farm_of(FARMS[0]) as farm:

        async def farms() -> list[FarmAddress]:
            answer = answers.pop(0) if answers else [where(farm, FARMS[0])]
            if isinstance(answer, Exception):
                raise answer
            return answer

        some = FarmPool(
            served.identity,
            farms,
            server_context=served.context,
            connection=served.server,
            on_change=lambda _: None,
        )
        some._selector._want = 1
        async with some:
            for _ in range(3):
                with pytest.raises(ProducerLost, match="nowhere"):
                    await some.parked(0.05)
                some._selector._resume = 0.0  # as if the pause were over
                some._wake.set()
            await some.parked(5)


async def test_what_the_owner_does_wrong_on_a_change_does_not_end_the_parking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: FarmPool) -> None:
        raise RuntimeError("a mistake of the owner's")

    async with serving() as served, farm_of(FARMS[0]) as farm:
        known = [where(farm, FARMS[0])]
        async with parkings(served, known, want=1, on_change=fail):
            assert (await post(relayed(farm, served, "/count")))["bytes"] == 4
    assert "a mistake of the owner's" in caplog.text


async def test_of_two_machines_with_one_key_the_newer_is_parked_and_the_older_keeps_away() -> None:
    me = Identity.generate()
    async with serving(me) as served, farm_of(FARMS[0]) as farm:
        known = [where(farm, FARMS[0])]
        async with (
            parkings(served, known, want=1) as older,
            parkings(served, known, want=1) as newer,
        ):
            await until(lambda: older.parked_at == ())
            await until(lambda: farm.stats()["parked"] == 3)
            assert newer.parked_at == tuple(known)
            assert older._selector._not_before.keys() == {FARMS[0].public}


async def test_a_farm_that_is_back_is_parked_at_although_another_serves_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_limits, "PRODUCER_SEARCH_AGAIN", 0.05)
    async with serving() as served, farm_of(FARMS[0]) as one:
        async with farm_of(FARMS[1]) as two:
            port = two.port
            known = [where(one, FARMS[0]), where(two, FARMS[1])]
            some = parkings(served, known)
            standing = await some.__aenter__()
        try:
            await until(lambda: standing.parked_at == (known[0],))
            async with Farm(FARMS[1], host=HOST, port=port, private=True):
                await standing.parked(5, farms=2)
        finally:
            await some.__aexit__(None, None, None)


async def test_a_producer_that_found_one_farm_looks_for_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was content with the one until that was lost: two farms that come one after the other
    had all producers at the first."""
    monkeypatch.setattr(relay_limits, "PRODUCER_SEARCH_AGAIN", 0.05)
    async with serving() as served, farm_of(FARMS[0]) as one, farm_of(FARMS[1]) as two:
        known = [where(one, FARMS[0])]
        async with parkings(served, known) as some:
            known.append(where(two, FARMS[1]))
            await some.parked(5, farms=2)
