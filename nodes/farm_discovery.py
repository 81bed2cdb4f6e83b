"""Farms, from both sides: which there are to park at, and what a farm says of itself."""

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from nodes.routes import NetworkState, routes
from privox_dht import limits
from privox_dht.addresses import Address
from privox_dht.dht import DhtNode
from privox_dht.interfaces import has_route
from privox_dht.records import FARM, Direct, Record
from privox_dht.relay import FarmAt, FarmLimits


async def known_farms(
    dht: DhtNode,
    chosen: Sequence[Address],
    allow: Callable[[str], bool],
    never: Collection[bytes] = (),
) -> list[FarmAt]:
    """The farms of the mesh, by their own signed records; only those at `chosen`, if any are, and
    none whose key is in `never`. Doors that no packet of ours could get to are left out. The mesh
    is asked each time: who lost a farm may have lost it because that has another address by now.

    A farm is dialled only at the addresses in its record: a name given with `--farms` says which
    record is meant, and nothing else.
    """
    found = await asyncio.gather(*(_resolved(*pair) for pair in chosen))
    wanted = {address for addresses in found for address in addresses}
    want = limits.LIST_WANT if chosen else limits.FIND_WANT  # ours must be among them
    return [
        FarmAt(record.publisher, address.host, address.port)
        for record in await dht.find(FARM, want=want, fresh=True)
        for address in record.routes
        if record.publisher not in never
        if isinstance(address, Direct) and allow(address.host) and has_route(address.host)
        if not chosen or (address.host, address.port) in wanted
    ]


def farm_record(
    mesh: bytes, situation: NetworkState, port: int, terms: FarmLimits
) -> Record | None:
    """What a farm announces; None while nobody could reach it."""
    addresses = routes(replace(situation, job_port=port, farms=()))
    if not addresses:
        return None
    return Record(publisher=b"", mesh=mesh, kind=FARM, routes=addresses, terms=terms.to_record())


async def _resolved(host: str, port: int) -> list[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [(str(address[0]), port) for *_, address in found]
