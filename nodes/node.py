"""A node: identity, DHT, the services it hosts, its port, announcements. In that order.

async with Node(config):    entering returns when it listens and its engines are warm;
    ...                     joining goes on in the background until a node answers;
                            leaving withdraws the records and stops all tasks and processes
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from nodes.announcer import Announcer
from nodes.config import NodeConfig
from nodes.farm_discovery import known_farms
from nodes.farm_service import FarmService
from nodes.health import Listening, listening_file
from nodes.lan_service import LanService
from nodes.owner_status import OWNER_STATUS, owner_page
from nodes.port_conflicts import explain_conflicts
from nodes.reachability import ReachabilityMonitor
from nodes.routes import routes
from nodes.service import Service, spawn
from nodes.speech_service import SpeechService
from nodes.state_lock import locked
from nodes.stats_log import log_periodically
from privox_dht import limits
from privox_dht.addresses import join_host
from privox_dht.cli.output import log_fields
from privox_dht.dht.udp_transport import FREE_PORT_TRIES
from privox_dht.directory.failover import Directory
from privox_dht.directory.https_server import directory_pages
from privox_dht.errors import ConfigError
from privox_dht.http.http_server import Handler
from privox_dht.http.listener import bind
from privox_dht.identity import Identity, public_of
from privox_dht.membership.secret_file import membership_of
from privox_dht.membership.tls import server_context
from privox_dht.records import Record
from privox_dht.relay import FarmPool
from privox_dht.speech_api.speech_server import SpeechServer

if TYPE_CHECKING:
    from nodes.gateway.config import GatewayConfig
    from nodes.gateway.gateway import Gateway

log = logging.getLogger("privox.node")
S = TypeVar("S", bound=Service)
WARN_AFTER = 4  # announcements in a row that no node stored


class Node:
    """One running node."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self._stack = AsyncExitStack()
        self._published: dict[str, tuple[str, ...]] = {}  # the routes published last, by kind
        self._unstored = 0  # announcements in a row that no other node stored
        self._is_up = False
        self._owner_secret = secrets.token_urlsafe(32)
        self.services: list[Service] = []
        self.gateway: Gateway | None = None

    async def __aenter__(self) -> Node:
        try:
            await self._start()
        except BaseException as exc:
            await self._stack.aclose()
            if isinstance(exc, ConfigError) and (conflicts := explain_conflicts(self.config)):
                raise ConfigError(conflicts) from exc
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        log.info("stopping; press Ctrl-C again to quit at once")
        for service in self.services:
            service.stop_accepting()
        await self._stack.aclose()
        log.info("stopped")

    async def _start(self) -> None:
        config, enter = self.config, self._stack.enter_async_context
        self._stack.enter_context(locked(config.state_dir))
        self.identity = Identity.load(config.state_dir)
        self.member = membership_of(config.secret_file, config.network)
        if self.member is not None:
            self.member.own.published = frozenset(config.advertise)
        self.dht, sockets = await self._on_one_port()
        port = sockets[0].getsockname()[1]
        self.reachability = ReachabilityMonitor(config, self.dht, port, self._changed)
        self.speech = await self._host(SpeechService(
            config, self.dht.mesh, self.reachability,
            on_change=self._changed, node_status=self.status,
        ))  # fmt: skip
        self.relaying = await self._host(
            FarmService(config, self.identity, self.dht.mesh, self.reachability, self.member)
        )
        if config.lan:
            in_lan = LanService(config, self.dht, self.reachability)
            self.reachability.lan = (await self._host(in_lan)).neighbours
        if config.gateway:
            self.gateway = await self._host(self._make_gateway(config.gateway))
        self.server = await enter(self._server(sockets))
        self._stack.enter_context(listening_file(config.state_dir, self._where()))
        log.info(
            "node %s listens on UDP %d and TCP %d, mesh %r",
            self.identity.peer_id, self.dht.port, self.server.port, config.network,
            extra=log_fields("listening", port=self.dht.port, job_port=self.server.port,
                       peer=self.identity.peer_id),
        )  # fmt: skip
        self.farm_pool = self._farm_pool()
        self.reachability.farm_failures = lambda: self.farm_pool.farm_failures
        if self.speech.producer.engines():
            spawn(self._stack, "parking", self._park())
        spawn(self._stack, "reachability", self.reachability.run())
        spawn(self._stack, "reporting", log_periodically(self.dht.stats))
        self.announcer = await enter(  # left first: its records are withdrawn before anything stops
            Announcer(self.identity, self.own_records, self._publish, folder=config.state_dir)
        )
        self._is_up = True

    def _make_gateway(self, config: GatewayConfig) -> Gateway:
        from nodes.gateway.gateway import Gateway  # here: it imports all of the client's side
        from nodes.gateway.own_engines import OwnEngines

        own = OwnEngines(self.speech.producer, self.config.slots, self.identity.peer_id)
        joined = self.reachability.joined if self.config.neighbours else None
        return Gateway(config, self.dht, own, joined, self.identity if config.identify else None)

    async def _host(self, service: S) -> S:
        """Enter a service; it ends with the node."""
        await self._stack.enter_async_context(service)
        self.services.append(service)
        return service

    def _where(self) -> Listening:
        everywhere = self.config.host in (None, "0.0.0.0", "::")
        return Listening(
            self.identity.peer_id, self.config.network, "localhost" if everywhere
            else str(self.config.host), self.dht.port, self.server.port,
            str(self.config.secret_file.absolute()) if self.config.secret_file else "",
            self._owner_secret,
        )  # fmt: skip

    async def _on_one_port(self) -> tuple[Directory, list[socket.socket]]:
        """The DHT on a UDP port, and the sockets of the TCP port of the same number: where UDP is
        blocked, others try HTTPS at a neighbour's UDP port. With port 0, a number free for both.

        Raises:
            ConfigError: the port is in use, or no port is free for both.
        """
        config = self.config
        for tries_left in reversed(range(FREE_PORT_TRIES)):
            async with AsyncExitStack() as stack:
                sockets = bind(config.host, config.port)
                for bound in sockets:
                    stack.callback(bound.close)
                try:
                    dht = await stack.enter_async_context(
                        self._directory(sockets[0].getsockname()[1])
                    )
                except ConfigError:
                    if config.port or not tries_left:
                        raise
                else:
                    self._stack.push_async_exit(stack.pop_all())
                    return dht, sockets
        raise AssertionError("the last try returns or raises")

    def _directory(self, port: int) -> Directory:
        config = self.config
        guest = bool(config.neighbours) and not config.advertise and config.reachable != "yes"
        return Directory(
            self.identity, network=config.network, host=config.host, port=port,
            guest=guest, state=config.state_dir, member=self.member,
        )  # fmt: skip

    def _server(self, sockets: list[socket.socket]) -> SpeechServer:
        """The node's port: the speech API, the directory, and the pages of the services."""
        pages: dict[tuple[str, str], Handler] = {}
        pages.update(directory_pages(self.dht.resolver))
        pages["GET", OWNER_STATUS] = owner_page(self._owner_secret, self.owner_status)
        for service in self.services:
            pages.update(service.routes())
        return SpeechServer(
            self.speech.producer, host=self.config.host, sockets=sockets,
            tls=server_context(self.identity, self.member), bounds=self.config.bounds,
            more=pages, encoders=self.speech.codecs, own=self.identity.public,
        )  # fmt: skip

    def _farm_pool(self) -> FarmPool:
        chosen, dht = self.config.farms, self.dht
        never = {self.identity.public, *map(public_of, self.config.lending.deny_peers)}
        return FarmPool(
            self.identity,
            lambda: known_farms(dht, chosen, dht.allows, never),
            server_context=server_context(self.identity, self.member),
            connection=self.server.connection,
            on_change=self._parked,
            member=self.member,
        )

    async def _park(self) -> None:
        """Be reachable through farms, from joining until the node ends."""
        await self.reachability.joined.wait()
        async with self.farm_pool:
            await asyncio.Event().wait()

    def _parked(self, pool: FarmPool) -> None:
        where = ", ".join(join_host(farm.host, farm.port) for farm in pool.parked_at)
        log.info("parked at %s", where or "no farm", extra=log_fields("parked", farms=where))
        self.reachability.parked_at(tuple(dict.fromkeys(farm.public for farm in pool.parked_at)))

    def own_records(self) -> Sequence[Record]:
        """The records to announce now; none before we have joined."""
        if not self.reachability.ready_to_publish:
            return []
        return [record for service in self.services for record in service.records()]

    def status(self) -> Mapping[str, Any]:
        """For `GET /v1/status`."""
        network_state = self.reachability.network_state
        return {
            "peer": self.identity.peer_id,
            "network": self.config.network,
            "private_mesh": self.member is not None,
            "reachable": network_state.reachable,
            "routes": [str(route) for route in routes(network_state)],
            "lends": sorted(kind for service in self.services for kind in service.lends),
            "published": {kind: list(where) for kind, where in self._published.items()},
            "dht": self.dht.stats(),
            **{name: value for s in self.services for name, value in s.status().items()},
        }

    def owner_status(self) -> Mapping[str, Any]:
        """For `privox-node status`: all of `status`, and what only the owner may see."""
        engines = self.speech.producer.engines()
        parked = self.farm_pool.parked_at if self._is_up else ()
        return {
            **self.speech.producer.status(),
            "waiting": self.speech.producer.waiting,
            "engines": [
                {"service": e.service, "backend": e.backend, "engine": e.engine,
                 "models": list(e.models[:limits.MAX_MODELS])} for e in engines
            ],
            "jobs": self.server.jobs.status(),
            "recent": self.server.jobs.recent(),
            "parked_at": [join_host(farm.host, farm.port) for farm in parked],
            "wrong": self.reachability.report.wrong,
            "neighbours": [join_host(*contact) for contact in self.dht.contacts()],
            "gateway": self.gateway.owner_status() if self.gateway else None,
        }  # fmt: skip

    async def _publish(self, record: Record) -> int:
        holders = await self.dht.publish(record)
        if record.withdrawn:
            self._published.pop(record.kind, None)
            return holders
        self._unstored = (
            self._unstored + 1 if not holders and self.reachability.joined.is_set() else 0
        )
        if self._unstored == WARN_AFTER:
            log.warning("no node stores our records, so clients cannot find us: check the clock")
        routes_now = tuple(map(str, record.routes))
        if holders and routes_now != self._published.get(record.kind):
            self._published[record.kind] = routes_now
            fields = log_fields("published", service=record.kind, routes=routes_now,
                                holders=holders, peer=self.identity.peer_id)  # fmt: skip
            log.info("published %s: %s; nodes that hold it: %d",
                     record.kind, ", ".join(routes_now), holders, extra=fields)  # fmt: skip
        return holders

    def _changed(self) -> None:
        if self._is_up:
            self.announcer.changed()
