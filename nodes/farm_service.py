"""The farm of a node: from the start if its owner said so, else once strangers can call the node.

--farm        opened at once, with the limits of --farm-limits; published at the node's addresses
              until its own port is found shut
--no-farm     never
neither       opened once the node is found reachable, for few producers and little memory;
              published once the relay's own port was dialled back as well. Not in a mesh that is
              all on this machine: no node there is behind a NAT
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from nodes.config import NodeConfig
from nodes.farm_discovery import farm_record
from nodes.reachability import ReachabilityMonitor
from nodes.service import Service
from privox_dht import limits
from privox_dht.addresses import is_loopback
from privox_dht.cli.output import log_fields
from privox_dht.errors import ConfigError
from privox_dht.identity import Identity
from privox_dht.membership.members import Membership
from privox_dht.records import FARM, Record
from privox_dht.relay import Farm, FarmLimits, relay_limits

log = logging.getLogger("privox.node")


class FarmService(Service):
    """Our farm, if there is one."""

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        mesh: bytes,
        reachability: ReachabilityMonitor,
        member: Membership | None = None,
    ) -> None:
        super().__init__()
        self._member = member
        self._config, self._identity, self._mesh = config, identity, mesh
        self._reachability = reachability
        self.lends = frozenset({FARM} if config.farm else ())  # not if it relays by default
        self.farm: Farm | None = None

    async def _start(self) -> None:
        """
        Raises:
            ConfigError: --farm was given, and its port cannot be had.
        """
        if self._config.farm:
            farm = await self._open()
            if farm.port == limits.RELAY_PORT:  # no other port is dialled back
                self._reachability.relay_port = farm.port
        elif self._config.farm is None:
            self._spawn("farm", self._open_when_reachable())

    async def _open_when_reachable(self) -> None:
        """Relay too, as soon as strangers can reach us."""
        await self._reachability.reachable.wait()
        local = self._reachability.network_state.local
        if local and all(map(is_loopback, local)):
            return
        try:
            farm = await self._open()
        except ConfigError as exc:
            log.info("not relaying for others: %s", exc)
            return
        self._reachability.relay_port = farm.port
        self._reachability.check_soon()

    async def _open(self) -> Farm:
        """Listen.

        Raises:
            ConfigError: the port cannot be had.
        """
        config = self._config
        farm = Farm(
            self._identity,
            host=config.host or "",
            port=config.relay_port,
            terms=config.terms if config.farm else side_farm_limits(config.terms),
            private=bool(config.host) and is_loopback(str(config.host)),
            member=self._member,
        )
        self.farm = await self._stack.enter_async_context(farm)
        self._stack.push_async_callback(farm.drain)
        terms = ", ".join(f"{name} {value}" for name, value in asdict(farm.terms).items())
        log.info("farm: relays on TCP %d; it allows: %s", farm.port, terms,
                 extra=log_fields("farming", port=farm.port))  # fmt: skip
        return farm

    def records(self) -> list[Record]:
        """The farm's record: none while nobody can reach it."""
        if self.farm is None:
            return []
        network_state = self._reachability.farm_network_state(self.farm.port)
        ours = farm_record(self._mesh, network_state, self.farm.port, self.farm.terms)
        return [ours] if ours else []

    def status(self) -> Mapping[str, Any]:
        return {"farm": self.farm.stats()} if self.farm else {}


def side_farm_limits(terms: FarmLimits) -> FarmLimits:
    """The limits of a node that relays by default: lower ones where its owner set none."""
    defaults = FarmLimits()
    chosen = {name: n for name, n in asdict(terms).items() if n != getattr(defaults, name)}
    producers, buffered = relay_limits.SIDE_FARM_PRODUCERS, relay_limits.SIDE_FARM_BUFFERED
    return replace(defaults, **{"producers": producers, "buffered": buffered, **chosen})
