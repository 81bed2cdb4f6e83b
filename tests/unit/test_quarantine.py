"""What brought workers down is refused, and stays so."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.engines.deadly import LARGEST, Deadly
from nodes.engines.worker import Died
from privox_dht.errors import RequestRejected

CRASH = Died("the worker died", "SIGSEGV")


async def ask(deadly: Deadly, question: str, end: Exception | None = None) -> None:
    async with deadly.guarded(lambda: (question.encode(),)):
        if end is not None:
            raise end


async def kill(deadly: Deadly, question: str, how: Died = CRASH, times: int = 2) -> None:
    for _ in range(times):
        with pytest.raises(Died):
            await ask(deadly, question, how)


async def is_refused(deadly: Deadly, question: str) -> bool:
    try:
        await ask(deadly, question)
    except RequestRejected:
        return True
    return False


async def test_what_killed_once_may_try_again_and_what_killed_twice_not() -> None:
    deadly = Deadly()
    await kill(deadly, "a", times=1)
    assert not await is_refused(deadly, "a")
    await kill(deadly, "a", times=1)
    assert await is_refused(deadly, "a")
    assert not await is_refused(deadly, "b")


@pytest.mark.parametrize(
    "how",
    [
        Died("died", ""),
        Died("died", "SIGKILL"),
        Died("died", "SIGTERM"),
        Died("died", "SIGSEGV", guilty=False),
    ],
)
async def test_a_death_that_is_somebody_elses_doing_is_not_counted(how: Died) -> None:
    deadly = Deadly()
    await kill(deadly, "a", how)
    assert not len(deadly) and not await is_refused(deadly, "a")


async def test_so_many_are_kept_and_the_oldest_go() -> None:
    deadly = Deadly(kept=2)
    for question in ("a", "b", "c"):
        await kill(deadly, question)
    assert [await is_refused(deadly, question) for question in "abc"] == [False, True, True]


async def test_what_killed_is_known_after_the_node_was_started_again(tmp_path: Path) -> None:
    file = tmp_path / "deadly.json"
    with Deadly(file) as deadly:
        await kill(deadly, "a")
        await kill(deadly, "b", times=1)
    assert b"a" not in (said := file.read_bytes()).split(b'"') and len(said) < 200
    with Deadly(file) as again:
        assert await is_refused(again, "a")
        await kill(again, "b", times=1)
        assert await is_refused(again, "b")


async def test_the_first_death_is_on_the_disk_at_once(tmp_path: Path) -> None:
    await kill(Deadly(tmp_path / "deadly.json"), "a", times=1)
    assert len(Deadly(tmp_path / "deadly.json")) == 1


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"[1]", b'{"a": "b"}', b'{"a": null}', b"\xff", b'"' * 2 * LARGEST]
)
async def test_a_file_that_makes_no_sense_is_begun_anew(tmp_path: Path, junk: bytes) -> None:
    file = tmp_path / "deadly.json"
    file.write_bytes(junk)
    with Deadly(file) as deadly:
        assert not len(deadly)
        await kill(deadly, "a")
    assert await is_refused(Deadly(file), "a")


async def test_a_file_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    deadly = Deadly(tmp_path / "missing" / "deadly.json")
    await kill(deadly, "a")
    assert await is_refused(deadly, "a")
