"""Pages for operators: `/healthz` for supervisors, `/metrics` for Prometheus.

Numbers only: no texts, addresses or names of keys.
"""

from aiohttp import web

from nodes.gateway.job_durations import JobDurations
from nodes.gateway.provider import MeshProvider
from privox_dht.errors import JobError
from privox_dht.http.responses import json_response
from privox_dht.speech import SERVICES
from privox_dht.speech_api.job_log import DONE, ServedJob
from privox_dht.speech_api.speech_server import SpeechServer


class Monitoring:
    """The two pages of one gateway."""

    def __init__(self, server: SpeechServer, provider: MeshProvider) -> None:
        self._provider, self._jobs = provider, server.jobs
        self._durations = {service: JobDurations() for service in SERVICES}
        server.add_page("GET", "/healthz", self._health)
        server.add_page("GET", "/metrics", self._metrics)

    def job_changed(self, job: ServedJob) -> None:
        """A job began or ended."""
        if job.outcome == DONE:
            self._durations[job.service].add(job.seconds)

    async def _health(self, request: web.Request) -> web.StreamResponse:
        """503 while no job can be done."""
        offered = {info.service for info in self._provider.engines()}
        services = {service: service in offered for service in SERVICES}
        return json_response({"ok": bool(offered), **services}, status=200 if offered else 503)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        try:
            from nodes.gateway.metrics import exposition
        except ImportError as exc:
            raise JobError(f"{request.path} needs: pip install 'privox-dht[gateway]'") from exc
        accepted = request.headers.get("Accept", "")
        body, content_type = exposition(
            self._provider.status(), self._jobs, self._durations, accepted
        )
        return web.Response(body=body, headers={"Content-Type": content_type})
