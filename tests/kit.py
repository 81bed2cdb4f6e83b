"""What tests of every floor share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

HOST = "127.0.0.1"


async def until(true: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait for the thing itself; what `true` said then."""
    async with asyncio.timeout(seconds):
        while not (value := true()):  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
    return value


async def turns(count: int = 300) -> None:
    """Let all happen that is ready to: so many turns of the loop, with a look at every socket in
    each. What nodes and farms in this process have not done then, a timer alone could bring."""
    for _ in range(count):
        await asyncio.sleep(0)
