"""A node hosts a list of services, such as speech, a farm and a gateway.

    async with service:     it is ready; leaving the context ends it
        records()           its records, unsigned and undated; the node publishes them
        routes()            its own pages at the node's port, beside those of the speech API
        status()            its part of `GET /v1/status`
        stop_accepting()    the node is about to stop: no job begins from here on

A service gets what it needs from the node by its constructor and has no reference to the node.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from privox_dht.http.http_server import Handler
from privox_dht.records import Record

log = logging.getLogger("privox.node")
Routes = Mapping[tuple[str, str], Handler]  # by method and path


class Service:
    """One service of a node, running while its context is open. Methods that it does not need (most
    have no records, or no pages) keep their default."""

    lends: frozenset[str] = frozenset()  # kinds of records that its owner wants published

    def __init__(self) -> None:
        self._stack = AsyncExitStack()  # whatever ends with the service

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        """Get ready. `_stack` is closed at the end, or after an error."""

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background until the service ends."""
        spawn(self._stack, name, work)

    def records(self) -> Sequence[Record]:
        """The records to announce now."""
        return ()

    def routes(self) -> Routes:
        """Its pages at the node's port."""
        return {}

    def status(self) -> Mapping[str, Any]:
        """Its part of the node's status, under names that no other service uses."""
        return {}

    def stop_accepting(self) -> None:
        """Let no job begin; running jobs go on."""


def spawn(stack: AsyncExitStack, name: str, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` as a task; closing `stack` cancels it before what was entered earlier."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_log_failure)
    stack.push_async_callback(_ended, task)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log the exception of a task that ended by itself, which it should not."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("a background task of this node failed: %s", task.get_name(), exc_info=exc)
