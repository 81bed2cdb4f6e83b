"""The gateway service of a node: the mesh behind ordinary HTTP on this machine.

async with Gateway(config, directory):     entering returns when it listens
    ...                                    leaving cancels its jobs
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nodes.gateway import gateway_limits
from nodes.gateway.access import Access
from nodes.gateway.config import GatewayConfig, WyomingConfig
from nodes.gateway.dialects import Dialects
from nodes.gateway.https_listener import HttpsListener
from nodes.gateway.monitoring import Monitoring
from nodes.gateway.own_engines import OwnEngines
from nodes.gateway.page import Page
from nodes.gateway.privox_ports import PrivoxPorts
from nodes.gateway.privox_rest import PrivoxRest
from nodes.gateway.provider import MeshProvider
from nodes.gateway.sova import Sova
from nodes.gateway.whisper_asr import WhisperAsr
from nodes.service import Service
from privox_dht.addresses import is_loopback, join_host
from privox_dht.cli.output import log_fields
from privox_dht.directory.failover import Directory
from privox_dht.extras import needed_by
from privox_dht.http.request_limits import RequestLimits
from privox_dht.identity import Identity
from privox_dht.mesh import Mesh
from privox_dht.relay.tcp import file_budget
from privox_dht.speech_api.client import SpeechClient
from privox_dht.speech_api.job_log import JobLog, ServedJob
from privox_dht.speech_api.speech_server import SpeechServer

if TYPE_CHECKING:
    from nodes.gateway.wyoming_server import WyomingServer

log = logging.getLogger("privox.gateway")
FILES_BESIDE = 256  # open files left for other parts of the node


def _bounds() -> RequestLimits:
    """The limits of the gateway; as many connections as the system allows open files."""
    connections = min(gateway_limits.CONNECTIONS, max(file_budget() - FILES_BESIDE, FILES_BESIDE))
    return RequestLimits(
        upload=gateway_limits.MAX_UPLOAD,
        queue_wait=gateway_limits.QUEUE_WAIT,
        connections=connections,
        keepalive=gateway_limits.KEEPALIVE,
        # A request that waits for its turn is not idle
        jobless=gateway_limits.QUEUE_WAIT + gateway_limits.KEEPALIVE,
    )


class Gateway(Service):
    """OpenAI's audio API on loopback, answered by the mesh."""

    def __init__(
        self,
        config: GatewayConfig,
        directory: Directory,
        own: OwnEngines,
        joined: asyncio.Event | None,
        identity: Identity | None = None,
    ) -> None:
        """
        Args:
            directory: of the node that the gateway runs in.
            own: the engines of that node.
            joined: set once that node has joined; None: it starts a mesh of its own.
            identity: of that node, if it proves itself to producers (--identify).
        """
        self._identity = identity
        self._joined = joined
        super().__init__()
        self.config = config
        self._own = own
        self._directory = directory

    def __repr__(self) -> str:
        return f"<Gateway {join_host(self.config.host, self.config.port)}>"

    @property
    def port(self) -> int:
        """The TCP port, once entered."""
        return self.server.port

    async def _start(self) -> None:
        enter = self._stack.enter_async_context
        dht = self._directory
        client = await enter(
            SpeechClient(allow=dht.allows, member=dht.member, identity=self._identity)
        )
        mesh = Mesh.over(dht, client)
        self.provider = MeshProvider(mesh, self.config.wait, self._own, self._joined)
        self._spawn("the gateway's view of the mesh", self.provider.run())
        access, bounds = Access(self.config), _bounds()

        def job_changed(job: ServedJob) -> None:
            for watcher in (access, monitoring):
                watcher.job_changed(job)

        self.server = SpeechServer(
            self.provider, host=self.config.host, port=self.config.port, tls=None,
            bounds=bounds, any_engine=True, pcm_rate=gateway_limits.OPENAI_PCM_RATE,
            jobs=JobLog(job_changed),
        )  # fmt: skip
        dialects = Dialects(self.server, self.provider, bounds, access)
        for dialect in (WhisperAsr, Sova, PrivoxRest):
            dialect(dialects)
        monitoring = Monitoring(self.server, self.provider)
        self.page = Page(self.server, self.provider)
        self.server.app.middlewares.append(access.middleware())
        await enter(self.server)
        if self.config.https is not None:
            self.https = await enter(HttpsListener(self.config.https, self.server))
            self.page.https_port = self.https.port
        self._log_who_is_served()
        if self.config.privox_ports is not None:
            self.privox = await enter(PrivoxPorts(
                self.config, self.config.privox_ports, dialects, self.provider.pulls,
                access.check_address,
            ))  # fmt: skip
        if self.config.wyoming is not None:
            self.wyoming = await enter(self._wyoming(self.config.wyoming, access))
        log.info(
            "the mesh is at http://%s/ for people, and at /v1 there for apps made for OpenAI's API",
            join_host(self.config.host, self.port), extra=log_fields("gateway", port=self.port),
        )  # fmt: skip

    def status(self) -> Mapping[str, Any]:
        if self.config.privox_ports is None:
            return {}
        return {"privox_ports": self.privox.status()}

    def owner_status(self) -> Mapping[str, Any]:
        """For `privox-node status`: URLs, the mesh, jobs."""
        urls = [f"http://{join_host(self.config.host, self.port)}/"]
        urls += [self.https.url] if self.config.https else []
        return {**self.page.mesh_json(), "urls": urls, "outcomes": self.server.jobs.status()}

    def _log_who_is_served(self) -> None:
        """Log which clients are served, if other machines can reach the gateway."""
        config = self.config
        hosts = (config.host, config.https.host if config.https else config.host)
        if not all(map(is_loopback, hosts)):
            keyed = f"clients with a key of {config.keys}"
            clients = keyed if config.keys else "everybody (--open)"
            networks = ", ".join(map(str, config.allow))
            log.info(
                "the gateway serves %s; dialects without keys serve the addresses of %s",
                clients,
                networks,
            )

    def _wyoming(self, config: WyomingConfig, access: Access) -> WyomingServer:
        """
        Raises:
            ConfigError: a package that it needs is not installed.
        """
        with needed_by("--wyoming", "gateway"):
            from nodes.gateway.wyoming_server import WyomingServer
        name = f"privox-{self._own.peer_id[:8]}"
        jobs = self.server.jobs
        return WyomingServer(config, self.provider, jobs, name, access.check_address)
