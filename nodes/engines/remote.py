"""Speech servers elsewhere, as engines of this node.

    "http://host:port"            a server that speaks OpenAI's audio API (`remote_openai`)
    "https://KEY@host/path#NAME"  the same with a key, below a path, and always this model
    "wyoming://host:port"         a server that speaks Wyoming (`remote_wyoming`)
    "host:port"                   a server that speaks SOVA's (`remote_sova`)

`Server` is the HTTP client they share, which raises this project's errors. Such a server is not
trusted either: answers are bounded, never decompressed, redirects are not followed, and no cookies
are kept.

    400 404 413 415 422   the request is at fault                    RequestRejected
    429 503               it is busy                                 ProducerBusy
    other, silence        it is broken, or no such server            EngineFailed
"""

import asyncio
import errno
import json
import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import yarl

from privox_dht import errors, limits, speech
from privox_dht.addresses import is_here

MAX_ANSWER = 2 * limits.MIB  # bytes of JSON; ten times the words of a block with all their times
MAX_SOUND = 16 * limits.MIB  # bytes of JSON with SOVA's sound in it
MAX_VALUES = 100_000  # values in an answer; each takes up to 64 bytes once it is parsed
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


def openai_engine(service: str, backend: str, url: str) -> speech.Engine:
    """The engine for `service` at a server that speaks OpenAI's audio API."""
    from nodes.engines import remote_openai

    engine = {speech.STT: remote_openai.OpenAITranscriber, speech.TTS: remote_openai.OpenAISpeaker}[
        service
    ]
    return engine(url, backend)


def sova_engine(service: str, backend: str, address: str) -> speech.Engine:
    """The engine for `service` at a server that speaks SOVA's dialect."""
    from nodes.engines import remote_sova

    engine = {speech.STT: remote_sova.SovaTranscriber, speech.TTS: remote_sova.SovaSpeaker}[service]
    return engine(f"http://{address}", backend)


def wyoming_engine(service: str, backend: str, url: str) -> speech.Engine:
    """The engine for `service` at a server that speaks Wyoming."""
    from nodes.engines import remote_wyoming

    engine = {
        speech.STT: remote_wyoming.WyomingTranscriber,
        speech.TTS: remote_wyoming.WyomingSpeaker,
    }[service]
    return engine(url, backend)


class Server:
    """One server elsewhere."""

    def __init__(self, url: str) -> None:
        try:
            given = yarl.URL(url)
            if not given.host:
                raise ValueError("it names no host")
            self.key, self.name = given.user or "", given.fragment
            self.base = _base_url(given.with_user(None).with_fragment(None).with_query(None))
            port = self.base.port
        except ValueError as exc:
            raise errors.ConfigError(f"{url!r} is not the address of a server: {exc}") from exc
        if not self.base.host or not port:
            raise errors.ConfigError(f"{url!r} is not the address of a server")
        if self.key and self.base.scheme == "http" and not is_here(self.base.host):
            raise errors.ConfigError(
                f"the server at {self} would be sent its key for everybody on the way to read: use"
                " https"
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
        """An answer with status 200; anything else, and errors while reading, raise our errors."""
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
        """A whole answer of at most `most` bytes as JSON, whatever its Content-Type."""
        async with self.request(method, path, **options) as response:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await self._read(response, most)
        try:
            return _parsed(body)
        except ValueError as exc:
            raise self.bad_answer("something that is not JSON") from exc

    async def pieces(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        """An answer as it comes; each piece must come in time."""
        while True:
            async with asyncio.timeout(READ_TIMEOUT):  # without a byte of content
                piece = await response.content.readany()
            if not piece:
                return
            yield piece

    async def check_connection(self) -> None:
        """Return if it takes a connection.

        Raises:
            EngineFailed: it does not.
        """
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
        """The error in the server's answer, as one of ours."""
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
            f"the server at {self} refuses: {_error_text(body)}",
            status=response.status,
            code="refused_elsewhere",
        )


def names(listed: Any) -> list[str]:
    """Those of a server's list that can be names of models or voices."""
    return [
        name
        for name in (listed if isinstance(listed, list) else ())
        if isinstance(name, str) and 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable()
    ][: limits.MAX_SLOTS]


def _parsed(body: bytearray) -> Any:
    """Parse JSON that takes little more memory than its bytes.

    Raises:
        ValueError: it is not JSON, or takes far more.
    """
    if sum(map(body.count, (b",", b"[", b"{", b":"))) > MAX_VALUES:
        raise ValueError("too many values")
    if len(body) > MAX_ANSWER and BEYOND_16_BITS.search(body):
        raise ValueError("a long text that takes four bytes a character")
    try:
        return json.loads(body)
    except RecursionError as exc:
        raise ValueError("values within values within values") from exc


def _base_url(url: yarl.URL) -> yarl.URL:
    """The URL without a trailing /v1, which people may or may not give."""
    path = url.path.rstrip("/")
    return url.with_path(path.removesuffix("/v1") or "/")


def _reason(exc: Exception) -> str:
    """Why no answer came: the system's message, if there is one."""
    number = exc.errno if isinstance(exc, OSError) else None
    known = number is not None and number in errno.errorcode
    return os.strerror(number or 0).lower() if known else type(exc).__name__


def _error_text(body: bytes) -> str:
    """The message in an error answer of OpenAI's form, FastAPI's, or another."""
    try:
        said = json.loads(body)
        for key in ("error", "message", "detail"):
            if isinstance(said, Mapping) and key in said:
                said = said[key]
        text = said if isinstance(said, str) else json.dumps(said)
    except ValueError:
        text = body.decode("utf-8", "replace")
    return " ".join(text.split())[:MAX_ERROR_TEXT] or "it does not say why"
