"""What several of these tests use; and for those in virtual time the way to `bench.sim`, and
signatures that cost nothing."""

import logging
import resource
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from privox_dht.identity import verify

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # bench is a package of it

from bench.sim import worlds
from client.config import ClientConfig
from privox_dht import records
from privox_dht.dht import rpc_protocol


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signatures are hashes here, and Ed25519 again afterwards."""
    monkeypatch.setattr(rpc_protocol, "verify", verify)
    monkeypatch.setattr(records, "verify", verify)
    monkeypatch.setattr(worlds, "make_identity", worlds.make_identity)
    worlds.quick_signatures()
    logging.disable(logging.CRITICAL)  # stock tells of every time-out as an error
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options that `privox-client` would be run with, whichever of its commands it is."""
    seen: dict[str, Any] = {}

    def prepare(config: ClientConfig) -> Coroutine[Any, Any, None]:
        own = asdict(config)
        seen.update({**own.pop("speech"), **own.pop("transcription"), **own})  # flat, as flags are

        async def job() -> None:
            pass

        return job()

    for job in ("speak.prepare", "transcribe.prepare", "listing.show"):
        monkeypatch.setattr(f"client.{job}", prepare)
    return seen


@pytest.fixture
def small_files() -> Callable[[], AbstractContextManager[None]]:
    """While entered, no file that this process writes may grow above 16 bytes: to whoever writes,
    the disk is full."""

    @contextmanager
    def limited() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
