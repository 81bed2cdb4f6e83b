"""The mesh's directory as a page of the speech API, for those whose network blocks UDP.

    client -> GET  /v1/records?key=<40 hex digits>&want=<1 to 256>   the records under a key
              GET  /v1/records                                       none: which mesh, and its time
              POST /v1/records     one signed record                 store it in the DHT
    node   -> msgpack {"m": mesh tag, "n": ms since the epoch, "o": the client's address as seen,
                       "r": [encoded records], "h": nodes that hold the record that was stored}

The client does not check the certificate, and need not: nothing secret is sent, and each record is
signed by its publisher. Errors are those of the API, in JSON.
"""

import functools
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from privox_dht import limits
from privox_dht.addresses import is_literal
from privox_dht.directory.https_answer import CONTENT_TYPE, PATH, Answer
from privox_dht.errors import RequestRejected
from privox_dht.http.request_body import read_json as read_small
from privox_dht.http.request_limits import RequestLimits

KEY = re.compile(r"[0-9a-f]{40}", re.ASCII)
NUMBER = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
_RECORD = RequestLimits(json=limits.MAX_RECORD)  # what a body may bring

Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Resolver(Protocol):
    """The node behind the page. Any of these may raise ProducerBusy or NotJoined."""

    @property
    def mesh(self) -> bytes: ...

    def now(self) -> float: ...

    def hello(self, client: str) -> None: ...

    async def look_up(self, client: str, key: bytes, want: int) -> list[bytes]: ...

    async def publish_for(self, client: str, wire: bytes) -> int: ...


def directory_pages(resolver: Resolver) -> dict[tuple[str, str], Page]:
    """What `SpeechServer(more=...)` takes."""
    return {
        ("GET", PATH): functools.partial(_get, resolver),
        ("POST", PATH): functools.partial(_post, resolver),
    }


def parse_query(query: Mapping[str, str]) -> tuple[bytes, int] | None:
    """The key and the number of records that a query names; None if it names nothing.

    Raises:
        RequestRejected: it names something else.
    """
    if not query:
        return None
    if len(query) > len(set(query)) or set(query) - {"key", "want"}:
        raise RequestRejected("key and want can be asked for, each once", code="bad_query")
    key, want = query.get("key", ""), query.get("want", str(limits.FIND_WANT))
    if not KEY.fullmatch(key):
        raise RequestRejected("key is not 40 hex digits", code="bad_key")
    if not NUMBER.fullmatch(want) or int(want) > limits.LIST_WANT:
        raise RequestRejected(f"want is not a number from 1 to {limits.LIST_WANT}", code="bad_want")
    return bytes.fromhex(key), int(want)


async def _get(resolver: Resolver, request: web.BaseRequest) -> web.StreamResponse:
    client, question = _client_address(request), parse_query(request.query)
    if question is None:
        resolver.hello(client)
        return _answer(resolver, client)
    return _answer(resolver, client, records=tuple(await resolver.look_up(client, *question)))


async def _post(resolver: Resolver, request: web.BaseRequest) -> web.StreamResponse:
    client = _client_address(request)
    if (request.content_length or 0) > limits.MAX_RECORD:
        raise RequestRejected(
            f"a record has at most {limits.MAX_RECORD} bytes", status=413, code="too_large"
        )
    wire = await read_small(request, _RECORD)
    return _answer(resolver, client, holders=await resolver.publish_for(client, wire))


def _answer(resolver: Resolver, client: str, **more: Any) -> web.Response:
    answer = Answer(resolver.mesh, resolver.now(), client, **more)
    return web.Response(
        body=answer.encode(), content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"}
    )


def _client_address(request: web.BaseRequest) -> str:
    """The address a request comes from; a farm's, if it comes through one."""
    address = (request.remote or "").partition("%")[0]
    if not is_literal(address):
        raise RequestRejected("only requests over TCP are answered", status=403, code="no_address")
    return address
