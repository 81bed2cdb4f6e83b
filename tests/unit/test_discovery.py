"""Looking both backends up side by side, in a directory that answers when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from privox_dht import limits
from privox_dht.dispatch.discovery import discover
from privox_dht.dispatch.selection import Requirements
from privox_dht.records import Direct, Record


def producer(backend: str, **fields) -> Record:
    return Record(
        backend.encode().ljust(32), b"m" * 8, "stt", backend, engine="e",
        routes=(Direct("192.0.2.1", 5678),), slots=1, idle=1, **fields,
    )  # fmt: skip


class Slow:
    """A directory with one answer for each backend, and an event that each waits for."""

    def __init__(self, **answers):
        self.answers = answers
        self.may = {backend: asyncio.Event() for backend in answers}
        self.cancelled = []

    async def find(self, kind, backend="", *narrower, want=32, fresh=False):
        try:
            await self.may[backend].wait()
        except asyncio.CancelledError:
            self.cancelled.append(backend)
            raise
        if isinstance(self.answers[backend], Exception):
            raise self.answers[backend]
        return self.answers[backend]

    async def find_farm(self, public):
        return None


async def test_whoever_was_found_does_not_wait_for_a_backend_that_nobody_has():
    directory = Slow(cpu=[producer("cpu")], gpu=[])
    directory.may["cpu"].set()
    async with asyncio.timeout(limits.BACKEND_GRACE + 2):
        assert await discover(directory, Requirements("stt")) == [producer("cpu")]
    assert directory.cancelled == ["gpu"]


async def test_the_other_backend_has_a_moment():
    directory = Slow(cpu=[producer("cpu")], gpu=[producer("gpu")])
    directory.may["cpu"].set()
    asyncio.get_running_loop().call_later(limits.BACKEND_GRACE / 5, directory.may["gpu"].set)
    found = await discover(directory, Requirements("stt"))
    assert sorted(record.backend for record in found) == ["cpu", "gpu"]


async def test_while_nobody_fits_all_are_waited_for():
    directory = Slow(cpu=[producer("cpu", languages=("fr",))], gpu=[producer("gpu")])
    directory.may["cpu"].set()
    after = limits.BACKEND_GRACE * 1.5
    asyncio.get_running_loop().call_later(after, directory.may["gpu"].set)
    found = await discover(directory, Requirements("stt", language="de"))
    assert producer("gpu") in found


async def test_a_look_up_that_breaks_leaves_no_other_behind():
    directory = Slow(cpu=OSError("the socket is gone"), gpu=[])
    directory.may["cpu"].set()
    with pytest.raises(OSError, match="gone"):
        await discover(directory, Requirements("stt"))
    assert directory.cancelled == ["gpu"]
