"""The farms that a producer may park at, and the record that a farm publishes."""

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from nodes.routes import NetworkState, routes
from privox_dht import limits
from privox_dht.addresses import Address
from privox_dht.daemon_thread import look_up
from privox_dht.dht import DhtNode
from privox_dht.interfaces import has_route
from privox_dht.records import FARM, Direct, Record
from privox_dht.relay import FarmAddress, FarmLimits


async def known_farms(
    dht: DhtNode,
    chosen: Sequence[Address],
    allow: Callable[[str], bool],
    excluded: Collection[bytes] = (),
) -> list[FarmAddress]:
    """The farms of the mesh, one entry for each address in their signed records.

    The mesh is asked each time, since a farm that was lost may only have changed its address. A
    name given with `--farms` only selects a record; a farm is dialled at its record's addresses.

    Args:
        chosen: only farms at these addresses; empty: all.
        allow: whether an IP address may be dialled. Addresses without a local route are left out.
        excluded: keys of farms that are left out.
    """
    found = await asyncio.gather(*(_resolve(*pair) for pair in chosen))
    wanted = {address for addresses in found for address in addresses}
    want = limits.LIST_WANT if chosen else limits.FIND_WANT  # the chosen must be among them
    return [
        FarmAddress(record.publisher, address.host, address.port)
        for record in await dht.find(FARM, want=want, fresh=True)
        for address in record.routes
        if record.publisher not in excluded
        if isinstance(address, Direct) and allow(address.host) and has_route(address.host)
        if not chosen or (address.host, address.port) in wanted
    ]


def farm_record(mesh: bytes, state: NetworkState, port: int, terms: FarmLimits) -> Record | None:
    """The record of our farm at this port; None while nobody can reach it."""
    addresses = routes(replace(state, job_port=port, farms=()))
    if not addresses:
        return None
    return Record(publisher=b"", mesh=mesh, kind=FARM, routes=addresses, terms=terms.to_record())


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = await look_up(host, port, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(str(address[0]), port) for *_, address in found]
