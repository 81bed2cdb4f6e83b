"""Publishes a node's records periodically, and withdraws them at the end.

    every 45 s +- 5                      all records, newly dated and signed
    at once, when something relevant changes (at most every 2 s)
    soon, when no other node stored them (3 s, 6 s, ...)
    on leaving                           the same records, withdrawn

A record is valid for 120 s, so two announcements may be lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from privox_dht import limits
from privox_dht.atomic_file import replace_file
from privox_dht.identity import Identity
from privox_dht.records import Record, next_sequence, sign

log = logging.getLogger("privox.announce")
SEQUENCE_FILE = "sequence.json"
RETRY_FIRST = 3.0  # seconds, when no node stored the last announcement, doubling until the next
WITHDRAW_TIMEOUT = 1.0  # seconds for the neighbours to confirm it when the node stops


class Announcer:
    """Publishes records while the context is open; then withdraws them.

    Args:
        identity: signs the records.
        make_records: the current records (unsigned, undated).
        publish: stores a signed record in the DHT; returns how many nodes hold it.
        folder: where the last sequence number is saved; None: nowhere.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        identity: Identity,
        make_records: Callable[[], Sequence[Record]],
        publish: Callable[[Record], Awaitable[int]],
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._make_records = make_records
        self._publish = publish
        self._file = folder / SEQUENCE_FILE if folder else None
        self._clock = clock
        self._sequence = self._last_sequence()
        self._published: dict[bytes, Record] = {}
        self._announced_any = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.holders = 0  # nodes that stored the last announcement
        self._failures = 0  # announcements in a row that no node stored

    async def __aenter__(self) -> Announcer:
        self._task = asyncio.create_task(self._run(), name="announcer")
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(WITHDRAW_TIMEOUT):
                await self.withdraw()
        except TimeoutError:
            log.info("not every neighbour confirmed that this node's records are withdrawn")

    def changed(self) -> None:
        """The records have changed: announce soon."""
        self._changed.set()

    async def announce(self) -> int:
        """Publish now; returns how many nodes hold the record that the fewest nodes hold."""
        records = [self._signed(record) for record in self._make_records()]
        current = {record.key: record for record in records}
        gone = [old for key, old in self._published.items() if key not in current]
        withdrawn = [self._signed(_withdrawal(record)) for record in gone]
        self._published, self._announced_any = current, bool(records or withdrawn)
        await asyncio.to_thread(self._keep_sequence)  # a busy disk takes its time
        counts = await self._publish_all([*records, *withdrawn])
        self.holders = min(counts[: len(records)], default=0)
        self._failures = self._failures + 1 if records and not self.holders else 0
        return self.holders

    async def withdraw(self) -> None:
        """Withdraw all published records."""
        records = [self._signed(_withdrawal(record)) for record in self._published.values()]
        self._published = {}
        self._keep_sequence()
        await self._publish_all(records)

    async def _publish_all(self, records: Sequence[Record]) -> list[int]:
        """How many nodes hold each; if one cannot be published, the others are all the same."""
        counts = await asyncio.gather(*map(self._publish, records), return_exceptions=True)
        for count in counts:
            if isinstance(count, BaseException):
                log.error("a record could not be announced", exc_info=count)
        return [0 if isinstance(count, BaseException) else count for count in counts]

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self.announce()
            except Exception:  # a bug must not end the announcements
                log.exception("the records could not be announced")
            if self._announced_any:  # nothing was sent: no pause is needed
                await asyncio.sleep(limits.ANNOUNCE_AT_MOST_EVERY)
            try:
                async with asyncio.timeout(self._until_next()):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _until_next(self) -> float:
        """Seconds until the next announcement, if nothing changes until then."""
        jitter = random.uniform(-limits.ANNOUNCE_JITTER, limits.ANNOUNCE_JITTER)
        usual = limits.ANNOUNCE_EVERY + jitter - limits.ANNOUNCE_AT_MOST_EVERY
        if self._failures:
            return float(min(usual, RETRY_FIRST * 2.0 ** min(self._failures - 1, 16)))
        return usual

    def _signed(self, record: Record) -> Record:
        now = self._clock()
        self._sequence = next_sequence(self._sequence, now)
        issued = int(now)
        expires = max(issued + int(limits.RECORD_LIFETIME), record.expires)
        dated = replace(record, sequence=self._sequence, issued=issued, expires=expires)
        return sign(self._identity, dated)

    def _last_sequence(self) -> int:
        if self._file is None:
            return 0
        try:
            last = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return 0
        return last if type(last) is int and 0 <= last < 2**52 else 0

    def _keep_sequence(self) -> None:
        if self._file is None:
            return
        try:
            replace_file(self._file, json.dumps(self._sequence).encode())
        except OSError as exc:
            log.warning("cannot save the sequence number of the records: %s", exc)


def _withdrawal(record: Record) -> Record:
    """`record`, withdrawn; it expires no earlier than what it replaces."""
    return replace(record, withdrawn=True, idle=0)
