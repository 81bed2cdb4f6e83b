"""What a node tells its owner of where it stands: each thing in the log when it becomes another,
and what is wrong also by `privox-node status`, for as long as it is.

    transport   UDP is blocked, and through whom we work instead; UDP answers again
    standing    at which addresses strangers see us, and whether they get through
    routes      nobody can reach us, and what to do: of a producer once it had time to park
    clock       ours is wrong
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from nodes.config import NodeConfig
from nodes.reachability_rules import shown
from nodes.routes import NetworkState, advice, farm_advice
from privox_dht import limits
from privox_dht.cli.output import log_fields

log = logging.getLogger("privox.node")
PARKING_TAKES = 15.0  # seconds in which a producer has found a farm, if there is one: a look-up, a
# dial, and a second try of each
CLOCK_OFF = 10.0  # seconds our clock may differ from the neighbours' before we say so


class ReachabilityReport:
    """Tells the owner."""

    def __init__(
        self,
        config: NodeConfig,
        situation: Callable[[], NetworkState],
        is_joined: Callable[[], bool],
    ) -> None:
        """
        Args:
            situation: where the node stands now.
            is_joined: whether it knows any other node.
        """
        self._config = config
        self._situation, self._is_joined = situation, is_joined
        self._wrong: dict[str, str] = {}  # what is, by subject
        self._clock_harms = False  # others take no records of ours
        self._shown = ""
        self._due: asyncio.TimerHandle | None = None  # what may have to be told soon

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is wrong now, and what to do about it."""
        return tuple(self._wrong.values())

    def close(self) -> None:
        """Nothing is told any more."""
        if self._due is not None:
            self._due.cancel()

    def transport(self, through: str) -> None:
        """We are in the mesh by UDP; with `through`, over HTTPS by that neighbour."""
        if not through and "udp" in self._wrong:
            log.info("UDP answers again", extra=log_fields("udp_works"))
        blocked = (
            f"UDP IS BLOCKED HERE: no neighbour answers by it. Working through {through}; others "
            "reach this node through farms only"
        )
        self._tell("udp", blocked if through else "", log_fields("udp_blocked", through=through))

    def standing(self, now: NetworkState) -> None:
        """What strangers see of us."""
        text = shown(now)
        if text != self._shown and (now.seen_by_any or now.called):
            log.info("%s", text, extra=log_fields("standing", reachable=now.reachable,
                                            called=now.called, seen=now.seen_by_any))  # fmt: skip
            self._shown = text

    def routes(self, now: NetworkState, farm: NetworkState | None = None) -> None:
        """Whether anybody can reach us, and our farm at its own port. A producer may be parked at a
        farm in a moment: only if it is not, that is worth telling."""
        if self._config.farm:
            self._tell("routes", farm_advice(now, farm) if self._is_joined() else "")
        elif not self._advice(now):
            self._tell("routes", "")
        elif "routes" in self._wrong:  # it may be for another reason by now
            self._tell("routes", self._advice(now))
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(PARKING_TAKES, self._by_now)

    def _by_now(self) -> None:
        self._due = None
        self._tell("routes", self._advice(self._situation()))

    def _advice(self, now: NetworkState) -> str:
        """Nothing while our clock is so wrong that no farm's record looks valid: that is told."""
        told = self._config.services and self._is_joined() and not self._clock_harms
        return advice(now) if told else ""

    def clock(self, ahead: float | None) -> None:
        """Our clock is so many seconds ahead of the neighbours'; None: they did not say."""
        if ahead is not None:
            self._clock_harms = abs(ahead) > limits.CLOCK_SKEW
            self._tell("clock", clock_advice(ahead))

    def _tell(self, subject: str, text: str, fields: Mapping[str, Any] | None = None) -> None:
        """From now on this is wrong; with "", nothing is."""
        if not text:
            self._wrong.pop(subject, None)
        elif text != self._wrong.get(subject):
            self._wrong[subject] = text
            log.warning("%s", text, extra=fields)


def clock_advice(ahead: float) -> str:
    """What to tell an owner whose clock is so many seconds ahead of the neighbours'; empty while
    that does no harm."""
    if abs(ahead) <= CLOCK_OFF:
        return ""
    return (
        f"THE CLOCK IS WRONG: {ahead:+.0f} s off the neighbours'. From "
        f"{limits.CLOCK_SKEW:.0f} s on nobody takes this node's records, and so nobody finds it. "
        "Set it (sudo timedatectl set-ntp true)."
    )
