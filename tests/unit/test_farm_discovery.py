"""At which farms a producer may park: those of the mesh, narrowed down by its owner."""

from collections.abc import Sequence
from typing import Any

import pytest

from nodes.farm_discovery import farm_record, known_farms
from nodes.routes import NetworkState
from privox_dht.records import FARM, Direct, Record, Relayed, Route
from privox_dht.relay import FarmAddress, FarmLimits

HOST = "127.0.0.1"
A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


def farm(key: bytes, *routes: Route) -> Record:
    return Record(key, b"m" * 8, FARM, routes=routes)


FARMS = (farm(A, Direct(HOST, 1776)), farm(B, Direct(HOST, 1777), Relayed(C)), farm(C))


class Mesh:
    """A DHT in which these farms are found."""

    def __init__(self, *farms: Record) -> None:
        self.farms = farms

    async def find(self, kind: str, *, want: int, fresh: bool) -> Sequence[Record]:
        assert kind == FARM and fresh
        return self.farms


async def known(*chosen: tuple[str, int], allow: bool = True, **more: Any) -> list[FarmAddress]:
    mesh: Any = Mesh(*FARMS)
    return await known_farms(mesh, chosen, lambda host: allow, **more)


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ((), [A, B]),
        (((HOST, 1777),), [B]),
        ((("localhost", 1776),), [A]),
        ((("no-such-host.invalid", 1776), (HOST, 1777)), [B]),
        ((("no-such-host.invalid", 1776),), []),
        ((("no..host", 1776), ("x" * 64, 1776), (HOST, 1777)), [B]),
        (((HOST, 1),), []),
    ],
)
async def test_all_farms_of_the_mesh_are_known_or_those_at_the_chosen_addresses(
    chosen: Sequence[tuple[str, int]], found: list[bytes]
) -> None:
    assert [at.public for at in await known(*chosen)] == found


async def test_a_farm_that_is_ours_or_at_an_address_that_may_not_be_dialled_is_left_out() -> None:
    assert [at.public for at in await known(excluded=(A,))] == [B]
    assert await known(allow=False) == []


def test_a_farm_that_nobody_can_reach_announces_nothing() -> None:
    terms = FarmLimits(producers=7)
    shut = NetworkState(5678, observed=("198.51.100.7",), reachable=False, farms=(A,))
    assert farm_record(b"m" * 8, shut, 1776, terms) is None
    told = farm_record(b"m" * 8, NetworkState(5678, observed=("198.51.100.7",)), 1776, terms)
    assert told is not None
    assert told.routes == (Direct("198.51.100.7", 1776),), "the farm's port, and no job's"
    assert told.terms == terms.to_record()
