"""What brought workers down is refused, and stays so."""

from pathlib import Path

import pytest

from nodes.engines.quarantine import MAX_FILE_SIZE, Quarantine
from nodes.engines.worker import WorkerDied
from privox_dht.errors import RequestRejected

CRASH = WorkerDied("the worker died", "SIGSEGV")


async def ask(quarantine: Quarantine, question: str, end: Exception | None = None) -> None:
    async with quarantine.guarded(lambda: (question.encode(),)):
        if end is not None:
            raise end


async def kill(
    quarantine: Quarantine, question: str, how: WorkerDied = CRASH, times: int = 2
) -> None:
    for _ in range(times):
        with pytest.raises(WorkerDied):
            await ask(quarantine, question, how)


async def is_refused(quarantine: Quarantine, question: str) -> bool:
    try:
        await ask(quarantine, question)
    except RequestRejected:
        return True
    return False


async def test_what_killed_once_may_try_again_and_what_killed_twice_not() -> None:
    quarantine = Quarantine()
    await kill(quarantine, "a", times=1)
    assert not await is_refused(quarantine, "a")
    await kill(quarantine, "a", times=1)
    assert await is_refused(quarantine, "a")
    assert not await is_refused(quarantine, "b")


@pytest.mark.parametrize(
    "how",
    [
        WorkerDied("died", ""),
        WorkerDied("died", "SIGKILL"),
        WorkerDied("died", "SIGTERM"),
        WorkerDied("died", "SIGSEGV", is_own_job=False),
    ],
)
async def test_a_death_that_is_somebody_elses_doing_is_not_counted(how: WorkerDied) -> None:
    quarantine = Quarantine()
    await kill(quarantine, "a", how)
    assert not len(quarantine) and not await is_refused(quarantine, "a")


async def test_so_many_are_kept_and_the_oldest_go() -> None:
    quarantine = Quarantine(max_kept=2)
    for question in ("a", "b", "c"):
        await kill(quarantine, question)
    assert [await is_refused(quarantine, question) for question in "abc"] == [False, True, True]


async def test_what_killed_is_known_after_the_node_was_started_again(tmp_path: Path) -> None:
    file = tmp_path / "quarantine.json"
    with Quarantine(file) as quarantine:
        await kill(quarantine, "a")
        await kill(quarantine, "b", times=1)
    assert b"a" not in (said := file.read_bytes()).split(b'"') and len(said) < 200
    with Quarantine(file) as again:
        assert await is_refused(again, "a")
        await kill(again, "b", times=1)
        assert await is_refused(again, "b")


async def test_the_first_death_is_on_the_disk_at_once(tmp_path: Path) -> None:
    await kill(Quarantine(tmp_path / "quarantine.json"), "a", times=1)
    assert len(Quarantine(tmp_path / "quarantine.json")) == 1


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"[1]", b'{"a": "b"}', b'{"a": null}', b"\xff", b'"' * 2 * MAX_FILE_SIZE]
)
async def test_a_file_that_makes_no_sense_is_begun_anew(tmp_path: Path, junk: bytes) -> None:
    file = tmp_path / "quarantine.json"
    file.write_bytes(junk)
    with Quarantine(file) as quarantine:
        assert not len(quarantine)
        await kill(quarantine, "a")
    assert await is_refused(Quarantine(file), "a")


async def test_a_file_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "missing" / "quarantine.json")
    await kill(quarantine, "a")
    assert await is_refused(quarantine, "a")
