"""Two of the doctor's probes, about farms: does one accept this machine as a producer, and can
strangers call the port at which this machine is to relay?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from nodes.config import NodeConfig
from nodes.verdict import NO, UNKNOWN, YES, Verdict
from privox_dht import limits
from privox_dht.addresses import join_host
from privox_dht.dht import Reachability, dht_limits
from privox_dht.directory.failover import Directory
from privox_dht.errors import ConfigError, ProducerLost
from privox_dht.http.listener import bind
from privox_dht.relay import FarmAddress, FarmPool

PARK_TIMEOUT = 5.0  # seconds to be parked at one farm
MAX_FARMS_TRIED = 3  # farms, at most
OpenPool = Callable[[FarmAddress], FarmPool]


async def park(
    stack: AsyncExitStack, farms: Sequence[FarmAddress], pool: OpenPool, clock_harms: bool
) -> tuple[Verdict, FarmAddress | None]:
    """Park at the first farm that accepts us, for as long as the stack is open.

    Args:
        farms: those that are known.
        pool: makes the pool that parks at one of them.
        clock_harms: our clock is so wrong that every farm's record looks invalid.
    """
    if not farms and clock_harms:
        return Verdict("farm", UNKNOWN, "by this clock no farm's record is valid",
                       "set the clock first"), None  # fmt: skip
    if not farms:
        return Verdict(
            "farm", NO, "there is no farm on this mesh", "run one: privox-node --farm"
        ), None
    tried, refused = [], False
    for farm in farms[:MAX_FARMS_TRIED]:
        parking = await stack.enter_async_context(pool(farm))
        try:
            await parking.parked(PARK_TIMEOUT)
        except ProducerLost:
            silent = f"{join_host(farm.host, farm.port)} does not answer"
            tried.append(next(iter(parking.farm_failures), silent))
            refused |= parking.last_end is not None and parking.last_end.state == "refused"
            continue
        return Verdict("farm", YES, f"parked at {join_host(farm.host, farm.port)}"), farm
    others = "wait, or run another farm where strangers can call it: privox-node --farm"
    advice = others if refused else "is TCP let out to these ports?"
    return Verdict("farm", NO, "; ".join(tried), advice), None


async def relay(config: NodeConfig, dht: Directory) -> Verdict:
    """Whether strangers can call the port at which this machine is to relay."""
    port = config.relay_port
    if port != limits.RELAY_PORT:
        return Verdict("relay", UNKNOWN, f"no node dials TCP {port} back",
                       f"only {limits.RELAY_PORT} is")  # fmt: skip
    async with AsyncExitStack() as stack:
        try:
            for sock in bind(config.host, port):
                server = await asyncio.start_server(_hang_up, sock=sock)
                stack.push_async_exit(server)
        except ConfigError:  # the node itself listens there, or the verdict on ports names who does
            pass
        found = await dht.dial_back(port)
        if not any(reach.witnesses for reach in found):  # witnesses limit dials to one address
            await asyncio.sleep(dht_limits.DIAL_SAME_TARGET)
            found = await dht.dial_back(port)
        return relay_verdict(port, found)


def relay_verdict(port: int, found: Sequence[Reachability]) -> Verdict:
    """The verdict on a dial-back to the relay's port."""
    if any(reach.is_open for reach in found):
        return Verdict("relay", YES, f"TCP {port} open")
    if any(reach.is_shut for reach in found):
        advice = f"let TCP {port} in: producers park there, and callers come there"
        return Verdict("relay", NO, f"TCP {port} closed", advice)
    return Verdict("relay", UNKNOWN, "no node could be asked to dial back")


def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
