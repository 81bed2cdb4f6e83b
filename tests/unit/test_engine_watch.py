"""Which servers elsewhere are up."""

import asyncio
from typing import Any

import pytest

from nodes import engine_watch
from nodes.engine_watch import EngineWatch
from privox_dht.errors import EngineFailed


class Server:
    """Answers as it is told."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers)
        self.asked_all = asyncio.Event()

    async def check_alive(self) -> None:
        if not self._answers:
            self.asked_all.set()
            return
        answer = self._answers.pop(0)
        if answer is not None:
            raise answer


async def ups(server: Any) -> list[bool]:
    """Whether it was up after each change."""
    seen: list[bool] = []
    watch = EngineWatch([server], lambda: seen.append(watch.is_up(server)), every=0)
    task = asyncio.create_task(watch.run())
    async with asyncio.timeout(5):
        await server.asked_all.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return seen


async def test_one_that_does_not_answer_is_down_until_it_does() -> None:
    gone = EngineFailed("it does not answer")
    assert await ups(Server(None, gone, gone, None)) == [False, True]


async def test_one_that_is_slow_now_and_then_is_up() -> None:
    slow = TimeoutError()
    assert await ups(Server(slow, slow, None, slow, None)) == []


async def test_one_that_is_slow_again_and_again_is_down() -> None:
    assert await ups(Server(*[TimeoutError()] * engine_watch.MAX_SLOW)) == [False, True]


async def test_an_engine_of_this_machine_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = object()
    watch = EngineWatch([engine], lambda: None)
    async with asyncio.timeout(5):
        await watch.run()
    assert watch.is_up(engine)
