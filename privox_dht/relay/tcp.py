"""Socket options and system calls of the relay, each where the system has it."""

import asyncio
import fcntl
import os
import resource
import socket
import struct
import sys
import termios

from privox_dht import tcp_dial
from privox_dht.relay import relay_limits

_MAC_UNSENT = 0x1024  # SO_NWRITE in macOS: bytes in the send buffer


def keep_alive(sock: socket.socket) -> None:
    """Turn on keep-alive probes, so that NATs keep the mapping and dead peers are noticed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle, interval, probes = relay_limits.KEEPALIVE
    for name, value in (
        ("TCP_KEEPIDLE", idle),
        ("TCP_KEEPALIVE", idle),  # macOS's name for the same
        ("TCP_KEEPINTVL", interval),
        ("TCP_KEEPCNT", probes),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def user_timeout(sock: socket.socket, seconds: float) -> None:
    """Close a connection when what was sent is not acknowledged for so long; 0: system default.

    For parked lines only; it would kill a slow reader, whose window is closed for long.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))


def set_parked_options(sock: socket.socket) -> None:
    """The options of a parked connection."""
    keep_alive(sock)
    user_timeout(sock, relay_limits.UNACKED)


def unacknowledged_bytes(transport: asyncio.WriteTransport) -> int:
    """Bytes written to a connection that its reader's machine has not acknowledged."""
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return waiting
    try:
        if sys.platform == "darwin":
            return waiting + int(sock.getsockopt(socket.SOL_SOCKET, _MAC_UNSENT))
        packed = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        return waiting + int(struct.unpack("i", packed)[0])
    except OSError:
        return waiting


def send(transport: asyncio.WriteTransport, data: bytes | memoryview) -> int:
    """Write to the socket of a transport whose buffer is empty; how many bytes the system accepted.

    0 after an error: the transport, which is then given the data, meets the same error and closes.
    """
    try:
        return os.write(transport.get_extra_info("socket").fileno(), data)
    except OSError:
        return 0


def file_budget() -> int:
    """Raise the limit of open files; how many more this process may open, less a reserve."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (
        relay_limits.FARM_FILES
        if hard == resource.RLIM_INFINITY
        else min(hard, relay_limits.FARM_FILES)
    )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (ValueError, OSError):
            pass  # macOS allows less than its hard limit says
    if soft == resource.RLIM_INFINITY:
        soft = relay_limits.FARM_FILES
    return max(0, soft - len(os.listdir("/dev/fd")) - relay_limits.FARM_FILE_RESERVE)


async def dial(host: str, port: int, seconds: float) -> socket.socket:
    """A connected, non-blocking TCP socket.

    Raises:
        OSError: none of the host's addresses answered (TimeoutError: in time).
    """
    async with asyncio.timeout(seconds):
        return await tcp_dial.dial(host, port)


async def wait_readable(sock: socket.socket) -> None:
    """Wait, without limit, until there is something to read.

    Raises:
        OSError: the other side closed the connection.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)
    if not sock.recv(1, socket.MSG_PEEK):
        raise ConnectionResetError("the farm hung up")
