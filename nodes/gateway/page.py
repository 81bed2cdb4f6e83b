"""The gateway's page: its files, and the data that it polls.

    GET /             the page
    GET /web/NAME     its files
    GET /mesh.json    the mesh now, and the last jobs of this gateway

The files are public and need no key; `/mesh.json` needs one where there are keys.
"""

import hashlib
from importlib import resources

from aiohttp import web

from nodes.gateway.overview import Json, overview, own_producer
from nodes.gateway.provider import MeshProvider
from privox_dht.http.request_checks import not_found
from privox_dht.http.responses import json_response
from privox_dht.speech_api.speech_server import SpeechServer

INDEX = "index.html"
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = (  # nothing from other hosts, nothing inline, no frame around it
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # revalidated each time (304), so that versions never mix
}


class Page:
    """The page of one gateway."""

    def __init__(self, server: SpeechServer, provider: MeshProvider) -> None:
        self._provider, self._jobs = provider, server.jobs
        self._files = page_files()
        self.https_port: int | None = None  # of the same page over HTTPS; None: it is not served so
        server.add_page("GET", "/", self._file)
        server.add_page("GET", "/web/{name}", self._file)
        server.add_page("GET", "/mesh.json", self._mesh)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", INDEX)
        content = self._files.get(name)
        if content is None:
            raise not_found(request.method, request.path, set())
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {**HEADERS, "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        kind = KINDS[name.rpartition(".")[2]]
        return web.Response(body=content, headers={**headers, "Content-Type": kind})

    async def _mesh(self, request: web.Request) -> web.StreamResponse:
        return json_response(self.mesh_json(), headers={"Cache-Control": "no-store"})

    def mesh_json(self) -> Json:
        """The content of `/mesh.json`."""
        own = self._provider.own
        status = own.provider.status()
        here = own_producer(own.peer_id, own.engines(), status["slots"], status["idle"])
        now = overview(self._provider.records, here, self._provider.status())
        return {**now, "https_port": self.https_port, "jobs": self._jobs.recent()}


def page_files() -> dict[str, bytes]:
    """The files of the page, by name."""
    folder = resources.files("nodes") / "web"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
