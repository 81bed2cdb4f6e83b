"""A job that asks for room at a server: what HTTP knows of it, and admission decides by. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from privox_dht.errors import JobError
from privox_dht.quotas import Prefixes


@dataclass(slots=True, eq=False)
class Offer:
    """A job that asks for room, as far as that matters for who gets it."""

    prefixes: Prefixes = ()  # the networks its client counts for, see `quotas`
    wait: float = 0.0  # seconds it may wait in a queue
    uploading: bool = False  # its body has not ended
    received: int = 0  # bytes of its body so far
    end_upload: Callable[[JobError], None] = lambda error: None  # end it with this error
