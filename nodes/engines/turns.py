"""Whose turn it is in a library that works for one job at a time: for workers with threads.

    for item in turns.each(link, items):    the thread waits for its turn, tells the parent that it
        link(...)                           has it, makes one item, and gives the turn to others

So the parent knows over which job a worker died, and whoever waits sees that his listener has left.
An item is handed over outside of the turn: a slow listener keeps nobody waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from nodes.engines.link import HungUp, Link

Item = TypeVar("Item")

LOOK_EVERY = 0.2  # seconds after which one who waits for his turn looks whether anybody listens


class Turns:
    """One at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, link: Link) -> Iterator[None]:
        """The turn, for the job of `link`.

        Raises:
            HungUp: nobody listens to that job any more.
        """
        while not self._lock.acquire(timeout=LOOK_EVERY):
            if link.hung_up:
                raise HungUp
        try:
            if link.hung_up:
                raise HungUp
            link.take_turn()
            yield
        finally:
            self._lock.release()

    def each(self, link: Link, items: Generator[Item]) -> Iterator[Item]:
        """Each of `items`, made in a turn of its own."""
        try:
            while True:
                with self.taken(link):
                    item = next(items, None)
                if item is None:
                    return
                yield item
        finally:
            items.close()
