"""One request of a client: the time-out of each phase, and what failures mean.

    connect       connect_within    TCP, the farm's answer, TLS, the key; CONNECT_TIMEOUT at most
    offer         OFFER_TIMEOUT     from the headers to a 100-continue or a rejection
    upload        SILENCE           between two pieces sent, until the answer begins: our own
                                    servers begin it with the 100-continue, and send heartbeats
    wait          SILENCE           from a small body to the headers of the answer
    answer        SILENCE           between two pieces of it, or heartbeats

A connection kept from an earlier job may turn out to be closed. If nothing was received on it, the
request is sent once more on a new one.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from privox_dht import limits
from privox_dht.errors import (
    BadMessage,
    EngineFailed,
    JobError,
    NoParkedLine,
    PeerKeyMismatch,
    ProducerLost,
)
from privox_dht.http.client_body import RequestBody
from privox_dht.http.error_mapping import from_response
from privox_dht.http.pinned_tls import Endpoint, PinnedKey

CONNECT, OFFER, UPLOAD, WAIT, ANSWER = "connect", "offer", "upload", "wait", "answer"
NO_LINE = 503  # a farm's answer to CONNECT when no line is parked now


@dataclass
class ClientRequest:
    """One request, and its current phase."""

    session: aiohttp.ClientSession
    endpoint: Endpoint
    pin: PinnedKey | None
    path: str
    body: RequestBody | None
    progress: Callable[[int, int], None] | None = None  # called with (sent, total)
    more_headers: Mapping[str, str] = field(default_factory=dict)
    phase: str = CONNECT
    begun: bool = False  # the server took the job
    reused: bool = False  # it was sent on a connection kept from earlier
    upload_error: JobError | None = None  # why our side broke off the upload
    timer: asyncio.Timeout | None = field(default=None, repr=False)

    @property
    def expects_continue(self) -> bool:
        """Whether the body waits for a 100-continue, which some ordinary servers do not send."""
        return self.endpoint.native and self.body is not None and self.body.large

    @property
    def silence(self) -> float | None:
        """Seconds without a byte after which the server counts as lost; None: no limit, since an
        ordinary server sends nothing while it works."""
        return limits.SILENCE if self.endpoint.native or self.body is None else None

    def start_phase(self, phase: str, seconds: float | None) -> None:
        """Enter the next phase, which may take `seconds` (None: any time)."""
        self.phase = phase
        if self.timer is not None and not self.timer.expired():
            now = asyncio.get_running_loop().time()
            self.timer.reschedule(None if seconds is None else now + seconds)

    def sent(self, size: int) -> None:
        """The server reads the body: `size` bytes of the recording were sent so far."""
        if self.body is None:
            return
        self.begun = self.begun or self.expects_continue  # it sent 100-continue
        if self.phase in (CONNECT, OFFER, UPLOAD):
            self.start_phase(UPLOAD, self.silence)
        if self.progress:
            self.progress(size, self.body.recording_size)

    def sent_all(self) -> None:
        """The whole body was sent."""
        if self.phase in (CONNECT, OFFER, UPLOAD):
            self.start_phase(WAIT, self.silence)


@asynccontextmanager
async def answered(
    call: ClientRequest, *content_types: str
) -> AsyncGenerator[aiohttp.ClientResponse]:
    """A successful answer to the request, from its headers on; closed on leaving.

    Raises:
        JobError: the answer is an error, or there was none.
    """
    try:
        response = await _attempt(call)
    except ProducerLost as exc:
        if not call.reused or call.begun or not isinstance(exc.__cause__, _CLOSED):
            raise
        call.reused, call.phase = False, CONNECT
        response = await _attempt(call)
    try:
        with mapped_errors(call):
            await _check(call, response, content_types)
        call.begun = True
        yield response
    finally:
        response.close()


async def iter_body(
    call: ClientRequest, response: aiohttp.ClientResponse, most: int
) -> AsyncGenerator[bytes]:
    """The bytes of the answer's body as they come, at most `most`."""
    total = 0
    while not response.content.at_eof():
        with mapped_errors(call):
            async with asyncio.timeout(call.silence):
                piece = await response.content.readany()
            total += len(piece)
            if total > most:
                raise BadMessage("size", f"it has more than {most} bytes")
        if call.upload_error:
            raise call.upload_error
        if piece:
            yield piece


@contextmanager
def mapped_errors(call: ClientRequest) -> Iterator[None]:
    """Raise errors of libraries as our own."""
    try:
        yield
    except JobError:
        raise
    except aiohttp.ServerFingerprintMismatch as exc:
        raise PeerKeyMismatch(f"another key answers at {call.endpoint}", exc.got) from exc
    except aiohttp.ClientHttpProxyError as exc:
        if exc.status == NO_LINE:
            raise NoParkedLine(f"no line is free at {call.endpoint.proxy}") from exc
        raise ProducerLost(f"{call.endpoint.proxy} answered {exc.status}") from exc
    except BadMessage as exc:
        raise EngineFailed(f"the answer is malformed: {exc}") from exc
    except TimeoutError as exc:
        why = _TIMED_OUT[call.phase].format(call.endpoint.connect_within)
        raise ProducerLost(why, begun=call.begun, timed_out=True) from exc
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        if isinstance(ours := exc.__cause__, JobError):  # raised by our own upload, in its task
            raise ours from None
        raise ProducerLost(_describe(exc), begun=call.begun) from exc


_CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

_TIMED_OUT = {
    CONNECT: "no connection within {:g} s",
    OFFER: f"no answer to the request headers within {limits.OFFER_TIMEOUT:.0f} s",
    UPLOAD: f"the upload stalled for {limits.SILENCE:.0f} s",
    WAIT: f"no answer within {limits.SILENCE:.0f} s",
    ANSWER: f"silent for {limits.SILENCE:.0f} s",
}


def tracing() -> aiohttp.TraceConfig:
    """aiohttp hooks that report new phases to the `ClientRequest`."""
    trace = aiohttp.TraceConfig()

    async def reused(session: object, context: Any, params: object) -> None:
        context.trace_request_ctx.reused = True

    async def headers_sent(session: object, context: Any, params: object) -> None:
        call: ClientRequest = context.trace_request_ctx
        if call.expects_continue:
            call.start_phase(OFFER, limits.OFFER_TIMEOUT)
        else:
            large = call.body is not None and call.body.large
            call.start_phase(UPLOAD if large else WAIT, call.silence)

    trace.on_connection_reuseconn.append(reused)
    trace.on_request_headers_sent.append(headers_sent)
    return trace


async def _attempt(call: ClientRequest) -> aiohttp.ClientResponse:
    body = call.body
    data: Any = None
    headers = dict(call.more_headers)
    if call.endpoint.token:
        headers["Authorization"] = f"Bearer {call.endpoint.token}"
    if not call.endpoint.queue:
        headers["Prefer"] = "wait=0"  # RFC 7240: do not queue, other producers may be idle
    if body is not None:
        headers["Content-Type"] = body.content_type
        headers["Content-Length"] = str(body.size)
        if call.expects_continue:
            headers["Accept"] = "text/event-stream"  # and heartbeats: see `request_checks`
        data = _upload(call, body) if body.large else await body.whole()
    with mapped_errors(call):
        async with asyncio.timeout(None) as call.timer:
            try:
                response = await call.session.request(
                    "GET" if body is None else "POST",
                    call.endpoint.url(call.path),
                    data=data,
                    headers=headers,
                    proxy=call.endpoint.proxy,
                    ssl=True if call.pin is None else call.pin,
                    expect100=call.expects_continue,
                    timeout=aiohttp.ClientTimeout(total=None, connect=call.endpoint.connect_within),
                    allow_redirects=False,
                    trace_request_ctx=call,
                )
            finally:
                call.timer = None
    call.phase = ANSWER
    if body is not None and not body.large and call.progress:
        call.progress(body.recording_size, body.recording_size)
    return response


async def _upload(call: ClientRequest, body: RequestBody) -> AsyncGenerator[bytes]:
    try:
        async for piece in body.pieces(call.sent):
            yield piece
    except JobError as exc:
        call.upload_error = exc
        raise
    call.sent_all()


async def _check(
    call: ClientRequest, response: aiohttp.ClientResponse, content_types: tuple[str, ...]
) -> None:
    """Check the headers of an answer.

    Raises:
        JobError: it is an error.
        BadMessage: its type or encoding is wrong.
    """
    if response.status != 200:
        raise from_response(response.status, response.headers, await _error_body(response))
    if not response.content_type.startswith(content_types):
        raise BadMessage("shape", "it is of another type than asked for")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadMessage("shape", "it is compressed")


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    """The body of an error, cut at `limits.MAX_JSON`."""
    body = b""
    try:
        async with asyncio.timeout(limits.SILENCE):
            while len(body) <= limits.MAX_JSON and not response.content.at_eof():
                body += await response.content.readany()
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the status alone says enough
    return body


def _describe(exc: BaseException) -> str:
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"no connection: {exc.os_error.strerror or exc.os_error}"
    return f"the connection failed: {str(exc)[: limits.MAX_MESSAGE] or type(exc).__name__}"
