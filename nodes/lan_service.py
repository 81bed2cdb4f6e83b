"""Announces a node in its local network, and finds others there to join through.

It starts anew when this machine's addresses change, as with a laptop in another network.
"""

import asyncio
import logging
import secrets
from contextlib import AsyncExitStack

from nodes.config import NodeConfig
from nodes.reachability import ReachabilityMonitor
from nodes.service import Service
from privox_dht.addresses import Address
from privox_dht.cli.output import log_fields
from privox_dht.directory.failover import Directory
from privox_dht.extras import needed_by

log = logging.getLogger("privox.node")
POLL_INTERVAL = 5.0  # seconds between two checks of this machine's addresses


class LanService(Service):
    """Announces this node, and keeps the announcements of others."""

    def __init__(
        self, config: NodeConfig, dht: Directory, reachability: ReachabilityMonitor
    ) -> None:
        """
        Raises:
            ConfigError: the libraries for it are not installed.
        """
        super().__init__()
        with needed_by("--lan", "lan"):
            from privox_dht import lan
        self._library = lan
        self._host, self._dht, self._reachability = config.host, dht, reachability
        # Not the peer id: it would identify the machine
        self._name = f"privox-{secrets.token_hex(4)}"
        self._lan: lan.Lan | None = None

    async def _start(self) -> None:
        self._spawn("the local network", self._keep_up())

    def neighbours(self) -> list[Address]:
        """The nodes to try now; see `lan_neighbours`."""
        return self._lan.neighbours() if self._lan else []

    async def _keep_up(self) -> None:
        lan, dht, warned = self._library, self._dht, False
        while True:
            here = lan.links(self._host)
            try:
                async with AsyncExitStack() as stack:
                    enter = stack.enter_async_context
                    found = self._reachability.check_soon
                    self._lan = await enter(lan.Lan(dht.mesh, self._host, dht.port, found))
                    text = lan.properties(dht.mesh)
                    await enter(lan.announced(lan.SERVICE, self._name, dht.port, self._host, text))
                    log.info("announced in the local network as %s", self._name,
                             extra=log_fields("announced", name=self._name))  # fmt: skip
                    warned = False
                    while lan.links(self._host) == here:  # noqa: ASYNC110
                        await asyncio.sleep(POLL_INTERVAL)
            except OSError as exc:
                if not warned:
                    log.warning("cannot find nodes in the local network: %s", exc.strerror or exc)
                warned = True
                await asyncio.sleep(POLL_INTERVAL)
