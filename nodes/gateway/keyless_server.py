"""A TCP server for dialects without keys: clients are admitted by their address.

connect    closed at once from an address outside --allow, or if there are too many connections in
           all or from this address
session    until either side ends it; one that breaks the protocol is closed and counted
send       a client that does not read is disconnected
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, nullcontext, suppress

from nodes.gateway.allowed import Network, is_allowed
from privox_dht import limits
from privox_dht.errors import BadMessage
from privox_dht.http.connections import log_bug
from privox_dht.http.listener import bind
from privox_dht.http.responses import in_time
from privox_dht.quotas import Prefixes, SharedQuota, quota_prefixes

log = logging.getLogger("privox.gateway")
PIECE = 64 * limits.KIB  # bytes sent at a time
Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Prefixes], Awaitable[None]]


class KeylessServer:
    """Listens on one port.

    Args:
        what: the name of the dialect, for the log.
        session: serves one connection; the last argument are the client's networks.
        allow: the networks that are served.
        most: connections at once; one address has a quarter of them.
        line: bytes that are buffered of what a client sends.
    """

    def __init__(
        self, what: str, session: Session, allow: Sequence[Network], most: int, line: int
    ) -> None:
        self._what, self._session = what, session
        self._allow, self._buffer = allow, line
        self._quota = SharedQuota(most, most // 4)
        self._sessions: set[asyncio.Task[None]] = set()
        self.broken: Counter[str] = Counter()  # connections that broke the protocol, by reason

    async def listen(self, stack: AsyncExitStack, host: str, port: int) -> int:
        """Listen until `stack` is closed, which ends all sessions; returns the port."""
        sockets = bind(host, port)
        stack.push_async_callback(self._end)
        for bound in sockets:
            server = await asyncio.start_server(self._connected, sock=bound, limit=self._buffer)
            stack.callback(server.close)
        return int(sockets[0].getsockname()[1])

    def _admitted(self, host: str) -> Prefixes | None:
        """The networks of a client, counted as one connection; None: it is rejected."""
        if not is_allowed(host, self._allow):
            log.debug("a client of %s was rejected: its address is not in --allow", self._what)
            return None
        prefixes = quota_prefixes(host)
        if not self._quota.acquire(prefixes):
            log.debug("a client of %s was rejected: too many connections", self._what)
            return None
        return prefixes

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        host = str((writer.get_extra_info("peername") or ("",))[0])
        prefixes = self._admitted(host)
        try:
            if prefixes is not None:
                self._sessions.add(task)
                await self._session(reader, writer, prefixes)
        except BadMessage as exc:
            self.broken[exc.reason] += 1
            log.debug("a client of %s broke the protocol: %s", self._what, exc)
        except asyncio.CancelledError:  # the node stops
            writer.transport.abort()
        except ConnectionError:
            pass
        except Exception as exc:
            log_bug(f"a session of {self._what}", exc)
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                async with in_time(limits.ANSWER_STALL):
                    await writer.wait_closed()
            writer.transport.abort()
            self._sessions.discard(task)
            if prefixes is not None:
                self._quota.release(prefixes)

    async def _end(self) -> None:
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send, while the client reads.

    Raises:
        ConnectionError: it disconnected, or did not read for `limits.ANSWER_STALL`.
    """
    for at in range(0, len(data), PIECE):
        writer.write(data[at : at + PIECE])
        # A timer costs as much as a small event, and is needed only if some of it was not taken
        waits = writer.transport.get_write_buffer_size() > 0
        async with in_time(limits.ANSWER_STALL) if waits else nullcontext():
            await writer.drain()
