"""Connections to members of a private mesh, direct and through a farm.

direct    TCP, then TLS whose first messages are sealed: see `membership.tls`
by farm   TCP, a sealed CONNECT, the farm's sealed answer: see `membership.farm_line`; then the same
          TLS, with the producer
"""

import asyncio
import socket
from collections.abc import Callable
from functools import lru_cache, partial

from privox_dht import limits
from privox_dht.addresses import Address, join_host
from privox_dht.errors import BadMessage, NoParkedLine, ProducerLost
from privox_dht.membership import farm_line
from privox_dht.membership.members import Membership, to_address
from privox_dht.membership.tls import MemberClientContext
from privox_dht.tcp_dial import OpenSocket, dial

Connection = tuple[asyncio.Transport, asyncio.Protocol]
STATUS = slice(9, 12)  # where "HTTP/1.1 200 ..." has its number
OPEN, NO_LINE = b"200", b"503"


def call_head(host: str) -> bytes:
    """The request that asks a farm for a connection to `<peer id>.privox`."""
    return f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode()


class MemberDialler:
    """Connects one program to other members."""

    def __init__(self, member: Membership, open_socket: OpenSocket) -> None:
        self._member, self._open = member, open_socket
        # Making one takes as long as a handshake
        self._context = lru_cache(limits.PEERS_REMEMBERED)(
            partial(MemberClientContext.to, member=member)
        )

    async def connect(
        self,
        make: Callable[[], asyncio.Protocol],
        destination: bytes,
        address: Address,
        *,
        through: bytes = b"",
    ) -> Connection:
        """A connection after its TLS handshake.

        Args:
            destination: of the messages; see `members.to_node`.
            address: the server's, or a farm's.
            through: the request to the farm, if it is one.

        Raises:
            OSError: it failed; NotAMember: the other side is no member.
            NoParkedLine, ProducerLost: the farm's answer.
        """
        loop = asyncio.get_running_loop()
        sock = await dial(*address, self._open)
        try:
            if through:
                await self._ask_farm(sock, address, through)
            return await loop.create_connection(
                make, sock=sock, ssl=self._context(destination), server_hostname=""
            )
        except BaseException:
            sock.close()
            raise

    async def _ask_farm(self, sock: socket.socket, farm: Address, head: bytes) -> None:
        loop, where = asyncio.get_running_loop(), join_host(*farm)
        request = farm_line.request(self._member, to_address(_numeric(sock)), head)
        await loop.sock_sendall(sock, request)
        sealed = b""
        while len(sealed) < farm_line.RESPONSE:
            some = await loop.sock_recv(sock, farm_line.RESPONSE - len(sealed))
            if not some:
                raise ConnectionResetError(f"the farm at {where} disconnected")
            sealed += some
        try:
            answer = farm_line.read_response(self._member, request, sealed)
        except BadMessage as exc:
            raise ProducerLost(f"{where} is no farm of this private mesh") from exc
        status = answer[STATUS]
        if status == NO_LINE:
            raise NoParkedLine(f"no line is free at {where}")
        if status != OPEN:
            raise ProducerLost(f"{where} answered {status.decode('ascii', 'replace')}")


def _numeric(sock: socket.socket) -> Address:
    host, port = sock.getpeername()[:2]
    return str(host).partition("%")[0], int(port)
