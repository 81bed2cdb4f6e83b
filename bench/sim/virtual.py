"""A clock that jumps and a network in memory.

loop.time()  stands still while there is work and jumps to the next timer when there is none
Air          delivers datagrams after a delay that is fixed for each pair of addresses, unless
             they are lost or one of the two is dead
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
import zlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

Address = tuple[str, int]

MEDIAN_RTT = 0.09  # seconds: between homes on one continent
SIGMA = 0.55  # of the logarithm: one pair in twenty takes longer than 0.22 s
DELAYS = 4096  # different delays there are
LARGEST = 65_507  # bytes of payload a UDP datagram may have
EPHEMERAL = 40_000  # the first port given to a socket that asks for any


class Air:
    """The network: who listens where, who is dead, what is lost."""

    def __init__(self, seed: int, loss: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.loss = loss
        self.dead: set[str] = set()  # ip addresses that neither send nor hear
        self.sent = self.bytes = self.fragmented = 0
        self._listeners: dict[Address, Any] = {}
        dice = random.Random(seed + 1)
        mu = math.log(MEDIAN_RTT / 2)
        self._delays = [math.exp(dice.gauss(mu, SIGMA)) for _ in range(DELAYS)]

    def delay(self, one: str, other: str) -> float:
        """Seconds one way, the same both ways."""
        pair = f"{one} {other}" if one < other else f"{other} {one}"
        return self._delays[zlib.crc32(pair.encode()) % DELAYS]

    def listen(self, address: Address, protocol: Any, loop: VirtualLoop) -> Transport:
        if not address[1]:
            port = EPHEMERAL
            while (address[0], port) in self._listeners:
                port += 1
            address = (address[0], port)
        transport = Transport(self, address, loop)
        self._listeners[address] = protocol
        protocol.connection_made(transport)
        return transport

    def leave(self, address: Address) -> None:
        self._listeners.pop(address, None)

    def carry(self, data: bytes, source: Address, target: Address, loop: VirtualLoop) -> None:
        self.sent += 1
        self.bytes += len(data)
        self.fragmented += len(data) > 1472
        if len(data) > LARGEST or source[0] in self.dead or target[0] in self.dead:
            return
        if self.loss and self.rng.random() < self.loss:
            return
        loop.call_later(self.delay(source[0], target[0]), self._deliver, data, source, target)

    def _deliver(self, data: bytes, source: Address, target: Address) -> None:
        listener = self._listeners.get(target)
        if listener is not None and target[0] not in self.dead:
            listener.datagram_received(data, source)


class Transport(asyncio.DatagramTransport):
    """One socket in the air."""

    __slots__ = ("_air", "_closed", "_loop", "address")

    def __init__(self, air: Air, address: Address, loop: VirtualLoop) -> None:
        self._air, self.address, self._loop, self._closed = air, address, loop, False

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not self._closed:
            self._air.carry(bytes(data), self.address, addr, self._loop)

    def close(self) -> None:
        self._closed = True
        self._air.leave(self.address)

    def is_closing(self) -> bool:
        return self._closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.address if name == "sockname" else default


class _Selector(selectors.BaseSelector):
    """Waits for nothing: moves the clock on instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is left to happen: something waits for ever")
        if timeout > 0 and self.loop is not None:
            self.loop.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, with another clock and other sockets."""

    def __init__(self, air: Air) -> None:
        self.now = 0.0
        self.air = air
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self.now

    async def create_datagram_endpoint(
        self, factory: Any, local_addr: Any = None, **more: Any
    ) -> Any:
        protocol = factory()
        return self.air.listen(local_addr, protocol, self), protocol


def run(air: Air, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine in virtual time, and end whatever it leaves."""
    loop = VirtualLoop(air)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main())
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()


def address_of(number: int) -> str:
    """The address of a node: global, each in a /24 of its own."""
    return f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.7"
