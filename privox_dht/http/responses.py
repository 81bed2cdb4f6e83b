"""Responses to a client.

text_response(...)  a whole answer
StreamingResponse   an answer in pieces, each sent within a time limit or the client counts as gone:
                      open -> send ... -> close   complete
                      open -> send ... -> abort   the connection is aborted, so that the client does
                                                  not take what came for the whole
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from aiohttp import web

from privox_dht.http.error_mapping import status_of, to_error_object, to_headers

JSON = "application/json"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def text_response(
    body: str,
    content_type: str = JSON,
    *,
    status: int = 200,
    headers: Mapping[str, str] = NO_HEADERS,
) -> web.Response:
    """A whole answer in text."""
    return web.Response(
        body=body.encode("utf-8", "replace"),
        status=status,
        headers={"Content-Type": f"{content_type}; charset=utf-8", **headers},
    )


def json_response(
    value: object, *, status: int = 200, headers: Mapping[str, str] = NO_HEADERS
) -> web.Response:
    """A whole answer in JSON."""
    return text_response(json.dumps(value, ensure_ascii=False), status=status, headers=headers)


def error_response(exc: BaseException) -> web.Response:
    """The response for an error before the answer began. The connection is closed, since the rest
    of an upload would be taken for the next request."""
    status, _ = status_of(exc)
    answer = json_response({"error": to_error_object(exc)}, status=status, headers=to_headers(exc))
    answer.force_close()
    return answer


class ClientGone(ConnectionError):
    """The client has not read a byte for too long."""


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """
    Raises:
        ClientGone: the body of the context took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise ClientGone("the client stopped reading its answer") from exc


class StreamingResponse:
    """One answer in pieces."""

    def __init__(self, request: web.BaseRequest, stall: float) -> None:
        self._request = request
        self._stall = stall  # seconds to send one piece
        self.response = web.StreamResponse()

    @property
    def begun(self) -> bool:
        return self.response.prepared

    async def open(self, content_type: str, headers: Mapping[str, str]) -> None:
        """Send the headers."""
        self.response.headers.update({"Cache-Control": "no-store", **headers})
        self.response.headers["Content-Type"] = content_type
        if self._request.version >= (1, 1):
            self.response.enable_chunked_encoding()
        async with in_time(self._stall):
            await self.response.prepare(self._request)

    async def send(self, piece: bytes) -> None:
        """Send one piece.

        Raises:
            ConnectionError: the client disconnected, or has not read for too long.
        """
        if piece:
            async with in_time(self._stall):
                await self.response.write(piece)

    async def close(self) -> web.StreamResponse:
        """End the answer as complete."""
        async with in_time(self._stall):
            await self.response.write_eof()
        return self.response

    def abort(self) -> web.StreamResponse:
        """End the answer so that the client does not take it for complete."""
        if self._request.transport is not None:
            self._request.transport.abort()
        return self.response
