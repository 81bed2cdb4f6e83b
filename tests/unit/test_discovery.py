"""Looking both backends up side by side, in a directory that answers when it is told to."""

import asyncio
from typing import Any

import pytest

from privox_dht import limits
from privox_dht.dispatch.discovery import discover
from privox_dht.dispatch.selection import Requirements
from privox_dht.records import Direct, Record


def producer(backend: str, **fields: Any) -> Record:
    return Record(
        backend.encode().ljust(32), b"m" * 8, "stt", backend, engine="e",
        routes=(Direct("192.0.2.1", 5678),), slots=1, idle=1, **fields,
    )  # fmt: skip


class Slow:
    """A directory with one answer for each backend, and an event that each waits for."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.may = {backend: asyncio.Event() for backend in answers}
        self.cancelled: list[str] = []

    async def find(
        self, kind: str, backend: str = "", *narrower: str, want: int = 32, fresh: bool = False
    ) -> list[Record]:
        try:
            await self.may[backend].wait()
        except asyncio.CancelledError:
            self.cancelled.append(backend)
            raise
        if isinstance(self.answers[backend], Exception):
            raise self.answers[backend]
        found: list[Record] = self.answers[backend]
        return found

    async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None:
        return None


async def test_whoever_was_found_does_not_wait_for_a_backend_that_nobody_has() -> None:
    directory = Slow(cpu=[producer("cpu")], gpu=[])
    directory.may["cpu"].set()
    async with asyncio.timeout(limits.BACKEND_GRACE + 2):
        assert await discover(directory, Requirements("stt")) == [producer("cpu")]
    assert directory.cancelled == ["gpu"]


async def test_the_other_backend_has_a_moment() -> None:
    directory = Slow(cpu=[producer("cpu")], gpu=[producer("gpu")])
    directory.may["cpu"].set()
    asyncio.get_running_loop().call_later(limits.BACKEND_GRACE / 5, directory.may["gpu"].set)
    found = await discover(directory, Requirements("stt"))
    assert sorted(record.backend for record in found) == ["cpu", "gpu"]


async def test_while_nobody_fits_all_are_waited_for() -> None:
    directory = Slow(cpu=[producer("cpu", languages=("fr",))], gpu=[producer("gpu")])
    directory.may["cpu"].set()
    after = limits.BACKEND_GRACE * 1.5
    asyncio.get_running_loop().call_later(after, directory.may["gpu"].set)
    found = await discover(directory, Requirements("stt", language="de"))
    assert producer("gpu") in found


async def test_a_look_up_that_breaks_leaves_no_other_behind() -> None:
    directory = Slow(cpu=OSError("the socket is gone"), gpu=[])
    directory.may["cpu"].set()
    with pytest.raises(OSError, match="gone"):
        await discover(directory, Requirements("stt"))
    assert directory.cancelled == ["gpu"]
