"""A Wyoming server for the mesh, and its announcement in the local network.

async with WyomingServer(config, provider, jobs, name):    it listens, and is announced
    ...                                                    leaving ends its connections and jobs
"""

import asyncio
import logging
from collections.abc import Callable

from wyoming.info import Info

from nodes.gateway import gateway_limits
from nodes.gateway.config import WyomingConfig
from nodes.gateway.keyless_server import KeylessServer
from nodes.gateway.wyoming_info import info_of
from nodes.gateway.wyoming_session import WyomingSession
from nodes.service import Service
from privox_dht.addresses import join_host
from privox_dht.cli.output import log_fields
from privox_dht.lan import announced
from privox_dht.quotas import Prefixes
from privox_dht.speech import EngineInfo, Provider
from privox_dht.speech_api.job_log import JobLog

log = logging.getLogger("privox.gateway")
SERVICE = "_wyoming._tcp.local."


class WyomingServer(Service):
    """Serves a provider to Wyoming clients.

    Args:
        name: under which it is announced.
        check: rejects a job from an address that has used up its quota of sound.
    """

    def __init__(
        self,
        config: WyomingConfig,
        provider: Provider,
        jobs: JobLog,
        name: str,
        check: Callable[[Prefixes], None],
    ) -> None:
        super().__init__()
        self.config, self.port = config, config.port
        self._check = check
        self._provider, self._jobs, self._name = provider, jobs, name
        self._known: list[EngineInfo] = []
        self._voices: dict[str, str] = {}  # language by name, of all that were ever listed
        self._clients = KeylessServer(
            "Wyoming",
            self._serve,
            config.allow,
            gateway_limits.WYOMING_CONNECTIONS,
            gateway_limits.WYOMING_LINE,
        )

    def __repr__(self) -> str:
        return f"<WyomingServer {join_host(self.config.host, self.port)}>"

    async def _start(self) -> None:
        config = self.config
        self.port = await self._clients.listen(self._stack, config.host, config.port)
        if config.announce:
            announcement = announced(SERVICE, self._name, self.port, config.host)
            await self._stack.enter_async_context(announcement)
        log.info(
            "Wyoming clients (Home Assistant) are served at %s, if their address is in %s",
            join_host(config.host, self.port), ", ".join(map(str, config.allow)),
            extra=log_fields("wyoming", port=self.port),
        )  # fmt: skip

    def info(self) -> Info:
        """The engines now, and the last known ones of a service that has none now, since Home
        Assistant asks only once."""
        now = self._provider.engines()
        gone = {a.service for a in self._known if not a.only_named}
        gone -= {a.service for a in now if not a.only_named}
        self._known = [*now, *(a for a in self._known if a.service in gone)]
        info = info_of(self._known)
        for voice in info.tts[0].voices:
            self._voices[voice.name] = voice.languages[0] if len(voice.languages) == 1 else ""
        return info

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, prefixes: Prefixes
    ) -> None:
        session = WyomingSession(
            reader,
            writer,
            self._provider,
            self._jobs,
            prefixes,
            self._check,
            self.info,
            self._voices,
        )
        await session.run()
