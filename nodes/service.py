"""What a node hosts is a list of services: speech, a farm, a gateway, and what comes next.

    async with service:     it is ready; leaving ends all that it does
        records()           what others are to find, unsigned and undated; the node publishes it
        routes()            pages of its own at the node's port, beside the speech API's
        status()            its part of `GET /v1/status`
        stop_accepting()    the node is about to stop: nothing new begins from here on

A service gets what it needs from the node by its constructor and never holds the node itself.
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
    """Something that a node hosts for as long as it is entered. What a service does not have (most
    have no records, or no pages) it need not define."""

    lends: frozenset[str] = frozenset()  # kinds of record that its owner wants others to find

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
        """Get ready; what was entered on `_stack` is left again, at the end or after an error."""

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Work that goes on in the background until the service ends."""
        spawn(self._stack, name, work)

    def records(self) -> Sequence[Record]:
        """What there is to announce at this moment."""
        return ()

    def routes(self) -> Routes:
        """Pages at the node's port."""
        return {}

    def status(self) -> Mapping[str, Any]:
        """What it says of itself, by names that no other service uses."""
        return {}

    def stop_accepting(self) -> None:
        """Begin nothing new; what runs goes on."""


def spawn(stack: AsyncExitStack, name: str, work: Coroutine[Any, Any, None]) -> None:
    """A task that ends when `stack` does, before anything that was entered earlier."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_log_if_broken)
    stack.push_async_callback(_ended, task)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _log_if_broken(task: asyncio.Task[None]) -> None:
    """What goes on for as long as the node does has no reason to end by itself."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("a part of this node broke: %s", task.get_name(), exc_info=exc)
