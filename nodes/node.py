"""A node: identity, DHT, engines behind the speech API, a farm, announcements. In that order.

async with Node(config):    entering returns when it listens and its engines are warm;
    ...                     joining goes on in the background until somebody answers
                            leaving withdraws the records and leaves nothing behind
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

from nodes import sound_check
from nodes.announcer import Announcer
from nodes.clashes import clashes, in_words
from nodes.codecs import Codecs
from nodes.config import NodeConfig
from nodes.engine_startup import records_of, started_engines
from nodes.engines.deadly import Deadly
from nodes.engines.model_memory import ModelMemory
from nodes.engines.pooled_engine import EngineOptions
from nodes.farm_discovery import known_farms
from nodes.gateway.gateway import Gateway
from nodes.gateway.own_engines import OwnEngines
from nodes.health import Listening, told_in
from nodes.producer import Producer
from nodes.reachability import ReachabilityMonitor
from nodes.relaying import Relaying
from nodes.routes import routes
from nodes.state_lock import locked
from nodes.stats_log import log_periodically
from privox_dht.cli.settings import log_fields
from privox_dht.dht.udp_transport import FREE_PORT_TRIES
from privox_dht.directory.failover import Directory
from privox_dht.directory.https_server import directory_pages
from privox_dht.errors import ConfigError
from privox_dht.hostport import join_host
from privox_dht.http.listener import bind
from privox_dht.identity import Identity
from privox_dht.records import FARM, Record
from privox_dht.relay import Farm, FarmPool
from privox_dht.speech_api.server import SpeechServer

log = logging.getLogger("privox.node")
DEADLY = "deadly.json"  # in the state folder: hashes of what brought engines down
TOLD_AFTER = 4  # announcements that nobody took after which our owner hears of it


class Node:
    """One running node."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self._stack = AsyncExitStack()
        self._was_idle = True
        self._published: dict[str, tuple[str, ...]] = {}  # the routes we said last, by kind
        self._unheard = 0  # announcements in a row that no other node took
        self._is_up = False
        self.gateway: Gateway | None = None

    async def __aenter__(self) -> Node:
        try:
            await self._start()
        except BaseException as exc:
            await self._stack.aclose()
            if isinstance(exc, ConfigError) and (found := clashes(self.config)):
                raise ConfigError(in_words(found)) from exc
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        log.info("stopping; asked once more it ends at once")
        self.producer.admission.close()
        await self._stack.aclose()
        log.info("stopped")

    async def _start(self) -> None:
        config, enter = self.config, self._stack.enter_async_context
        self._stack.enter_context(locked(config.state_dir))
        self.identity = Identity.load(config.state_dir)
        self.dht, sockets = await self._on_one_port()
        self.codecs = await enter(Codecs(config.slots + 1))
        if config.services:
            await self._close_the_walls()
        engines = await enter(
            started_engines(
                config.services,
                config.cache,
                partial(sound_check.check, self.codecs),
                options=EngineOptions(ModelMemory(config.model_memory), config.batch),
            )
        )
        deadly = self._stack.enter_context(Deadly(config.state_dir / DEADLY))
        self.producer = Producer(
            engines, config.slots, self.codecs, deadly=deadly,
            on_change=self._job_changed, more_status=self.status,
        )  # fmt: skip
        self.server = await self._listening_server(sockets)
        self._stack.enter_context(told_in(config.state_dir, self._where()))
        log.info(
            "node %s listens on UDP %d and TCP %d, mesh %r",
            self.identity.peer_id, self.dht.port, self.server.port, config.network,
            extra=log_fields("listening", port=self.dht.port, job_port=self.server.port,
                       peer=self.identity.peer_id),
        )  # fmt: skip
        self.standing = ReachabilityMonitor(config, self.dht, self.server.port, self._changed)
        self.relaying = Relaying(config, self.identity, self.standing, self._stack)
        if config.farm:
            await self.relaying.open()
        self.parkings = self._parkings()
        if engines:
            self._spawn("parking", self._park())
        self._spawn("standing", self.standing.run())
        if config.farm is None:
            self._spawn("relaying", self.relaying.once_reachable())
        self._spawn("reporting", log_periodically(self.dht.stats))
        if config.gateway:
            own = OwnEngines(self.producer, config.slots, self.identity.peer_id)
            self.gateway = await enter(Gateway(config.gateway, self.dht, own))
        self.announcer = await enter(  # left first: who is withdrawn is not called any more
            Announcer(self.identity, self.own_records, self._publish, folder=config.state_dir)
        )
        self._is_up = True

    async def _close_the_walls(self) -> None:
        """Have a process ready for strangers' files, and say what keeps it in."""
        await sound_check.start(self.codecs)
        walls = ", ".join(self.codecs.walls)
        log.info(
            "what strangers send is worked on behind: %s",
            walls,
            extra=log_fields("walls", walls=walls),
        )
        if sys.platform == "linux" and "seccomp" not in self.codecs.walls:
            log.warning("this machine has no seccomp: workers can open sockets and start processes")
        kept_out = any(
            wall == "other user" or wall.startswith("Landlock") for wall in self.codecs.walls
        )
        if sys.platform == "linux" and not kept_out:
            log.warning(
                "this machine has no Landlock: whoever gets hold of espeak-ng or pico by a text can"
                " read what this node's user can, the node's key too; run it as a user of its own"
            )

    def _where(self) -> Listening:
        everywhere = self.config.host in (None, "0.0.0.0", "::")
        return Listening(
            self.identity.peer_id, self.config.network, "localhost" if everywhere
            else str(self.config.host), self.dht.port, self.server.port,
        )  # fmt: skip

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A task that ends with the node, before anything it uses."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_tell_if_broken)
        self._stack.push_async_callback(_ended, task)

    async def _on_one_port(self) -> tuple[Directory, list[socket.socket]]:
        """The DHT on a UDP port, and the sockets of the TCP port of the same number: where UDP is
        blocked, others try HTTPS at a neighbour's UDP port. With port 0, a number free for both.

        Raises:
            ConfigError: the port, or any that is free for both, cannot be had.
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
            guest=guest, state=config.state_dir,
        )  # fmt: skip

    async def _listening_server(self, sockets: list[socket.socket]) -> SpeechServer:
        server = SpeechServer(
            self.producer, host=self.config.host, sockets=sockets,
            tls=self.identity.server_context(), bounds=self.config.bounds,
            more=directory_pages(self.dht.hosting), encoders=self.codecs,
        )  # fmt: skip
        return await self._stack.enter_async_context(server)

    def _parkings(self) -> FarmPool:
        chosen, dht = self.config.farms, self.dht
        return FarmPool(
            self.identity,
            lambda: known_farms(dht, chosen, dht.allows, self.identity.public),
            server_context=self.identity.server_context(),
            connection=self.server.connection,
            on_change=self._parked,
        )

    async def _park(self) -> None:
        """Be callable through farms, from when we have joined until the node ends."""
        await self.standing.joined.wait()
        async with self.parkings:
            await asyncio.Event().wait()

    def _parked(self, parkings: FarmPool) -> None:
        self.standing.farms = tuple(dict.fromkeys(farm.public for farm in parkings.parked_at))
        where = ", ".join(join_host(farm.host, farm.port) for farm in parkings.parked_at)
        log.info("parked at %s", where or "no farm", extra=log_fields("parked", farms=where))
        self._changed()

    def own_records(self) -> Sequence[Record]:
        """What we have to announce at this moment; nothing while there is nobody to hear it."""
        if not self.standing.ready_to_publish:
            return []
        admission, situation = self.producer.admission, self.standing.situation
        said = []
        if ways := routes(situation):
            said = [
                replace(record, routes=ways)
                for record in records_of(
                    self.producer.abilities(), self.dht.mesh, admission.slots, admission.idle
                )
            ]
        return [*said, *self.relaying.records(self.dht.mesh)]

    @property
    def farm(self) -> Farm | None:
        """Our farm, if there is one."""
        return self.relaying.farm

    def status(self) -> Mapping[str, Any]:
        """For `GET /v1/status`."""
        situation = self.standing.situation
        return {
            "peer": self.identity.peer_id,
            "network": self.config.network,
            "reachable": situation.reachable,
            "routes": [str(route) for route in routes(situation)],
            "lends": sorted(self._lends()),
            "published": {kind: list(ways) for kind, ways in self._published.items()},
            "dht": self.dht.stats(),
            **({"farm": self.farm.stats()} if self.farm else {}),
        }

    def _lends(self) -> set[str]:
        """The kinds of record that others are to find."""
        farm = {FARM} if self.config.farm else set()  # not one that it is by the way
        return farm | {ability.service for ability in self.producer.abilities()}

    async def _publish(self, record: Record) -> int:
        holders = await self.dht.publish(record)
        if record.withdrawn:
            self._published.pop(record.kind, None)
            return holders
        self._unheard = self._unheard + 1 if not holders and self.standing.joined.is_set() else 0
        if self._unheard == TOLD_AFTER:
            log.warning("no node takes our records, so nobody finds us: is the clock right?")
        ways = tuple(map(str, record.routes))
        if holders and ways != self._published.get(record.kind):
            self._published[record.kind] = ways
            fields = log_fields(
                "published", routes=ways, holders=holders, peer=self.identity.peer_id
            )
            log.info("published: %s; held by %d nodes", ", ".join(ways), holders, extra=fields)
        return holders

    def _job_changed(self) -> None:
        """A slot was taken or freed: the mesh hears of it when that makes us busy or idle."""
        idle = self.producer.admission.idle > 0
        if idle != self._was_idle:
            self._was_idle = idle
            self._changed()

    def _changed(self) -> None:
        if self._is_up:
            self.announcer.changed()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _tell_if_broken(task: asyncio.Task[None]) -> None:
    """What goes on for as long as the node does has no reason to end by itself."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("a part of this node broke: %s", task.get_name(), exc_info=exc)
