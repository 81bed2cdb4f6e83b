"""Finds producers that can do a job: looks up the records of both backends at the same time.

all of the service -> if no record matches, the narrower keys too
one backend found  -> the other has a little more time: where a key has no records and a node has
                      just vanished, its look-up ends only after a time-out of seconds
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from privox_dht import limits
from privox_dht.dispatch.selection import Requirements, matches
from privox_dht.records import Record, latest_per_key


class RecordSource(Protocol):
    """What discovery and route probing use of the DHT."""

    async def find(
        self, kind: str, backend: str = "", *narrower: str, want: int = ..., fresh: bool = ...
    ) -> list[Record]: ...

    async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None: ...


async def discover(
    directory: RecordSource,
    needs: Requirements,
    want: int = limits.FIND_WANT,
    *,
    fresh: bool = False,
) -> list[Record]:
    """Look up producers of the service; under its narrower keys too if none of them matches."""
    found: list[Record] = []
    for words in needs.searches:
        looking = [
            asyncio.ensure_future(
                directory.find(needs.service, backend, *words, want=want, fresh=fresh)
            )
            for backend in needs.backends
        ]
        try:
            found += await _collect(looking, needs)
        finally:
            for look in looking:  # the look-up itself goes on, and its result is cached
                look.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
        if any(matches(record, needs) for record in found):
            break
    return latest_per_key(found)


async def _collect(
    looking: Sequence[asyncio.Future[list[Record]]], needs: Requirements
) -> list[Record]:
    done, late = await asyncio.wait(looking, return_when=asyncio.FIRST_COMPLETED)
    if late:
        enough = any(matches(record, needs) for look in done for record in look.result())
        done |= (await asyncio.wait(late, timeout=limits.BACKEND_GRACE if enough else None))[0]
    return [record for look in looking if look in done for record in look.result()]
