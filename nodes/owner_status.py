"""The status page for the node's owner only: `GET /v1/owner-status` at the node's port.

node               -> its folder    a secret, new at each start, in `listening.json`
privox-node status -> the page      with that secret; without it the answer is 404
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from privox_dht.http.http_server import Handler
from privox_dht.http.request_checks import not_found
from privox_dht.http.responses import json_response

OWNER_STATUS = "/v1/owner-status"
BEARER = "Bearer "


def owner_page(secret: str, status: Callable[[], Mapping[str, Any]]) -> Handler:
    """The page, with what `status` returns, for a request with the secret as its bearer token."""

    async def answer(request: web.Request) -> web.StreamResponse:
        """Raises: RequestRejected: 404, without the secret."""
        token = request.headers.get("Authorization", "").removeprefix(BEARER)
        if not hmac.compare_digest(token.encode("utf-8", "replace"), secret.encode()):
            raise not_found(request.method, request.path, set())
        return json_response(status(), headers={"Cache-Control": "no-store"})

    return answer
