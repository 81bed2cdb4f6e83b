"""Remote speech servers as engines of this node.

    "http://host:port"            a server with OpenAI's audio API (`remote_openai`)
    "https://KEY@host/path#NAME"  the same with a key, below a path, and always this model
    "wyoming://host:port"         a server with the Wyoming protocol (`remote_wyoming`)
    "host:port"                   a server with SOVA's API (`remote_sova`)

`ServerEngine` is the base class of all. `Server` is the HTTP client of two of them; it raises this
project's errors. The server is not trusted: its answers are bounded and never decompressed, its
redirects are not followed, and its cookies are not kept.

    status 400 404 413 415 422   the request is invalid              RequestRejected
    status 429 503               the server is busy                  ProducerBusy
    other status, no answer      the server failed or is down        EngineFailed
"""

import asyncio
import errno
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import aiohttp
import yarl

from privox_dht import errors, limits, speech
from privox_dht.addresses import is_here, without_key

MAX_ANSWER = 2 * limits.MIB  # bytes of JSON; ten times a block's words with their times
MAX_SOUND = 16 * limits.MIB  # bytes of JSON with sound in it, from SOVA
MAX_VALUES = 100_000  # values in an answer; each takes up to 64 bytes once parsed
# With one of these, each character of a string takes 4 bytes
BEYOND_16_BITS = re.compile(rb"\\u[dD][89abAB]|[\xf0-\xf4]")
MAX_ERROR_BODY = 64 * limits.KIB  # bytes of an error page that are read
MAX_ERROR_TEXT = 200  # characters of an error message that are passed on
CONNECT_TIMEOUT = 5.0  # seconds
READ_TIMEOUT = 180.0  # seconds without a byte of sound
ANSWER_TIMEOUT = 180.0  # seconds; servers that do not stream answer after the whole block
BODY_TIMEOUT = 60.0  # seconds for all of an answer in JSON, once it has begun
PROBE_TIMEOUT = 60.0  # seconds for the first request of all: the server may load its model then
MAX_NAME_LENGTH = 128  # characters of a model or voice
REJECTED_STATUSES = {400, 404, 413, 415, 422}
BUSY_STATUSES = {429, 503}


class Server:
    """The HTTP client of one remote server."""

    def __init__(self, url: str) -> None:
        try:
            given = yarl.URL(url)
            if not given.host or not given.port:
                raise ValueError("it names no host, or port 0")
            self.key, self.name = given.user or "", given.fragment
            self.base = _base_url(given.with_user(None).with_fragment(None).with_query(None))
        except ValueError as exc:
            shown = without_key(url)
            raise errors.ConfigError(f"{shown!r} is not the address of a server: {exc}") from exc
        if self.key and self.base.scheme == "http" and not is_here(given.host):
            raise errors.ConfigError(
                f"the key of the server at {self} would be sent unencrypted: use https"
            )
        self._session: aiohttp.ClientSession | None = None

    def __str__(self) -> str:
        return f"{self.base.host}:{self.base.port}"

    def open(self) -> None:
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT)
        headers = {"Accept-Encoding": "identity"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            headers=headers,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def request(
        self, method: str, path: str, **options: Any
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The response, if its status is 200.

        Raises:
            JobError: any other status, no answer, or an error while the response is read.
        """
        if self._session is None:
            raise errors.EngineFailed(f"the engine at {self} is not started")
        url = self.base / path.lstrip("/") if path else self.base
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                response = await self._session.request(
                    method, url, allow_redirects=False, **options
                )
            async with response:
                if response.status != 200:
                    raise await self._error_of(response)
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise self.bad_answer("a compressed body, which was not requested")
                yield response
        except aiohttp.ConnectionTimeoutError as exc:
            raise errors.EngineFailed(f"the server at {self} does not answer") from exc
        except TimeoutError as exc:
            raise errors.EngineFailed(f"the server at {self} does not answer in time") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise errors.EngineFailed(
                f"the server at {self} does not answer ({_reason(exc)})"
            ) from exc

    async def json(self, method: str, path: str, most: int = MAX_ANSWER, **options: Any) -> Any:
        """A whole answer of at most `most` bytes as JSON, of whatever Content-Type."""
        async with self.request(method, path, **options) as response:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await self._read(response, most)
        try:
            return _parsed(body)
        except ValueError as exc:
            raise self.bad_answer("something that is not JSON") from exc

    async def pieces(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        """The body as it arrives; each piece must arrive within `READ_TIMEOUT`."""
        while True:
            async with asyncio.timeout(READ_TIMEOUT):
                piece = await response.content.readany()
            if not piece:
                return
            yield piece

    async def check_connection(self) -> None:
        """Raises: EngineFailed: the server accepts no connection."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, writer = await asyncio.open_connection(self.base.host, self.base.port)
        except (OSError, TimeoutError) as exc:
            raise errors.EngineFailed(f"the server at {self} does not answer") from exc
        writer.close()

    def bad_answer(self, what: str) -> errors.EngineFailed:
        return errors.EngineFailed(f"the server at {self} answers with {what}")

    async def _read(self, response: aiohttp.ClientResponse, most: int) -> bytearray:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > most:
                raise self.bad_answer(f"more than {most} bytes")
        return body

    async def _error_of(self, response: aiohttp.ClientResponse) -> errors.JobError:
        """The server's error as one of this project's."""
        if response.status in BUSY_STATUSES:
            after = response.headers.get("Retry-After", "")
            seconds = float(after) if after.isdecimal() else limits.RETRY_AFTER
            return errors.ProducerBusy(f"the server at {self} is busy", min(seconds, limits.WAIT))
        if response.status not in REJECTED_STATUSES:
            return errors.EngineFailed(
                f"the server at {self} answers with status {response.status}"
            )
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await response.content.read(MAX_ERROR_BODY)
        return errors.RequestRejected(
            f"the server at {self} rejects the request: {_error_text(body)}",
            status=response.status,
            code="refused_elsewhere",
        )


class AnyServer(Protocol):
    """`Server`, or the same for a protocol without HTTP."""

    def open(self) -> None:
        """Get ready. Raises: EngineUnavailable: a package is missing."""

    async def close(self) -> None: ...

    def bad_answer(self, what: str) -> errors.EngineFailed:
        """The error for an invalid answer."""


class ServerEngine(ABC):
    """An engine that works at a remote server."""

    service, api = "", ""  # the API's name is the engine's name in records

    def __init__(self, server: AnyServer, backend: str) -> None:
        self.server = server
        self.info = speech.EngineInfo(self.service, backend, self.api)

    def __repr__(self) -> str:
        return f"<{self.api} {self.service} at {self.server}>"

    async def start(self) -> None:
        self.server.open()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self._probe()
                self.info = replace(self.info, speed=await self._measure())
        except (errors.JobError, TimeoutError) as exc:
            await self.close()
            why = str(exc) or f"the server at {self.server} is too slow"
            raise errors.EngineUnavailable(why, "start that server, or name another") from exc
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self.server.close()

    @abstractmethod
    async def check_alive(self) -> None:
        """See `nodes.engine_watch`."""

    async def _probe(self) -> None:
        """Find out what the server can do, if it can be asked."""
        return

    @abstractmethod
    async def _measure(self) -> float:
        """Seconds of audio per second."""


def names(listed: Any) -> list[str]:
    """The entries of a server's list that can be names of models or voices."""
    return [
        name
        for name in (listed if isinstance(listed, list) else ())
        if isinstance(name, str) and 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable()
    ][: limits.MAX_SLOTS]


def _parsed(body: bytearray) -> Any:
    """Parse JSON that takes little more memory than its bytes.

    Raises:
        ValueError: it is not JSON, or would take far more.
    """
    if sum(map(body.count, (b",", b"[", b"{", b":"))) > MAX_VALUES:
        raise ValueError("too many values")
    if len(body) > MAX_ANSWER and BEYOND_16_BITS.search(body):
        raise ValueError("a long text that takes four bytes a character")
    try:
        return json.loads(body)
    except RecursionError as exc:
        raise ValueError("too many values within each other") from exc


def _base_url(url: yarl.URL) -> yarl.URL:
    """The URL without a trailing /v1, which its owner may or may not have given."""
    path = url.path.rstrip("/")
    return url.with_path(path.removesuffix("/v1") or "/")


def _reason(exc: Exception) -> str:
    """Why there is no answer: the system's message, if there is one."""
    number = exc.errno if isinstance(exc, OSError) else None
    known = number is not None and number in errno.errorcode
    return os.strerror(number or 0).lower() if known else type(exc).__name__


def _error_text(body: bytes) -> str:
    """The message in an error answer of OpenAI's form, FastAPI's, or another."""
    try:
        error = json.loads(body)
        for key in ("error", "message", "detail"):
            if isinstance(error, Mapping) and key in error:
                error = error[key]
        text = error if isinstance(error, str) else json.dumps(error)
    except ValueError:
        text = body.decode("utf-8", "replace")
    return " ".join(text.split())[:MAX_ERROR_TEXT] or "no reason given"
