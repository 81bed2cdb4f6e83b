"""Slots: how many jobs at a time. The one place that says busy.

a job comes   -> a slot is free: enter, leave when it ends    -> idle changes, told to the mesh
              -> none is free: Busy, before a byte of the upload
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from privox_dht import limits
from privox_dht.errors import Busy, ConfigError


class Admission:
    """Room for `slots` jobs at a time."""

    def __init__(self, slots: int, on_change: Callable[[], None] = lambda: None) -> None:
        if not 1 <= slots <= limits.MAX_SLOTS:
            raise ConfigError(f"--slots {slots}: between 1 and {limits.MAX_SLOTS}")
        self.slots = slots
        self.taken = 0
        self.closed = False  # draining: what runs may end, nothing new begins
        self._on_change = on_change

    def __repr__(self) -> str:
        return f"<Admission {self.idle} of {self.slots} idle{', closed' if self.closed else ''}>"

    @property
    def idle(self) -> int:
        return 0 if self.closed else self.slots - self.taken

    @contextmanager
    def enter(self) -> Iterator[None]:
        """A slot, held while the context is open.

        Raises:
            Busy: none is free.
        """
        if self.idle <= 0:
            raise Busy(f"all {self.slots} slots are taken", limits.RETRY_AFTER)
        self.taken += 1
        self._on_change()
        try:
            yield
        finally:
            self.taken -= 1
            self._on_change()

    def close(self) -> None:
        """Let nothing new begin."""
        self.closed = True
        self._on_change()
