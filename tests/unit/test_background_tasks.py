"""Of a node that was left no task is left."""

import asyncio

import pytest

from privox_dht.dht.background_tasks import BackgroundTasks


async def test_a_task_that_begins_while_the_others_end_ends_with_them() -> None:
    """A datagram came while a node was left: the dial-back that it asked for outlived the node."""
    tasks = BackgroundTasks(lambda error: pytest.fail(repr(error)))
    begun: list[asyncio.Task[object]] = []

    async def leaving() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            begun.append(tasks.spawn(asyncio.sleep(3600)))

    tasks.spawn(leaving())
    await asyncio.sleep(0)
    await tasks.end()
    assert [task.cancelled() for task in begun] == [True]


async def test_a_task_that_fails_is_told_of_and_one_that_is_cancelled_is_not() -> None:
    failed: list[BaseException] = []
    tasks = BackgroundTasks(failed.append)

    async def fails() -> None:
        raise ValueError("of ours")

    tasks.spawn(fails())
    tasks.spawn(asyncio.sleep(3600))
    await asyncio.sleep(0)
    await tasks.end()
    assert [str(error) for error in failed] == ["of ours"]
