"""The socket that new nodes are pinged from: there when it is asked for, gone when it is idle."""

from __future__ import annotations

import asyncio
from typing import Any

from privox_dht.dht.prober import Prober


class Socket:
    busy = False
    closed = False

    def close(self) -> None:
        self.closed = True


async def test_a_socket_that_is_closed_as_idle_before_it_is_used_is_opened_once_more() -> None:
    """The upkeep came between the opening and the dial-back that waited for it."""
    opened: list[Socket] = []

    async def opening(family: int, host: str) -> Any:
        await asyncio.sleep(0)
        opened.append(Socket())
        return opened[-1]

    prober = Prober(4, "192.0.2.1", opening, asyncio.create_task)
    asking = asyncio.create_task(prober.socket())
    await asyncio.sleep(0)
    assert prober._opening is not None
    prober._opening.add_done_callback(lambda _: prober.close_idle())
    assert await asking is opened[1]
    assert [socket.closed for socket in opened] == [True, False]
