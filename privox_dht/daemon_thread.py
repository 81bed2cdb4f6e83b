"""Work in threads that do not keep the program from ending: look-ups of names, downloads.

`asyncio.to_thread` and the loop's own `getaddrinfo` use an executor, whose threads both
`asyncio.run` and the interpreter wait for: where name servers do not answer, half a minute.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """What `work` returns, or raises; if the caller is cancelled, it goes on."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # from now on it can always be set

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as exc:
            done.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(done)


async def look_up(host: str, port: int, kind: socket.SocketKind) -> list[Any]:
    """What `socket.getaddrinfo` finds.

    Raises:
        OSError: it finds nothing.
        UnicodeError: no host can have that name.
    """
    return await in_daemon_thread(partial(socket.getaddrinfo, host, port, type=kind))
