"""How a guest joins: whom it asks, and what it says as long as nobody answers."""

from collections.abc import Sequence
from typing import Any

import pytest

from privox_dht.addresses import Address
from privox_dht.directory import guest_join
from privox_dht.directory.guest_join import GuestJoin
from privox_dht.errors import NotJoined

lan = pytest.importorskip("privox_dht.lan")
THERE: Address = ("192.0.2.1", 5678)
NOBODY = NotJoined("nobody answered")


class Directory:
    """One that answers at its last attempts only."""

    network, mesh = "choir", b"m" * 8

    def __init__(self, silent_for: int = 0, remembers: Sequence[Address] = ()) -> None:
        self.silent_for, self._remembers = silent_for, remembers
        self.asked: list[Sequence[Address]] = []

    def remembered(self) -> Sequence[Address]:
        return self._remembers

    async def join(self, neighbours: Sequence[Address], timeout: float) -> None:
        self.asked.append(neighbours)
        if len(self.asked) <= self.silent_for:
            raise NOBODY


def guest(directory: Any, *neighbours: Address, lan: bool = False) -> GuestJoin:
    return GuestJoin(directory, neighbours, lan, timeout=1.0)


async def test_with_nobody_to_ask_it_is_said_how_to_name_somebody() -> None:
    directory = Directory()
    some = guest(directory)
    with pytest.raises(NotJoined, match="no node of mesh 'choir' is known: give --neighbours"):
        await some.join()
    assert isinstance(some.failure, NotJoined) and directory.asked == []


async def test_nodes_that_are_remembered_are_enough() -> None:
    directory = Directory(remembers=[THERE])
    await guest(directory).join()
    assert directory.asked == [()]


async def test_it_goes_on_trying_until_it_has_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []

    def at_once(failures: int, *bounds: Any) -> float:
        waited.append(failures)
        return 0.0

    monkeypatch.setattr(guest_join, "backoff", at_once)
    directory = Directory(silent_for=3)
    some = guest(directory, THERE)
    with pytest.raises(NotJoined) as failed:
        await some.join()
    assert failed.value is NOBODY
    await some.keep_trying()
    assert some.failure is None
    assert waited == [1, 2, 3] and directory.asked == [(THERE,)] * 4


@pytest.mark.parametrize("found", [[THERE], [], OSError("no multicast")], ids=str)
async def test_in_the_local_network_those_who_announce_themselves_are_asked(
    found: list[Address] | OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(mesh: bytes) -> list[Address]:
        assert mesh == Directory.mesh
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(lan, "find", find)
    directory = Directory(remembers=[THERE])
    some = guest(directory, lan=True)
    if found == [THERE]:
        await some.join()
        assert directory.asked == [[THERE]]
    else:
        with pytest.raises(NotJoined, match=r"'choir' announces itself .* \(a node .* --lan\)"):
            await some.join()
        assert directory.asked == []
