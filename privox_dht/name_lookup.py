"""Looks up host names in threads that do not keep the program from ending.

The loop's own `getaddrinfo` uses its executor, whose threads both `asyncio.run` and the interpreter
wait for: where name servers do not answer, half a minute.
"""

import asyncio
import socket
import threading
from concurrent.futures import Future
from typing import Any


async def look_up(host: str, port: int, kind: socket.SocketKind) -> list[Any]:
    """What `socket.getaddrinfo` finds.

    Raises:
        OSError: it finds nothing.
        UnicodeError: no host can have that name.
    """
    found: Future[list[Any]] = Future()
    found.set_running_or_notify_cancel()  # from now on it can always be set

    def ask() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=kind))
        except Exception as exc:
            found.set_exception(exc)

    threading.Thread(target=ask, name=f"look-up of {host}", daemon=True).start()
    return await asyncio.wrap_future(found)
