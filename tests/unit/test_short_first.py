"""Short jobs go before long ones at each border."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from nodes import short_first
from nodes.engines.link import Disconnected, Link
from nodes.engines.priority_lock import PriorityLock
from nodes.short_first import ShortFirst
from privox_dht import limits

SHORT, LONG = limits.SHORT_JOB_SECONDS, 3600.0


async def test_a_long_job_waits_at_its_border_while_a_short_one_is_at_work() -> None:
    jobs = ShortFirst()
    async with jobs.working(LONG) as give_way:
        await give_way()
        async with jobs.working(SHORT) as not_mine:
            await not_mine()
            waiting = asyncio.ensure_future(give_way())
            await asyncio.sleep(0)
            assert not waiting.done()
            assert repr(jobs) == "<ShortFirst 1 short jobs at work>"
        await waiting


async def test_a_short_job_that_hangs_stops_no_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_first, "MAX_WAIT", 0.01)
    jobs = ShortFirst()
    async with jobs.working(LONG) as give_way, jobs.working(SHORT):
        await give_way()


@pytest.fixture
def links() -> Iterator[list[Link]]:
    pairs = [socket.socketpair() for _ in range(3)]
    yield [Link(ours) for ours, _ in pairs]
    for pair in pairs:
        for end in pair:
            end.close()


def test_a_turn_goes_to_a_short_job_before_a_long_one_that_waits_for_longer(
    links: list[Link],
) -> None:
    turns, order = PriorityLock(), []
    threads = []

    def work(name: str, link: Link, *, short: bool) -> None:
        with turns.taken(link, short=short):
            order.append(name)

    def waiting(count: int) -> None:
        ends = time.monotonic() + 10
        while len(turns._waiting) < count and time.monotonic() < ends:
            time.sleep(0.001)

    with turns.taken(links[0]):
        for name, link, short in (("long", links[1], False), ("short", links[2], True)):
            thread = threading.Thread(target=work, args=(name, link), kwargs={"short": short})
            thread.start()
            threads.append(thread)
            waiting(len(threads))
    for thread in threads:
        thread.join(10)
    assert order == ["short", "long"]


def test_who_waits_for_a_turn_that_nobody_listens_to_any_more_gives_up(links: list[Link]) -> None:
    turns = PriorityLock()
    with turns.taken(links[0]):
        links[1].socket.shutdown(socket.SHUT_RD)
        with pytest.raises(Disconnected), turns.taken(links[1]):
            pass
    with turns.taken(links[2]):
        assert not turns._waiting
