"""Slow links: a process that carries frames between two TAP devices, late and at a rate.

    lab  -> wire   one line of JSON: the links, each with its two ends
    wire -> lab    "ready"
    lab  -> wire   one line of JSON: {"name": ..., "delay": ..., "jitter": ..., "rate": ..., ...}
    wire -> lab    "ok"
    lab  -> wire   end of input: the wire ends

Many kernels come without `netem`; this does the same on all of them. `Link` decides when a frame
arrives, with time and chance as arguments; `main` reads, waits and writes.
"""

import fcntl
import functools
import heapq
import itertools
import json
import os
import random
import select
import struct
import sys
import time
from dataclasses import dataclass, fields
from typing import Any

from .netns import inside

FRAME = 65_536  # bytes; more than any frame
QUEUE_SECONDS = 0.5  # what may wait at a slow link before frames are dropped: a usual home router
READ_AT_ONCE = 64  # frames taken from one end before looking at the others
IDLE_SECONDS = 1.0
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


@dataclass
class Shape:
    """How a link treats what it carries, the same both ways."""

    delay: float = 0.0  # seconds, one way
    jitter: float = 0.0  # seconds to either side; frames stay in order
    rate: float = 0.0  # bytes per second; 0 is no limit
    loss: float = 0.0  # share of frames, 0 to 1


@dataclass
class Link:
    """One direction of one wire."""

    shape: Shape
    free: float = 0.0  # when the last frame has left the sender
    latest: float = 0.0  # when the last frame arrives

    def due(self, now: float, size: int, rng: random.Random) -> float | None:
        """When a frame sent now arrives; None if it never does."""
        shape = self.shape
        if shape.loss and rng.random() < shape.loss:
            return None
        start = max(now, self.free)
        if shape.rate:
            if start - now > QUEUE_SECONDS:
                return None
            start = self.free = start + size / shape.rate
        wobble = rng.uniform(-shape.jitter, shape.jitter) if shape.jitter else 0.0
        self.latest = max(self.latest, start + max(0.0, shape.delay + wobble))
        return self.latest


def open_tap(device: str) -> int:
    """A file descriptor that reads and writes the frames of a TAP device of this namespace."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


class Wires:
    """All wires of a lab, and what is under way on them."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._shapes: dict[str, Shape] = {}
        self._ends: dict[int, tuple[int, Link]] = {}  # where to read: where to write, and when
        self._flying: list[tuple[float, int, int, bytes]] = []
        self._count = itertools.count()

    def add(self, name: str, one: int, other: int) -> None:
        shape = self._shapes[name] = Shape()
        self._ends[one] = (other, Link(shape))
        self._ends[other] = (one, Link(shape))

    def ends(self) -> list[int]:
        return list(self._ends)

    def reshape(self, words: dict[str, Any]) -> None:
        shape = self._shapes[words["name"]]
        for field in fields(Shape):
            setattr(shape, field.name, float(words.get(field.name, 0.0)))

    def take(self, end: int) -> None:
        """Read what an end has sent."""
        other, link = self._ends[end]
        for _ in range(READ_AT_ONCE):
            try:
                frame = os.read(end, FRAME)
            except OSError:  # nothing more, or the interface is down
                return
            due = link.due(time.monotonic(), len(frame), self._rng)
            if due is not None:
                heapq.heappush(self._flying, (due, next(self._count), other, frame))

    def deliver(self) -> float:
        """Write what has arrived; returns the seconds until something else will."""
        while self._flying:
            wait = self._flying[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, end, frame = heapq.heappop(self._flying)
            try:
                os.write(end, frame)
            except OSError:  # the interface is down: lost, as on a real wire
                pass
        return IDLE_SECONDS


def main() -> None:
    wires = Wires(random.Random(0))
    for link in json.loads(sys.stdin.readline()):
        one, other = (
            inside(place, functools.partial(open_tap, device)) for place, device in link["ends"]
        )
        wires.add(link["name"], one, other)
    print("ready", flush=True)
    poll = select.epoll()
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    for end in wires.ends():
        poll.register(end, select.EPOLLIN)
    while True:
        for end, _ in poll.poll(wires.deliver()):
            if end != sys.stdin.fileno():
                wires.take(end)
            elif line := sys.stdin.readline():
                wires.reshape(json.loads(line))
                print("ok", flush=True)
            else:
                return


if __name__ == "__main__":
    main()
