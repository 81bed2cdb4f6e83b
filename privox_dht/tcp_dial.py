"""A TCP connection to a host, at whichever of its addresses answers first (RFC 8305)."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from aiohappyeyeballs import start_connection

NEXT_ADDRESS_AFTER = 0.25  # seconds for one address before the next is tried beside it

OpenSocket = Callable[[Any], socket.socket]  # for one line of getaddrinfo


async def dial(host: str, port: int, open_socket: OpenSocket | None = None) -> socket.socket:
    """A connected, non-blocking socket.

    Args:
        open_socket: makes a socket for each address; raises OSError where none may be dialled.

    Raises:
        OSError: no address could be connected to; it says what they answered.
    """
    return await start_connection(
        await _addresses(host, port),
        happy_eyeballs_delay=NEXT_ADDRESS_AFTER,
        socket_factory=open_socket,
    )


async def _addresses(host: str, port: int) -> list[Any]:
    try:
        kind, flags = socket.SOCK_STREAM, socket.AI_NUMERICHOST  # a literal needs no name server
        return socket.getaddrinfo(host, port, type=kind, flags=flags)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
