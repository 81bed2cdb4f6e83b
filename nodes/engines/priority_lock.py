"""A lock for a library that allows one job at a time, in workers with a thread for each job.

    for item in lock.each(link, items):    the thread takes the lock, reports that to the parent,
        link.send(...)                     makes one item, and releases the lock

Short jobs come first, then the job that has waited longest. So a long job lets others run after
each item. The parent knows in which job a worker crashed, and a waiting thread notices when its job
is cancelled. Items are sent after the lock is released, so a slow reader blocks no other job.
"""

import itertools
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from nodes.engines.link import Disconnected, Link

Item = TypeVar("Item")

CHECK_INTERVAL = 0.2  # seconds between two checks whether a waiting job was cancelled


class PriorityLock:
    """One job at a time; short ones first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._waiting: list[tuple[bool, int]] = []  # whether it is long, and its number
        self._numbers = itertools.count()

    @contextmanager
    def taken(self, link: Link, *, short: bool = False) -> Iterator[None]:
        """Hold the lock for the job of `link`.

        Raises:
            Disconnected: the job was cancelled.
        """
        self._wait(link, (not short, next(self._numbers)))
        try:
            if link.disconnected:
                raise Disconnected
            link.take_turn()
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()

    def _wait(self, link: Link, place: tuple[bool, int]) -> None:
        with self._changed:
            self._waiting.append(place)
            try:
                while self._is_taken or min(self._waiting) != place:
                    if not self._changed.wait(CHECK_INTERVAL) and link.disconnected:
                        raise Disconnected
                self._is_taken = True
            finally:
                self._waiting.remove(place)
                self._changed.notify_all()

    def each(self, link: Link, items: Generator[Item], *, short: bool = False) -> Iterator[Item]:
        """Each of `items`, made while the lock is held."""
        try:
            while True:
                with self.taken(link, short=short):
                    item = next(items, None)
                if item is None:
                    return
                yield item
        finally:
            items.close()
