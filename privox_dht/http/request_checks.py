"""What is looked at before a request is let in: its headers, and what they say of its body.

client -> headers    too many, an encoding, a size above the bound, a strange Expect: refused,
                     and nothing of the body was read
server -> 100-continue, when the client asked and has its slot; and if it accepts an event
                stream, the beginning of the answer at once, with beats during the upload
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
CLIENT = web.RequestKey("client", str)  # whose key a request came with
GO_AHEAD = b"HTTP/1.1 100 Continue\r\n\r\n"


def check_headers(request: web.BaseRequest, bounds: RequestLimits) -> None:
    """Refuse what no page takes.

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
    """Refuse a body whose headers already say that it is no form, or too large a one.

    Raises:
        RequestRejected: 413 or 415.
    """
    _check_size(request, bounds.upload)
    if boundary_of(request.headers.get("Content-Type", "")) is None:
        raise not_a_form()


def check_json(request: web.BaseRequest, bounds: RequestLimits) -> None:
    """Refuse a body whose headers already say that it is no JSON, or too much of it.

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
    """What admission asks about a request, which may wait for so many seconds."""
    assert isinstance(request.protocol, HttpConnection)
    prefixes = request.protocol.prefixes(prefixes_of)
    if said := _PREFER_WAIT.search(request.headers.get("Prefer", "")):
        wait = min(wait, int(said[1]))
    client = request.get(CLIENT, "")
    return Offer(prefixes, wait, uploading=True, body=request.content_length, client=client)


async def send_continue(request: web.BaseRequest) -> None:
    """Tell a client that asked first to send its body."""
    if expects_continue(request):
        await request.writer.write(GO_AHEAD)
        request.writer.output_size = 0  # the answer itself has not begun
        await request.writer.drain()


def bytes_of(request: web.BaseRequest, answer: web.StreamResponse | None) -> int:
    """Of the answer to a request: what has been sent, and what is yet to be."""
    sent = int(request.writer.output_size)
    if isinstance(answer, web.Response) and not answer.prepared and isinstance(answer.body, bytes):
        return sent + len(answer.body)
    return sent


async def reject(request: web.BaseRequest, answer: web.Response) -> web.StreamResponse:
    """Say no. Whoever asked before it sent a body will send none: to wait for one would only keep
    the connection, perhaps a relay's line, from others."""
    if expects_continue(request) and request.transport is not None:
        await answer.prepare(request)
        await answer.write_eof()
        request.transport.close()
    return answer


def expects_continue(request: web.BaseRequest) -> bool:
    """Whether the client waits for our word before it sends its body."""
    return "Expect" in request.headers and request.version >= (1, 1)


def wants_heartbeats(request: web.BaseRequest) -> bool:
    """Whether the client wants signs of life during its upload already. A body can be under way
    for long after its sender let go of it, and nothing else would tell that from death."""
    return expects_continue(request) and "text/event-stream" in request.headers.get("Accept", "")


def not_found(method: str, path: str, known: set[str]) -> RequestRejected:
    """404, or 405 naming the methods that the path knows."""
    if known:
        return RequestRejected(
            f"{path} knows {', '.join(sorted(known))}", status=405, code="method_not_allowed"
        )
    return RequestRejected("there is no such page", status=404, code="not_found")
