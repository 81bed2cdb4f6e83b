"""The producer's end of a control line: whole messages in and out, sealed in a private mesh."""

import asyncio

from privox_dht.errors import BadMessage
from privox_dht.membership import farm_line
from privox_dht.membership.members import Membership
from privox_dht.relay import messages

MAX_UNREAD = 256  # messages; a farm sends three when it grants, and one for each call


class ControlLine(asyncio.Protocol):
    """Received messages in order; None is the end."""

    def __init__(self) -> None:
        self._decoder = messages.MessageDecoder()
        self._unread: asyncio.Queue[messages.Message | None] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self._line: farm_line.SealedLine | None = None  # in a private mesh
        self.why = "hung up"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            for message in self._decoder.feed(self._line.decrypt(data) if self._line else data):
                self._unread.put_nowait(message)
        except BadMessage as exc:
            self.why = str(exc)
            self._transport.abort()
        if self._unread.qsize() > MAX_UNREAD:
            self.why = "sends too much at once"
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unread.put_nowait(None)

    def send(self, *message: str) -> None:
        """Send one message."""
        if self._transport is not None and not self._transport.is_closing():
            text = messages.encode(message)
            self._transport.write(self._line.seal(text) if self._line else text)

    def open(self, head: bytes, member: Membership | None) -> None:
        """Send the head, which says what this connection is."""
        assert self._transport is not None
        self._transport.write(head)
        if member is not None:
            self._line = farm_line.SealedLine(member, head, is_farm=False)

    async def next(self, seconds: float) -> messages.Message | None:
        """The next message; None at the end.

        Raises:
            TimeoutError: there was none in time.
        """
        async with asyncio.timeout(seconds):
            return await self._unread.get()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()
