"""The client of a node's directory page; see `https_server` for the protocol.

    client -> node   TLS with any certificate (in a private mesh: a member's); a bounded request
    node   -> client a bounded answer, checked in shape; its records are still to be checked

Errors are RequestRejected, ProducerBusy, EngineFailed or ProducerLost, and no others. Only
neighbours that this program's owner named, or nodes met before, are contacted.
"""

import asyncio
import errno
import logging
import os
import ssl
from typing import Self

import aiohttp

from privox_dht import join_failure, limits
from privox_dht.addresses import Address, join_host
from privox_dht.directory.https_answer import CONTENT_TYPE, PATH, Answer
from privox_dht.errors import BadMessage, EngineFailed, ProducerLost
from privox_dht.http.error_mapping import from_response
from privox_dht.http.pinned_tls import connector
from privox_dht.membership.members import Membership

log = logging.getLogger("privox.directory")


class DirectoryClient:
    """Sends requests to any number of nodes. Opens nothing before the first request. Each method
    raises JobError if the node does not answer, or not with a valid answer."""

    def __init__(self, member: Membership | None = None) -> None:
        self._member = member  # in a private mesh
        self._session: aiohttp.ClientSession | None = None
        self._tls = _any_certificate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def hello(self, node: Address) -> Answer:
        """A node's mesh and time, and our address as it sees it."""
        return await self._ask("GET", node, {})

    async def records(self, node: Address, key: bytes, want: int) -> Answer:
        """At most `want` records under a key."""
        return await self._ask("GET", node, {"key": key.hex(), "want": str(want)})

    async def store(self, node: Address, wire: bytes) -> Answer:
        """Have a signed record stored in the DHT."""
        return await self._ask("POST", node, {}, wire)

    async def _ask(
        self, method: str, node: Address, query: dict[str, str], body: bytes | None = None
    ) -> Answer:
        url = f"https://{join_host(*node)}{PATH}"
        try:
            async with (
                asyncio.timeout(limits.RESOLVER_TIMEOUT),
                self._open().request(
                    method, url, params=query, data=body, ssl=self._tls, allow_redirects=False
                ) as response,
            ):
                return await _read(response)
        except BadMessage as exc:
            log.debug("! malformed answer of %s: %s", join_host(*node), exc)
            raise EngineFailed(join_failure.NO_NODE) from exc
        except TimeoutError as exc:
            raise ProducerLost(join_failure.SILENT) from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            log.debug("! no answer from %s: %s", join_host(*node), exc)
            raise ProducerLost(_failure_reason(exc, is_private=self._member is not None)) from exc

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=connector(lambda address: True, self._member),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "privox"},
                timeout=aiohttp.ClientTimeout(total=None, connect=limits.CONNECT_TIMEOUT),
            )
        return self._session


def _any_certificate() -> ssl.SSLContext:
    """TLS 1.3 with any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _failure_reason(exc: Exception, *, is_private: bool) -> str:
    """Why no answer came, as one of the reasons in `join_failure` where there is one."""
    number = exc.errno if isinstance(exc, OSError) else None
    if number == errno.ECONNREFUSED:
        return join_failure.REFUSED
    if is_private and isinstance(exc, ssl.SSLError | ConnectionError | aiohttp.ClientOSError):
        return join_failure.NO_MEMBER
    if isinstance(exc, aiohttp.ServerTimeoutError):
        return join_failure.SILENT
    if isinstance(exc, ssl.SSLError | aiohttp.ClientSSLError | aiohttp.ClientResponseError):
        return join_failure.NO_NODE
    if number and number in errno.errorcode:
        return os.strerror(number).lower()
    return join_failure.NO_NODE if isinstance(exc, aiohttp.ClientError) else str(exc)


async def _read(response: aiohttp.ClientResponse) -> Answer:
    good = response.status == 200
    body = await _read_body(response, limits.MAX_PAGE if good else limits.MAX_JSON)
    if not good:
        raise from_response(response.status, response.headers, body)
    if response.content_type != CONTENT_TYPE:
        raise BadMessage("shape", f"its type is not {CONTENT_TYPE}")
    return Answer.decode(body)


async def _read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    while not response.content.at_eof():
        body += await response.content.readany()
        if len(body) > max_bytes:
            raise BadMessage("size", f"it is larger than {max_bytes} bytes")
    return bytes(body)
