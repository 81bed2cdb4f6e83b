"""Opens a TCP connection to the address of a host that answers first (RFC 8305)."""

import socket
from collections.abc import Callable
from typing import Any

from aiohappyeyeballs import start_connection

from privox_dht.daemon_thread import look_up

NEXT_ADDRESS_AFTER = 0.25  # seconds until the next address is tried beside the last one

OpenSocket = Callable[[Any], socket.socket]  # for one line of getaddrinfo


async def dial(host: str, port: int, open_socket: OpenSocket | None = None) -> socket.socket:
    """A connected, non-blocking socket.

    Args:
        open_socket: makes a socket for each address; raises OSError where none may be dialled.

    Raises:
        OSError: no address could be connected to; its message has the reasons.
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
        return await look_up(host, port, socket.SOCK_STREAM)
