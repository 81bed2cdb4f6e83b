"""Looks up and publishes records for clients whose network blocks UDP.

    client -> look_up       a key: the signed records under it, as encoded
    client -> publish_for   its own signed record: stored on the closest nodes of each of its keys

A client has proven its address (it uses TCP). Each has a share of the requests, of the look-ups at
the same time, and of the records, since records published for others count towards our own address
where they are stored. Work for a client ends when it disconnects. Records are checked as all others
are; a resolver can withhold them, and not forge them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from privox_dht.dht import dht_limits
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.publisher import Publisher
from privox_dht.dht.record_lookup import RecordLookups
from privox_dht.errors import BadRecord, NotJoined, ProducerBusy, RequestRejected
from privox_dht.quotas import SHARES, Prefixes, RateLimiter, quota_prefixes
from privox_dht.records import Record, keys_of, parse

BAD_RECORD = "bad_record"  # the code of the error for a record that is not valid
FULL_RETRY = 30.0  # seconds after which there may be room again: records expire after 120


# Requests of each level of networks, of all together
RateLimits = tuple[dict[int, RateLimiter], RateLimiter]


class HostedRecordQuota:
    """The records that we publish for others: how many at a time, in all, for one address and for
    the networks around it. Pure."""

    def __init__(
        self,
        most: int = dht_limits.HOSTED_RECORDS,
        most_per_address: int = dht_limits.HOSTED_PER_ADDRESS,
    ) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._held: dict[bytes, tuple[Prefixes, float]] = {}  # place -> whose it is, end

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"<HostedRecordQuota {len(self)} of {self._most} records>"

    def admit(self, place: bytes, shares: Prefixes, expires: float, now: float) -> bool:
        """Whether a record may be published, which counts until it expires. A renewal always may.

        Args:
            place: what the newest sequence wins over: publisher, kind, backend and engine.
            shares: the client's address, and the networks around it; empty: our own machine.
        """
        self._held = {key: held for key, held in self._held.items() if held[1] > now}
        if place not in self._held:
            of_each = Counter(share for shares, _ in self._held.values() for share in shares)
            if any(of_each[s] >= self._most_per_address * SHARES[_level(s)] for s in shares):
                return False
            if len(self._held) >= self._most:
                return False
        self._held[place] = (shares, expires)
        return True


class RecursiveResolver:
    """Looks up and publishes records for others, which ask over HTTPS."""

    def __init__(
        self,
        state: NodeState,
        lookups: RecordLookups,
        publisher: Publisher,
        is_joined: Callable[[], bool],
    ) -> None:
        self._state, self._lookups, self._is_joined = state, lookups, is_joined
        self._publisher = publisher
        self._lookup_rates = (
            _for_each_level(dht_limits.RESOLVER_RATE, dht_limits.RESOLVER_BURST),
            RateLimiter(dht_limits.RESOLVER_RATE_IN_ALL, dht_limits.RESOLVER_BURST_IN_ALL),
        )
        self._publish_rates = (
            _for_each_level(dht_limits.HOSTED_RATE, dht_limits.HOSTED_BURST),
            RateLimiter(dht_limits.HOSTED_RATE_IN_ALL, dht_limits.HOSTED_BURST_IN_ALL),
        )
        self._running = 0
        self.quota = HostedRecordQuota()

    def __repr__(self) -> str:
        return f"<RecursiveResolver {self._running} requests, {self.quota!r}>"

    @property
    def mesh(self) -> bytes:
        """The tag of the mesh that is asked."""
        return self._state.mesh

    def now(self) -> float:
        """Our time, in seconds since the epoch."""
        return self._state.clock()

    def hello(self, client: str) -> None:
        """Answer a request that only asks whether this node is in the mesh.

        Raises:
            ProducerBusy: the client, or all askers together, sent too many requests.
            NotJoined: this node is not in the mesh.
        """
        with self._admitted(client, self._lookup_rates):
            pass

    async def look_up(self, client: str, key: bytes, want: int) -> list[bytes]:
        """At most `want` records under a key, the idle first, otherwise in random order.

        Raises:
            ProducerBusy, NotJoined: see `hello`.
        """
        with self._admitted(client, self._lookup_rates):
            found = (await self._lookups.find(key, want, for_others=True))[:want]
        self._state.rng.shuffle(found)
        found.sort(key=lambda record: record.idle == 0)
        return [record.encoded for record in found]

    async def publish_for(self, client: str, wire: bytes) -> int:
        """Publish a record for the client; how many nodes hold it.

        Raises:
            RequestRejected: the record is not valid.
            ProducerBusy, NotJoined: see `hello`.
        """
        with self._admitted(client, self._publish_rates):
            record = self._validated(wire)
            shares = _shares(client, self._state.diverse)
            if not self.quota.admit(record.key, shares, record.expires, self.now()):
                raise ProducerBusy("too many records of one address are published here", FULL_RETRY)
            return await self._publisher.publish(record)

    def _validated(self, wire: bytes) -> Record:
        """The record, checked as all others are: signed, valid now, and the newest one."""
        now = self.now()
        try:
            stands_under = keys_of(parse(wire, now, self.mesh, trusted=True))  # signature: next
            return self._state.validator.validate(wire, stands_under[0], now)
        except BadRecord as exc:
            self._state.drop(f"record {exc.reason}")
            raise RequestRejected(f"not a record to keep: {exc.reason}", code=BAD_RECORD) from exc

    @contextmanager
    def _admitted(self, client: str, rates: RateLimits) -> Iterator[None]:
        if not self._is_joined():
            raise NotJoined("this node has not joined the mesh itself")
        now = asyncio.get_running_loop().time()
        of_each, of_all = rates
        shares = [(of_each[_level(s)], s.encode()) for s in _shares(client, self._state.diverse)]
        if any(limiter.is_exhausted(share, now) for limiter, share in shares):
            raise ProducerBusy("too many requests from one address")
        for limiter, share in shares:
            limiter.try_acquire(share, now)
        if self._running >= dht_limits.RESOLVER_LOOKUPS_AT_ONCE or not of_all.try_acquire(b"", now):
            raise ProducerBusy("too many requests just now")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


def _for_each_level(rate: float, burst: float) -> dict[int, RateLimiter]:
    """Limits for an address, and for the networks around it, by the bits of their prefix."""
    return {bits: RateLimiter(rate * times, burst * times) for bits, times in SHARES.items()}


def _level(share: str) -> int:
    return int(share.rpartition("/")[2])


def _shares(client: str, networks: bool) -> Prefixes:
    """What a request counts towards: the address and, in a public mesh, the networks around it;
    nothing for our own machine."""
    return quota_prefixes(client) if networks else quota_prefixes(client)[:1]
