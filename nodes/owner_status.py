"""The status for the node's owner only: `GET /v1/owner-status` at its own port.

node             -> its folder    a secret of this run, in `listening.json`
privox-node status -> the page    with that secret; without it the answer is 404
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from privox_dht.http.request_checks import not_found
from privox_dht.http.responses import json_response

OWNER_STATUS = "/v1/owner-status"
BEARER = "Bearer "


class OwnerPage:
    """The page.

    Args:
        secret: that a request must bring as a bearer token.
        status: what the page shows, JSON-able.
    """

    def __init__(self, secret: str, status: Callable[[], Mapping[str, Any]]) -> None:
        self._secret, self._status = secret, status

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Raises: RequestRejected: 404, without the secret."""
        brought = request.headers.get("Authorization", "").removeprefix(BEARER)
        if not hmac.compare_digest(brought.encode("utf-8", "replace"), self._secret.encode()):
            raise not_found(request.method, request.path, set())
        return json_response(self._status(), headers={"Cache-Control": "no-store"})
