import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nodes.announcer import Announcer
from privox_dht.identity import Identity
from privox_dht.records import Record, network_tag, parse

MESH = network_tag("test")


def announced(engine: str, **fields: Any) -> Record:
    return Record(publisher=b"", mesh=MESH, kind="stt", engine=engine, slots=1, idle=1, **fields)


class Shelf:
    """Where records are published to."""

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self.more = asyncio.Event()

    async def publish(self, record: Record) -> int:
        parse(record.encoded, float(record.issued), MESH)
        self.taken.append(record)
        self.more.set()
        return 3

    async def until(self, count: int) -> None:
        while len(self.taken) < count:
            self.more.clear()
            await self.more.wait()


async def test_records_are_published_at_once_and_withdrawn_on_leaving() -> None:
    shelf = Shelf()
    async with Announcer(
        Identity.generate(), lambda: [announced("a"), announced("b")], shelf.publish
    ):
        await shelf.until(2)
    said, withdrawn = shelf.taken[:2], shelf.taken[2:]
    assert [r.withdrawn for r in shelf.taken] == [False, False, True, True]
    assert {r.engine for r in withdrawn} == {"a", "b"}
    assert min(r.sequence for r in withdrawn) > max(r.sequence for r in said)
    assert min(r.expires for r in withdrawn) >= max(r.expires for r in said)


async def test_what_is_no_longer_said_is_withdrawn() -> None:
    shelf, now = Shelf(), [announced("a"), announced("b")]
    announcer = Announcer(Identity.generate(), lambda: now, shelf.publish)
    assert await announcer.announce() == 3
    now.pop()
    await announcer.announce()
    assert [(r.engine, r.withdrawn) for r in shelf.taken[2:]] == [("a", False), ("b", True)]


async def test_sequences_rise_across_restarts_even_when_the_clock_goes_back(tmp_path: Path) -> None:
    shelf, identity = Shelf(), Identity.generate()
    for clock in (2000.0, 1000.0):
        announcer = Announcer(
            identity,
            lambda: [announced("a")],
            shelf.publish,
            folder=tmp_path,
            clock=partial(float, clock),
        )
        await announcer.announce()
    first, second = shelf.taken
    assert (first.sequence, second.sequence) == (2_000_000, 2_000_001)


async def test_a_spoilt_sequence_file_is_no_reason_to_fall_silent(tmp_path: Path) -> None:
    for spoilt in ("", "{", '"9"', "-1", "1e99", "null"):
        (tmp_path / "sequence.json").write_text(spoilt)
        shelf = Shelf()
        announcer = Announcer(
            Identity.generate(), lambda: [announced("a")], shelf.publish, folder=tmp_path
        )
        await announcer.announce()
        assert shelf.taken[0].sequence > 1_000_000


async def test_a_change_is_announced_before_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privox_dht.limits.ANNOUNCE_AT_MOST_EVERY", 0.01)
    shelf, now = Shelf(), [announced("a")]
    async with Announcer(Identity.generate(), lambda: now, shelf.publish) as announcer:
        await shelf.until(1)
        now[0] = replace(now[0], idle=0)
        announcer.changed()
        await shelf.until(2)
        assert [r.idle for r in shelf.taken] == [1, 0]


async def test_a_publish_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("privox_dht.limits.ANNOUNCE_AT_MOST_EVERY", 0.01)
    monkeypatch.setattr("privox_dht.limits.ANNOUNCE_EVERY", 0.02)
    monkeypatch.setattr("privox_dht.limits.ANNOUNCE_JITTER", 0.0)
    shelf, failures = Shelf(), [OSError("no network")]

    async def publish(record: Record) -> int:
        if failures:
            raise failures.pop()
        return await shelf.publish(record)

    async with Announcer(Identity.generate(), lambda: [announced("a")], publish):
        await shelf.until(1)
    assert "could not be announced" in caplog.text


async def test_what_nobody_took_is_said_again_soon_and_then_ever_less_often() -> None:
    async def nobody(record: Record) -> int:
        return 0

    announcer = Announcer(Identity.generate(), lambda: [announced("a")], nobody)
    waits = []
    for _ in range(8):
        await announcer.announce()
        waits.append(announcer._until_next())
    assert waits[:4] == [3.0, 6.0, 12.0, 24.0]
    assert 30.0 < max(waits) < 60.0, "no less often than when all is well"


async def test_nothing_to_say_is_nothing_said() -> None:
    shelf = Shelf()
    announcer = Announcer(Identity.generate(), lambda: [], shelf.publish)
    assert await announcer.announce() == 0
    assert shelf.taken == []


async def test_one_record_that_cannot_be_published_keeps_no_other_from_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shelf = Shelf()

    async def publish(record: Record) -> int:
        if record.engine == "a":
            raise OSError("no network")
        return await shelf.publish(record)

    records = [announced("a"), announced("b")]
    announcer = Announcer(Identity.generate(), lambda: records, publish)
    assert await announcer.announce() == 0
    assert [r.engine for r in shelf.taken] == ["b"]
    assert "a record could not be announced" in caplog.text
    await announcer.withdraw()
    assert [r.withdrawn for r in shelf.taken] == [False, True]


async def test_the_sequence_is_written_before_anybody_hears_of_it(tmp_path: Path) -> None:
    """Written after, or half, it could be lost in a crash, and a restarted node with a clock set
    back would be taken for its own past."""
    written = []

    async def publish(record: Record) -> int:
        written.append((record.sequence, int((tmp_path / "sequence.json").read_text())))
        return 1

    announcer = Announcer(
        Identity.generate(), lambda: [announced("a"), announced("b")], publish, folder=tmp_path
    )
    await announcer.announce()
    assert all(sequence <= kept for sequence, kept in written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sequence.json"]
