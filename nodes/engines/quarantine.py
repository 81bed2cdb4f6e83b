"""Inputs that crashed workers, so that they are refused.

    async with quarantine.guarded(engine_input):   rejects an input that crashed two workers before
        ...                                        a crash in here is counted

Only hashes of inputs are kept, since a node keeps no client's texts or recordings, and at most
`max_kept` of them; the oldest are dropped. With a file they survive a restart.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Self

from nodes.engines.worker import WorkerDied
from privox_dht.atomic_file import replace_file
from privox_dht.errors import RequestRejected

log = logging.getLogger("privox.node")

MAX_KEPT = 4096  # hashes of 32 bytes; finding more inputs that crash an engine takes long
MAX_CRASHES = 2  # from so many on an input is rejected; one may be chance
# Signals that an input may cause; the node itself kills with SIGKILL
CRASH_SIGNALS = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGXCPU"}
SAVE_EVERY = 10.0  # seconds; the file has up to 300 KB, and a client may provoke crashes
MAX_FILE_SIZE = MAX_KEPT * 128  # bytes of the file

# The bytes that identify an input; called in a thread
EngineInput = Callable[[], Iterable[bytes | memoryview]]


class Quarantine:
    """Hashes of inputs that crashed workers.

    Args:
        file: where hashes are kept; None: only in memory.
        max_kept: hashes at most.
    """

    def __init__(self, file: Path | None = None, max_kept: int = MAX_KEPT) -> None:
        self._file = file
        self._max_kept = max_kept
        self._crashes: dict[str, int] = {}  # by hash, the oldest first
        self._saved = 0.0
        self._changed = False  # since it was saved
        if file is not None:
            self._crashes = _read(file, max_kept)

    def __len__(self) -> int:
        return len(self._crashes)

    def __repr__(self) -> str:
        return f"<Quarantine {len(self)} known>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.save()

    @contextlib.asynccontextmanager
    async def guarded(self, engine_input: EngineInput) -> AsyncIterator[None]:
        """Work on `engine_input`, which must stay available until the context is left.

        Raises:
            RequestRejected: it crashed two workers before.
        """
        if self._crashes and self._crashes.get(await _hashed(engine_input), 0) >= MAX_CRASHES:
            raise RequestRejected(
                "this text or sound crashed the engine twice; change it, or name another engine"
                " or voice",
                code="invalid_input",
            )
        try:
            yield
        except WorkerDied as exc:
            if exc.is_own_job and exc.why in CRASH_SIGNALS:
                await self._count(await _hashed(engine_input))
            raise

    def save(self) -> None:
        """Write the file, if there is one and something changed; a failure is logged."""
        if self._file is None or not self._changed:
            return
        self._changed, self._saved = False, time.monotonic()
        try:
            replace_file(self._file, json.dumps(self._crashes).encode())
        except OSError as exc:
            log.warning("cannot save which inputs crashed engines in %s (%s)", self._file, exc)

    async def _count(self, engine_input: str) -> None:
        crashes = self._crashes.pop(engine_input, 0) + 1
        while len(self._crashes) >= self._max_kept:
            del self._crashes[next(iter(self._crashes))]
        self._crashes[engine_input] = crashes
        self._changed = True
        if time.monotonic() - self._saved >= SAVE_EVERY:
            await asyncio.to_thread(self.save)


async def _hashed(engine_input: EngineInput) -> str:
    def hashed() -> str:
        digest = hashlib.sha256()
        for part in engine_input():
            digest.update(part)
        return digest.hexdigest()

    return await asyncio.to_thread(hashed)


def _read(file: Path, max_kept: int) -> dict[str, int]:
    """The crashes in a file; none where it cannot be read."""
    try:
        with file.open("rb") as opened:
            stored = json.loads(opened.read(MAX_FILE_SIZE))
        pairs = [(str(key), int(crashes)) for key, crashes in stored.items()]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as exc:
        log.warning("cannot read %s (%s); it will be replaced", file, type(exc).__name__)
        return {}
    return dict(pairs[-max_kept:])
