"""Which families of addresses are used, by where a packet could go. No packet is sent."""

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from privox_dht.dht import families
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.wire import FAMILY_4, FAMILY_6
from privox_dht.identity import Identity

BOTH = FAMILY_4 | FAMILY_6


def sockets(*contacts: str, flags: int = BOTH) -> Any:
    """Sockets by family, with contacts at these addresses."""
    made = {}
    for family in (FAMILY_4, FAMILY_6):
        if flags & family:
            known = [
                SimpleNamespace(ip=ip) for ip in contacts if (":" in ip) == (family == FAMILY_6)
            ]
            made[family] = SimpleNamespace(router=SimpleNamespace(contacts=lambda k=known: k))
    return made


@pytest.fixture
def ways_to(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The addresses that a packet could leave for."""
    there: set[str] = set()
    monkeypatch.setattr(families, "has_route", lambda ip: ip in there)
    return there


def test_a_family_without_a_way_out_is_not_used(ways_to: set[str]) -> None:
    ways_to.add("2001:db8::1")
    assert families.usable(sockets(), ()) == FAMILY_6


def test_a_network_without_a_way_to_everywhere_is_used_for_who_is_in_it(ways_to: set[str]) -> None:
    ways_to |= {"2001:db8::1", "192.168.1.7"}
    assert families.usable(sockets(), ["192.168.1.7"]) == BOTH
    assert families.usable(sockets("192.168.1.7"), ()) == BOTH


def test_a_machine_without_any_network_uses_what_it_listens_on(ways_to: set[str]) -> None:
    assert families.usable(sockets(), ()) == BOTH
    assert families.usable(sockets(flags=FAMILY_4), ()) == FAMILY_4


async def test_a_family_that_comes_is_met_and_one_that_goes_is_not_asked_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(families, "LOOK_EVERY", 0.001)
    state = NodeState(Identity(b"s" * 32), "test", lambda: 0.0, random.Random(1))
    state.families = FAMILY_4
    met = asyncio.Event()

    async def gained() -> None:
        met.set()

    keeping = asyncio.create_task(families.keep(state, lambda: FAMILY_6, gained))
    await asyncio.wait_for(met.wait(), 2.0)
    keeping.cancel()
    assert not state.may_contact("1.1.1.1") and state.may_contact("2a00::1")
