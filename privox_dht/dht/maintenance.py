"""A node's periodic maintenance.

every 15 s: expired records and sequences are removed
            -> stale contacts are pinged: those that left a request unanswered or were silent for
               ten minutes (for one, where there are few); those that fail twice are removed
            -> a bucket without a look-up for an hour is refreshed by a walk
            -> cached look-ups that were used lately are renewed
            -> a node left without contacts pings those it had before
"""

import asyncio
from collections.abc import Callable

from privox_dht.dht import dht_limits
from privox_dht.dht.compact_nodes import ID
from privox_dht.dht.contact import Contact
from privox_dht.dht.iterative_lookup import IterativeLookup
from privox_dht.dht.record_lookup import RecordLookups
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import RpcProtocol

MAX_REMEMBERED = 16  # contacts that are pinged again when all are lost at once
SAVE_EVERY = 20  # rounds between two writes of the contact file: five minutes


async def maintain(
    network: RpcNetwork,
    lookups: RecordLookups,
    close_idle: Callable[[], None],
    save: Callable[[], None],
) -> None:
    """Run until cancelled; `close_idle` closes idle sockets, `save` writes the contact file."""
    state = network.state
    previous: list[Contact] = []
    rounds = 0
    while True:
        await asyncio.sleep(dht_limits.REFRESH_EVERY * (0.9 + 0.2 * state.rng.random()))
        rounds += 1
        now = state.clock()
        state.store.sweep(now)
        state.validator.sweep(now)
        lookups.renew()
        previous = _ping_lost_contacts(network, previous)
        for protocol in network.protocols.values():
            _ping_stale_contacts(protocol)
            await _refresh_stale_bucket(network, protocol)
        close_idle()
        if rounds % SAVE_EVERY == 0:
            save()


def _ping_lost_contacts(network: RpcNetwork, previous: list[Contact]) -> list[Contact]:
    """Some of our contacts now; if there are none, ping the previous ones."""
    now = network.contacts()
    if now or not previous:
        return now[:MAX_REMEMBERED]
    for contact in previous:
        if network.can_reach(contact.address):
            network.ping(contact)
    return previous


def _ping_stale_contacts(protocol: RpcProtocol) -> None:
    """Ping stale contacts, and one that answered lately as a control. If the control is silent too,
    our own uplink is down and no contact is removed."""
    router, now = protocol.router, asyncio.get_running_loop().time()
    stale = router.stale(now, dht_limits.REFRESH_PINGS)
    if len(router) < dht_limits.HOLDERS:  # with few nodes a dead one delays every look-up
        stale = [c for c in router.contacts() if c.failures or now - c.seen > dht_limits.SILENT_FOR]
    if stale:
        control = max(router.contacts(), key=lambda contact: contact.seen)
        for contact in dict.fromkeys([*stale, control]):
            protocol.ping(contact.address, lambda contact: None, expected=contact.id)


async def _refresh_stale_bucket(network: RpcNetwork, protocol: RpcProtocol) -> None:
    now = asyncio.get_running_loop().time()
    bucket = protocol.router.stalest_bucket(now)
    if bucket is None:
        return
    bucket.last_updated = now
    if len(protocol.router):
        target = network.state.rng.randint(*bucket.range).to_bytes(ID, "big")
        await IterativeLookup(network, target).find()
