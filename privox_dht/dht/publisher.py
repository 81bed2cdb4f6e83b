"""Publishes records: stores each on the nodes closest to each of its keys.

    publisher -> walk to the key; every node that answers on the way gives a write token
              -> store, to each of the closest as soon as half of the very closest have answered
    node      -> held | refused | full; and whether the key has split: if most of the closest say
                 so, to its shard instead, and to the key only as one of a sample (`placement`)

`publish` returns when ten of the closest twenty (all, in a small mesh) have confirmed; the rest
goes on in the background. The holders and their tokens are kept, so that the next announcement
needs no walk; now and then one of them is asked for nodes that are new.
"""

import asyncio
from typing import TypeVar

from privox_dht.dht import dht_limits, placement
from privox_dht.dht.answer_codec import HELD
from privox_dht.dht.candidate import Candidate
from privox_dht.dht.node_state import PublishedRecord
from privox_dht.dht.record_validator import shard_of
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.store_lookup import StoreLookup
from privox_dht.identity import dht_id_of
from privox_dht.records import Record, keys_of

K = TypeVar("K")
V = TypeVar("V")


class Publisher:
    """Publishes records, and remembers their holders for the next time."""

    def __init__(self, network: RpcNetwork) -> None:
        self._network, self._state = network, network.state
        self._holders: dict[bytes, tuple[float, float, list[Candidate]]] = {}
        self._levels: dict[bytes, int] = {}  # of each key, how often it had split the last time
        self._busy = asyncio.Semaphore(dht_limits.ALPHA)
        self._size = 0.0  # nodes in the mesh, by the estimate that counts as before
        self._republishing: asyncio.Task[None] | None = None

    async def publish(self, record: Record) -> int:
        """Store a record under all its keys; how many nodes, ourselves included, hold it under the
        key with the fewest; 0 if there are other nodes and none accepted it."""
        self._size = self._size or self._network.mesh_size()
        keys = keys_of(record)
        return min(await asyncio.gather(*(self._publish_under(key, record) for key in keys)))

    def on_new_contact(self) -> None:
        """There is one more contact. If the mesh grows, the holders of our records may not be the
        closest nodes any more: then they are published again."""
        if self._republishing is None and self._size:
            self._republishing = self._network.spawn(self._republish())

    def _has_grown(self) -> bool:
        return 0 < dht_limits.GROWN * self._size < self._network.mesh_size()

    async def _republish(self) -> None:
        try:
            await asyncio.sleep(dht_limits.GROWN_AFTER)
            while self._has_grown():
                now, self._size = self._state.clock(), self._network.mesh_size()
                live = [p for p in self._state.published.values() if p.record.expires > now]
                again = {(p.base, p.record.key): p.record for p in live}
                for p in live:
                    self._holders.pop(self._published_key(p.base, p.depth, p.record)[0], None)
                await asyncio.gather(
                    *(self._publish_under(base, record) for (base, _), record in again.items())
                )
                await asyncio.sleep(dht_limits.GROWN_AFTER)
        finally:
            self._republishing = None

    async def _publish_under(self, base: bytes, record: Record) -> int:
        """Store a record under one key, or its shards; how many nodes hold it there."""
        level = self._levels.get(base, 0)
        lookup, held = await self._store_under(base, level, record)
        while lookup.split:
            level += 1
            lookup, held = await self._store_under(base, level, record)
        count = placement.estimate(lookup.counts)
        _remember(self._levels, base, level - placement.is_too_deep(count, level))
        draw = placement.sample_draw(record.publisher, base, self._state.clock())
        above = set(placement.sampled_levels(draw, count, level))
        above |= self._levels_to_withdraw(base, level, record)
        more = (self._store_under(base, depth, record, deeper=True) for depth in sorted(above))
        return max([held, *(held for _, held in await asyncio.gather(*more))])

    def _levels_to_withdraw(self, base: bytes, level: int, record: Record) -> set[int]:
        """Higher levels at which an earlier version of a withdrawn record is still stored."""
        if not record.withdrawn:
            return set()
        keys = (self._published_key(base, above, record) for above in range(level))
        earlier, now = map(self._state.published.get, keys), self._state.clock()
        return {p.depth for p in earlier if p is not None and p.record.expires > now}

    def _published_key(self, base: bytes, depth: int, record: Record) -> tuple[bytes, bytes]:
        return shard_of(base, dht_id_of(record.publisher), depth), record.key

    async def _store_under(
        self, base: bytes, depth: int, record: Record, deeper: bool = False
    ) -> tuple[StoreLookup, int]:
        """Store a record under a key or a shard of it; how many nodes hold it there."""
        name = self._published_key(base, depth, record)
        key = name[0]
        async with self._busy:
            now = asyncio.get_running_loop().time()
            walked_at, looked_at, holders = self._known_holders(key, now)
            look = now - looked_at > dht_limits.HOLDERS_LOOKED
            lookup = StoreLookup(self._network, base, depth, record, holders, look, deeper)
            looked_at = now if look else looked_at
            self._network.spawn(self._run_lookup(key, lookup, walked_at, looked_at))
            try:
                await lookup.quorum_reached  # the rest goes on in the background
            except asyncio.CancelledError:
                lookup.abandon()
                raise
        if lookup.split and not lookup.accepted:
            return lookup, 0
        published = PublishedRecord(base, depth, deeper, record, lookup.sent_to)
        _remember(self._state.published, name, published)
        stored_here = self._store_locally(key, base, lookup)
        if lookup.has_failed:
            return lookup, 0
        # A full key keeps a random sample: nodes that accepted the record count as holders
        sampled = lookup.split or deeper or depth == dht_limits.SHARD_DEPTH
        return lookup, (lookup.accepted if sampled else lookup.held) + stored_here

    async def _run_lookup(
        self, key: bytes, lookup: StoreLookup, walked_at: float, looked_at: float
    ) -> None:
        try:
            await lookup.find()
        finally:
            lookup.end()
            if not lookup.quorum_reached.done():
                lookup.quorum_reached.set_result(None)
        _remember(self._holders, key, (walked_at, looked_at, lookup.confirmed_holders()))

    def _known_holders(self, key: bytes, now: float) -> tuple[float, float, list[Candidate]]:
        """When the key was last walked to from afar, when a holder was last asked for new nodes,
        and the holders of our record since; none once the walk is long ago."""
        walked_at, looked_at, holders = self._holders.pop(key, (now, now, []))
        if now - walked_at < dht_limits.HOLDERS_KEPT:
            return walked_at, looked_at, holders
        return now, now, []

    def _store_locally(self, key: bytes, base: bytes, lookup: StoreLookup) -> int:
        """Store the record here too, if we are among the closest; 1 if so."""
        state, record = self._state, lookup.record
        if state.guest or state.accept(record.encoded, base) is None:
            return 0
        closest = lookup.shortlist.window()
        own_distance = int.from_bytes(state.identity.dht_id, "big") ^ lookup.target.long_id
        if len(closest) >= lookup.shortlist.closest and own_distance > closest[-1].distance:
            return 0  # a node that holds only its own record would mislead look-ups
        held = state.store.put(key, record, b"", state.clock(), deeper=lookup.deeper)
        return int(held == HELD)


def _remember(latest: dict[K, V], key: K, value: V) -> None:
    """Add a value and drop the oldest: records published for others may have new keys each time."""
    latest.pop(key, None)
    latest[key] = value
    if len(latest) > dht_limits.PUBLISHED_KEPT:
        del latest[next(iter(latest))]
