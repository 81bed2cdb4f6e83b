"""Inputs that crashed workers, so that they are refused.

    async with quarantine.guarded(question):      refused, if workers died over it twice
        ...                                   a death over it is counted

Kept as hashes, since a node remembers no words, and so many at the most; the oldest go. Where there
is a file, they outlive the node.
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

KEPT = 4096  # hashes of 32 bytes; finding more inputs that crash an engine takes long
ENOUGH = 2  # deaths after which a question is not asked again; one may be bad luck
OWN_FAULTS = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGXCPU"}  # and not the node's
SAVE_EVERY = 10.0  # seconds; a file of 300 KB, written while crashes are being provoked
LARGEST = KEPT * 128  # bytes of the file

# What tells one from another; may take a while
Question = Callable[[], Iterable[bytes | memoryview]]


class Quarantine:
    """Hashes of inputs that crashed workers.

    Args:
        file: where it is kept; None: nowhere.
        kept: questions at the most.
    """

    def __init__(self, file: Path | None = None, kept: int = KEPT) -> None:
        self._file = file
        self._kept = kept
        self._deaths: dict[str, int] = {}  # by hash, the oldest first
        self._saved = 0.0
        self._is_new = False  # something is not in the file
        if file is not None:
            self._deaths = _read(file, kept)

    def __len__(self) -> int:
        return len(self._deaths)

    def __repr__(self) -> str:
        return f"<Quarantine {len(self)} known>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.save()

    @contextlib.asynccontextmanager
    async def guarded(self, question: Question) -> AsyncIterator[None]:
        """Work on `question`, which must be there until the context is left.

        Raises:
            RequestRejected: workers died over it before.
        """
        if self._deaths and self._deaths.get(await _hashed(question), 0) >= ENOUGH:
            raise RequestRejected(
                "this very text or sound brought the engine down before, twice; change it, or name"
                " another engine or voice",
                code="invalid_input",
            )
        try:
            yield
        except WorkerDied as exc:
            if exc.guilty and exc.why in OWN_FAULTS:
                await self._count(await _hashed(question))
            raise

    def save(self) -> None:
        """Write the file, if there is one and something is new. What cannot be written is told."""
        if self._file is None or not self._is_new:
            return
        self._is_new, self._saved = False, time.monotonic()
        try:
            replace_file(self._file, json.dumps(self._deaths).encode())
        except OSError as exc:
            log.warning("what brought engines down cannot be kept in %s (%s)", self._file, exc)

    async def _count(self, question: str) -> None:
        deaths = self._deaths.pop(question, 0) + 1
        while len(self._deaths) >= self._kept:
            del self._deaths[next(iter(self._deaths))]
        self._deaths[question] = deaths
        self._is_new = True
        if time.monotonic() - self._saved >= SAVE_EVERY:
            await asyncio.to_thread(self.save)


async def _hashed(question: Question) -> str:
    def hashed() -> str:
        seen = hashlib.sha256()
        for part in question():
            seen.update(part)
        return seen.hexdigest()

    return await asyncio.to_thread(hashed)


def _read(file: Path, kept: int) -> dict[str, int]:
    """What a file says; nothing where it makes no sense."""
    try:
        with file.open("rb") as opened:
            said = json.loads(opened.read(LARGEST))
        pairs = [(str(key), int(deaths)) for key, deaths in said.items()]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as exc:
        log.warning("%s cannot be read, and is begun anew (%s)", file, type(exc).__name__)
        return {}
    return dict(pairs[-kept:])
