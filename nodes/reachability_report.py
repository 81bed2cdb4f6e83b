"""Reports a node's reachability to its owner: each change in the log, and what is wrong also in
`privox-node status` for as long as it lasts.

    transport   UDP is blocked, and which neighbour is used over HTTPS; UDP works again
    addresses   at which strangers see us, and whether they get through
    routes      nobody can reach us, and what to do: for a producer, once it had time to park
    clock       ours is wrong
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from nodes.config import NodeConfig
from nodes.reachability_rules import describe
from nodes.routes import NetworkState, advice, farm_advice
from privox_dht import limits
from privox_dht.cli.output import log_fields

log = logging.getLogger("privox.node")
PARKING_GRACE = 15.0  # seconds in which a producer finds a farm, if there is one: a look-up and a
# dial, each with a retry
CLOCK_TOLERANCE = 10.0  # seconds our clock may differ from the neighbours' without a warning


class ReachabilityReport:
    """Logs changes, and knows what is wrong now."""

    def __init__(
        self,
        config: NodeConfig,
        network_state: Callable[[], NetworkState],
        is_joined: Callable[[], bool],
    ) -> None:
        """
        Args:
            network_state: the addresses and reachability as known now.
            is_joined: whether any other node is known.
        """
        self._config = config
        self._network_state, self._is_joined = network_state, is_joined
        self._wrong: dict[str, str] = {}  # problem and advice, by subject
        self._clock_harms = False  # others reject our records
        self._last_logged = ""
        self._routes_timer: asyncio.TimerHandle | None = None  # while a producer may still park

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is wrong now, and what to do about it."""
        return tuple(self._wrong.values())

    def close(self) -> None:
        """Report nothing more."""
        if self._routes_timer is not None:
            self._routes_timer.cancel()

    def transport(self, through: str) -> None:
        """`through` is the neighbour used over HTTPS; empty: UDP works."""
        if not through and "udp" in self._wrong:
            log.info("UDP works again", extra=log_fields("udp_works"))
        blocked = (
            f"UDP IS BLOCKED HERE: no neighbour answers by it. Working through {through}; others "
            "reach this node through farms only"
        )
        self._report("udp", blocked if through else "", log_fields("udp_blocked", through=through))

    def addresses(self, now: NetworkState) -> None:
        """Log how strangers see us, if that has changed."""
        text = describe(now)
        if text != self._last_logged and (now.seen_by_any or now.confirmed):
            fields = {"confirmed": now.confirmed, "seen": now.seen_by_any}
            log.info("%s", text, extra=log_fields("addresses", reachable=now.reachable, **fields))
            self._last_logged = text

    def routes(self, now: NetworkState, farm: NetworkState | None = None) -> None:
        """Check whether others can reach us, and our farm at its own port. A producer is given time
        to park at a farm before it is warned."""
        if self._config.farm:
            self._report("routes", farm_advice(now, farm) if self._is_joined() else "")
        elif not self._advice(now):
            self._report("routes", "")
        elif "routes" in self._wrong:  # the reason may have changed
            self._report("routes", self._advice(now))
        elif self._routes_timer is None:
            loop = asyncio.get_running_loop()
            self._routes_timer = loop.call_later(PARKING_GRACE, self._check_routes)

    def _check_routes(self) -> None:
        self._routes_timer = None
        self._report("routes", self._advice(self._network_state()))

    def _advice(self, now: NetworkState) -> str:
        """Empty while our clock makes all farms' records look invalid: `clock` reports that."""
        applies = self._config.services and self._is_joined() and not self._clock_harms
        return advice(now) if applies else ""

    def clock(self, ahead: float | None) -> None:
        """Our clock is so many seconds ahead of the neighbours'; None: not known."""
        if ahead is not None:
            self._clock_harms = abs(ahead) > limits.CLOCK_SKEW
            self._report("clock", clock_advice(ahead))

    def _report(self, subject: str, text: str, fields: Mapping[str, Any] | None = None) -> None:
        """Report a problem, or with "" its end."""
        if not text:
            self._wrong.pop(subject, None)
        elif text != self._wrong.get(subject):
            self._wrong[subject] = text
            log.warning("%s", text, extra=fields)


def clock_advice(ahead: float) -> str:
    """The warning for a clock that is so many seconds ahead of the neighbours'; empty within the
    tolerance."""
    if abs(ahead) <= CLOCK_TOLERANCE:
        return ""
    return (
        f"THE CLOCK IS WRONG: {ahead:+.0f} s off the neighbours'. From "
        f"{limits.CLOCK_SKEW:.0f} s on others reject this node's records, so that nobody finds it. "
        "Set it (sudo timedatectl set-ntp true)."
    )
