"""Which models are loaded, and which make room."""

import asyncio

import pytest

from nodes.engines.model_memory import ModelMemory
from privox_dht import errors


class Fake:
    """A model that tells what happens to it."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.model_name = name
        self._story = story

    async def unload(self) -> None:
        self._story.append(f"{self.model_name} unloaded")


async def use(memory: ModelMemory, model: Fake, needs: int = 1) -> None:
    async with memory.using(model, needs):
        pass


async def test_the_one_used_longest_ago_makes_room() -> None:
    story: list[str] = []
    memory = ModelMemory(2)
    a, b, c = (Fake(name, story) for name in "abc")
    for model in (a, b, a, c):
        await use(memory, model)
    assert story == ["b unloaded"]
    assert memory.taken == 2
    assert repr(memory) == "<ModelMemory 2 models, 2 bytes of 2 bytes>"


async def test_one_in_use_stays_and_who_finds_no_room_is_told_busy() -> None:
    story: list[str] = []
    memory = ModelMemory(1)
    a, b = Fake("a", story), Fake("b", story)
    async with memory.using(a, 1):
        with pytest.raises(errors.ProducerBusy, match="no memory for the model b"):
            async with memory.using(b, 1, wait=0.01):
                pass
    assert not story


async def test_who_waits_for_room_has_it_when_the_other_is_done() -> None:
    story: list[str] = []
    memory = ModelMemory(1)
    a, b = Fake("a", story), Fake("b", story)
    async with memory.using(a, 1):
        waiting = asyncio.create_task(use(memory, b))
        await asyncio.sleep(0)
    await waiting
    assert story == ["a unloaded"]


async def test_without_a_bound_everything_stays() -> None:
    story: list[str] = []
    memory = ModelMemory(None, idle_timeout=0)
    for name in "abc":
        await use(memory, Fake(name, story), 1 << 40)
    await asyncio.sleep(0)
    assert not story


async def test_what_takes_more_than_was_thought_counts_for_that() -> None:
    story: list[str] = []
    memory = ModelMemory(3)
    a, b, c = (Fake(name, story) for name in "abc")
    await use(memory, a)
    memory.measured(a, 2)
    await use(memory, b)
    await use(memory, c)
    assert story == ["a unloaded"]


async def test_what_is_closed_takes_no_room() -> None:
    memory = ModelMemory(1)
    model = Fake("a", [])
    await use(memory, model)
    await memory.forget(model)
    assert memory.taken == 0


def test_what_could_never_be_loaded_is_refused_with_both_numbers() -> None:
    memory = ModelMemory(6 << 30)
    with pytest.raises(errors.EngineUnavailable, match=r"big takes 9 GiB, .* is 6 GiB"):
        memory.check(Fake("big", []), 9 << 30)
