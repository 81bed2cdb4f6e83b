"""Checks of a request before its body is read.

client -> headers       too many, an encoding, a size above the limit, an unknown Expect: rejected
                        before any of the body is read
server -> 100-continue  when the client asked for it and has its slot; if it accepts an event
                        stream, the answer begins at once, with heartbeats during the upload
"""

import re
from collections.abc import Callable

from aiohttp import web

from privox_dht import units
from privox_dht.errors import RequestRejected
from privox_dht.http.connections import HttpConnection
from privox_dht.http.multipart import boundary_of
from privox_dht.http.request_body import not_a_form, too_large
from privox_dht.http.request_limits import RequestLimits
from privox_dht.offer import Offer
from privox_dht.quotas import Prefixes

_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,4})(?:$|[,;\s])")  # RFC 7240, 4.3
CLIENT = web.RequestKey("client", str)  # the name of the API key of a request
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def check_headers(request: web.BaseRequest, bounds: RequestLimits) -> None:
    """Reject what no page accepts.

    Raises:
        RequestRejected: 415, 417 or 431.
    """
    size = len(request.raw_path) + sum(len(n) + len(v) + 4 for n, v in request.raw_headers)
    if size > bounds.headers:
        raise RequestRejected(
            f"the headers are larger than {units.size(bounds.headers)}",
            status=431,
            code="headers_too_large",
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RequestRejected(
            "the body is compressed; send it as it is", status=415, code="content_encoding"
        )
    if request.headers.get("Expect", "100-continue").lower() != "100-continue":
        raise RequestRejected("only 100-continue can be expected", status=417, code="bad_expect")


def check_form(request: web.BaseRequest, bounds: RequestLimits) -> None:
    """Reject a body that is not a form or too large, by its headers.

    Raises:
        RequestRejected: 413 or 415.
    """
    _check_size(request, bounds.upload)
    if boundary_of(request.headers.get("Content-Type", "")) is None:
        raise not_a_form()


def check_json(request: web.BaseRequest, bounds: RequestLimits) -> None:
    """Reject a body that is not JSON or too large, by its headers.

    Raises:
        RequestRejected: 413 or 415.
    """
    _check_size(request, bounds.json)
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise RequestRejected("the body is not application/json", status=415, code="not_json")


def _check_size(request: web.BaseRequest, most: int) -> None:
    if request.content_length is not None and request.content_length > most:
        raise too_large(most)


def offer_of(
    request: web.BaseRequest, prefixes_of: Callable[[str], Prefixes], wait: float
) -> Offer:
    """The offer for admission: the client's networks, and how many seconds it may wait."""
    assert isinstance(request.protocol, HttpConnection)
    prefixes = request.protocol.prefixes(prefixes_of)
    if prefer := _PREFER_WAIT.search(request.headers.get("Prefer", "")):
        wait = min(wait, int(prefer[1]))
    client = request.get(CLIENT, "")
    return Offer(prefixes, wait, uploading=True, body=request.content_length, client=client)


async def send_continue(request: web.BaseRequest) -> None:
    """Send 100-continue, if the client waits for it."""
    if expects_continue(request):
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0  # the answer itself has not begun
        await request.writer.drain()


def bytes_of(request: web.BaseRequest, answer: web.StreamResponse | None) -> int:
    """The size of the answer to a request, including what is not sent yet."""
    sent = int(request.writer.output_size)
    if isinstance(answer, web.Response) and not answer.prepared and isinstance(answer.body, bytes):
        return sent + len(answer.body)
    return sent


async def reject(request: web.BaseRequest, answer: web.Response) -> web.StreamResponse:
    """Reject. A client that sent `Expect: 100-continue` sends no body after a rejection, so its
    connection (maybe a relay line) is closed at once."""
    if expects_continue(request) and request.transport is not None:
        await answer.prepare(request)
        await answer.write_eof()
        request.transport.close()
    return answer


def expects_continue(request: web.BaseRequest) -> bool:
    """Whether the client waits for a 100-continue before it sends its body."""
    return "Expect" in request.headers and request.version >= (1, 1)


def wants_heartbeats(request: web.BaseRequest) -> bool:
    """Whether the client wants heartbeats during its upload already: a body can be in buffers long
    after it was sent, and without heartbeats that looks like a dead server."""
    return expects_continue(request) and "text/event-stream" in request.headers.get("Accept", "")


def not_found(method: str, path: str, known: set[str]) -> RequestRejected:
    """404, or 405 with the methods that the path has."""
    if known:
        return RequestRejected(
            f"{path} takes {', '.join(sorted(known))} only", status=405, code="method_not_allowed"
        )
    return RequestRejected("there is no such page", status=404, code="not_found")
