"""Logs the numbers of the node's directory every few minutes; `/v1/status` has them too."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from privox_dht.cli.output import log_fields

log = logging.getLogger("privox.node")

FIRST = 60.0  # seconds after the start, for an owner who watches the start
EVERY = 600.0  # seconds from then on: 144 lines a day


async def log_periodically(stats: Callable[[], Mapping[str, Any]]) -> None:
    """Log the directory's numbers until cancelled."""
    pause = FIRST
    while True:
        await asyncio.sleep(pause)
        now = stats()
        log.info("directory: %s", summary(now), extra=log_fields("directory", **now))
        pause = EVERY


def summary(stats: Mapping[str, Any]) -> str:
    """The numbers of `DhtNode.stats()` as text."""
    dropped, turned_away = _counts(stats["dropped"]), _counts(stats.get("turned_away", {}))
    return (
        f"{stats['contacts']:,} contacts, round trips {stats['rtt_ms']:.0f} ms"
        f" (spread {stats['rtt_spread_ms']:.0f}), {stats['records']:,} records held,"
        f" {stats['lookups']:,} look-ups ({stats['cache_hits']:,} from memory),"
        f" asked {stats['asked']:,} ({stats['unanswered']:,} unanswered),"
        f" dropped: {dropped or 'nothing'}"
        + (f"; turned away: {turned_away}" if turned_away else "")
    )


def _counts(by_reason: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(by_reason.items()))
