"""A TCP connection to a host, by whichever of its addresses takes it first, one after the other."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

Open = Callable[[Any], socket.socket]  # a non-blocking socket for one line of getaddrinfo


def open_socket(info: Any) -> socket.socket:
    """A socket for one line of getaddrinfo."""
    made = socket.socket(*info[:3])
    made.setblocking(False)
    return made


async def dial(host: str, port: int, opened: Open = open_socket) -> socket.socket:
    """A connected, non-blocking socket.

    Args:
        opened: makes a socket for each address; raises OSError for one that is not to be dialled.

    Raises:
        OSError: what the last address said.
    """
    loop = asyncio.get_running_loop()
    last: OSError = OSError(f"no address for {host}")
    for info in await _addresses(host, port):
        try:
            sock = opened(info)
        except OSError as exc:
            last = exc
            continue
        try:
            await loop.sock_connect(sock, info[4])
        except OSError as exc:
            sock.close()
            last = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last


async def _addresses(host: str, port: int) -> list[Any]:
    try:
        kind, flags = socket.SOCK_STREAM, socket.AI_NUMERICHOST  # an address asks nobody
        return socket.getaddrinfo(host, port, type=kind, flags=flags)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
