"""Which families of addresses this machine can use just now: it may listen on both and have a way
out by one of them only, and that may change while it runs.

    checked     whenever we join, and every three seconds; no packet is sent for it
    lost        no request is sent there any more, and answers leave its contacts out
    gained      the neighbours are pinged there as well
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from privox_dht.dht import wire
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.interfaces import SOMEWHERE, has_route

LOOK_EVERY = 3.0  # seconds
FEW = 4  # contacts of a family that are looked at, where it has no way to everywhere


def usable(protocols: dict[int, RpcProtocol], named: Iterable[str]) -> int:
    """Flags of the families in which a packet could leave, to anywhere or at least to a neighbour
    (an IP literal) or contact; of all that we have a socket for, if there are none."""
    if len(protocols) < 2:
        return sum(protocols)
    towards = [*SOMEWHERE, *named]
    for protocol in protocols.values():
        towards += [contact.ip for contact in protocol.router.contacts()[:FEW]]
    found = 0
    for family in protocols:
        if any(has_route(ip) for ip in towards if wire.family_of((ip, 0)) == family):
            found |= family
    return found or sum(protocols)


async def keep(
    state: NodeState, look: Callable[[], int], gained: Callable[[], Awaitable[None]]
) -> None:
    """Keep `state.families` as `look` says it is; go on until cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        before, state.families = state.families, look()
        if state.families & ~before:
            await gained()
