"""A lock for a library that works for one job at a time, in workers with a thread for each job.

    for item in lock.each(link, items):    the thread takes the lock, tells the parent so, makes one
        link(...)                          item, and releases the lock

Short jobs come first, and of two alike the one that has waited longer: so a long job gives way
after each of its items. The parent knows which job a worker died in, and a thread that waits sees
when its client has left. An item is sent after the lock is released: a slow reader blocks nobody.
"""

import itertools
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from nodes.engines.link import Disconnected, Link

Item = TypeVar("Item")

LOOK_EVERY = 0.2  # seconds after which one who waits for his turn looks whether anybody listens


class PriorityLock:
    """One job at a time; short ones first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._waiting: list[tuple[bool, int]] = []  # whether it is long, and when it came
        self._numbers = itertools.count()

    @contextmanager
    def taken(self, link: Link, *, short: bool = False) -> Iterator[None]:
        """The turn, for the job of `link`.

        Raises:
            Disconnected: nobody listens to that job any more.
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
                    if not self._changed.wait(LOOK_EVERY) and link.disconnected:
                        raise Disconnected
                self._is_taken = True
            finally:
                self._waiting.remove(place)
                self._changed.notify_all()

    def each(self, link: Link, items: Generator[Item], *, short: bool = False) -> Iterator[Item]:
        """Each of `items`, made in a turn of its own."""
        try:
            while True:
                with self.taken(link, short=short):
                    item = next(items, None)
                if item is None:
                    return
                yield item
        finally:
            items.close()
