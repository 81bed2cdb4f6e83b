"""Speech as a service of a node: engines in their sandboxes, and the slots that jobs take."""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from nodes import cores, sound_check
from nodes.codecs import Codecs
from nodes.config import NodeConfig
from nodes.engine_startup import records_of, started_engines
from nodes.engine_watch import EngineWatch
from nodes.engines.model_memory import ModelMemory
from nodes.engines.pooled_engine import EngineOptions
from nodes.engines.quarantine import Quarantine
from nodes.lender import Lender
from nodes.producer import Producer
from nodes.reachability import ReachabilityMonitor
from nodes.routes import routes
from nodes.service import Service
from privox_dht.cli.output import log_fields
from privox_dht.records import Record

log = logging.getLogger("privox.node")
QUARANTINE = "quarantine.json"  # in the state folder: hashes of inputs that crashed engines


class SpeechService(Service):
    """The engines that the owner lends, as far as they can be started here."""

    producer: Producer  # once entered
    lender: Lender | None = None  # where there is anything to lend

    def __init__(
        self,
        config: NodeConfig,
        mesh: bytes,
        reachability: ReachabilityMonitor,
        *,
        on_change: Callable[[], None],
        node_status: Callable[[], Mapping[str, Any]],
    ) -> None:
        """
        Args:
            mesh: the network's tag, for records.
            reachability: knows the routes by which we are reached.
            on_change: called when we become busy or idle, or lend another number of slots.
            node_status: the node's part of `GET /v1/status`.
        """
        super().__init__()
        self._config, self._mesh, self._reachability = config, mesh, reachability
        self._on_change, self._node_status = on_change, node_status
        self._announced = True, config.slots  # whether a slot is idle, and how many are lent
        self.codecs = Codecs(config.slots + 1)

    async def _start(self) -> None:
        config, enter = self._config, self._stack.enter_async_context
        lent = cores.cores_of(config.lending.cores, cores.usable_cores())
        self._stack.enter_context(cores.limited_to(lent))
        await enter(self.codecs)
        if config.services:
            await self._start_sandbox()
        engines = await enter(
            started_engines(
                config.services,
                config.cache,
                partial(sound_check.check, self.codecs),
                options=EngineOptions(ModelMemory(config.model_memory), config.batch),
            )
        )
        quarantine = self._stack.enter_context(Quarantine(config.state_dir / QUARANTINE))
        watch = EngineWatch(engines, self._on_change)
        self._spawn("probing remote servers", watch.run())
        if engines:
            share = lent / (os.cpu_count() or 1)
            self.lender = Lender(
                config.lending, config.slots, config.state_dir, config.bounds,
                share=share, machine=config.machine,
            )  # fmt: skip
            self._stack.callback(self.lender.close)
        self.producer = Producer(
            engines, config.slots, self.codecs, quarantine=quarantine, is_up=watch.is_up,
            on_change=self._job_changed, more_status=self._node_status, lender=self.lender,
        )  # fmt: skip
        if self.lender is not None:
            self.producer.lend(*self.lender.look())
            self._spawn("lending", self.lender.run(self.producer.lend))
        self.lends = frozenset(info.service for info in self.producer.engines())

    async def _start_sandbox(self) -> None:
        """Start the process that decodes clients' files, and log the parts of its sandbox."""
        await sound_check.start(self.codecs)
        sandbox = ", ".join(self.codecs.sandbox)
        log.info(
            "clients' files and texts are processed in a sandbox: %s",
            sandbox,
            extra=log_fields("sandbox", measures=sandbox),
        )
        if sys.platform == "linux" and "seccomp" not in self.codecs.sandbox:
            log.warning("this machine has no seccomp: workers can open sockets and start processes")
        kept_out = any(
            part == "other user" or part.startswith("Landlock") for part in self.codecs.sandbox
        )
        if sys.platform == "linux" and not kept_out:
            log.warning(
                "this machine has no Landlock: a text that takes control of espeak-ng or pico can"
                " read all files of this node's user, its key too; run it as a user of its own"
            )

    def records(self) -> Sequence[Record]:
        """A record per service, backend and engine; none while we have no route."""
        where = routes(self._reachability.network_state)
        if not where:
            return ()
        admission = self.producer.admission
        engines = self.producer.engines()
        idle = 0 if self._config.lending.allow_peers else admission.idle  # others ask elsewhere
        slots = admission.lent or admission.slots  # with none lent, `idle` is 0: busy
        ours = records_of(engines, self._mesh, slots, idle)
        return [replace(record, routes=where) for record in ours]

    def stop_accepting(self) -> None:
        self.producer.admission.close()

    def _job_changed(self) -> None:
        """A slot was taken or freed, or the number of lent ones changed: publish new records if we
        became busy or idle, or the number of lent slots changed."""
        admission = self.producer.admission
        now = admission.idle > 0, admission.lent
        if now != self._announced:
            self._announced = now
            self._on_change()
