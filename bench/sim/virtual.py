"""A clock that jumps and a network in memory.

loop.time()  stands still while there is work and jumps to the next timer when there is none
Air          delivers datagrams after a delay that is fixed for each pair of addresses, unless
             they are lost, one of the two is dead, or the sender says more than a machine can
"""

from __future__ import annotations

import asyncio
import math
import random
import zlib
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

Address = tuple[str, int]
ProtocolT = TypeVar("ProtocolT", bound=asyncio.DatagramProtocol)
T = TypeVar("T")

MEDIAN_RTT = 0.09  # seconds: between homes on one continent
SIGMA = 0.55  # of the logarithm: one pair in twenty takes longer than 0.22 s
DELAYS = 4096  # different delays there are
LARGEST = 65_507  # bytes of payload a UDP datagram may have
EPHEMERAL = 40_000  # the first port given to a socket that asks for any
UPLINK = 1000  # datagrams a machine sends in a second; it is a second's work for stock kademlia
STORM = 1_000_000  # timers and datagrams under way: more than any mesh here needs, a GB


class Air:
    """The network: who listens where, who is dead, what is lost."""

    def __init__(self, seed: int, loss: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.loss = loss
        self.uplinks: dict[str, int] = {}  # datagrams that other machines send in a second
        self.dead: set[str] = set()  # ip addresses that neither send nor hear
        self.sent = self.bytes = self.fragmented = self.choked = 0
        self._said: dict[str, int] = {}  # datagrams of each machine in this second
        self._second = 0
        self._listeners: dict[Address, asyncio.DatagramProtocol] = {}
        dice = random.Random(seed + 1)
        mu = math.log(MEDIAN_RTT / 2)
        self._delays = [math.exp(dice.gauss(mu, SIGMA)) for _ in range(DELAYS)]
        self._names: dict[str, tuple[bytes, int]] = {}  # ip: its bytes, the checksum begun with it

    def delay(self, one: str, other: str) -> float:
        """Seconds one way, the same both ways."""
        if one > other:
            one, other = other, one
        begun, name = self._name(one)[1], self._name(other)[0]
        return self._delays[zlib.crc32(name, begun) % DELAYS]

    def _name(self, ip: str) -> tuple[bytes, int]:
        known = self._names.get(ip)
        if known is None:
            known = self._names[ip] = (ip.encode(), zlib.crc32(f"{ip} ".encode()))
        return known

    def listen(
        self, address: Address, protocol: asyncio.DatagramProtocol, loop: VirtualLoop
    ) -> Transport:
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
        if self._second != int(loop.now):
            self._second, self._said = int(loop.now), {}
        said = self._said[source[0]] = self._said.get(source[0], 0) + 1
        if said > UPLINK and said > self.uplinks.get(source[0], UPLINK):
            self.choked += 1
            return
        loop.later(self.delay(source[0], target[0]), self._deliver, (data, source, target))

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


class Timer:
    """What `call_later` gives back: asyncio's own carries a context, which nobody here looks at."""

    __slots__ = ("_args", "_callback", "_when")

    def __init__(self, when: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._when, self._args = when, args
        self._callback: Callable[..., Any] | None = callback

    def __call__(self) -> None:
        if self._callback is not None:
            self._callback(*self._args)

    def cancel(self) -> None:
        self._callback, self._args = None, ()

    def cancelled(self) -> bool:
        return self._callback is None

    def when(self) -> float:
        return self._when


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, with another clock and other sockets. Who is due at the same time comes
    in the order in which it was asked for."""

    def __init__(self, air: Air) -> None:
        self.now = 0.0
        self.air = air
        self._number = count()
        self._due: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []  # a heap
        super().__init__()

    if TYPE_CHECKING:  # what asyncio's loop has, and does not tell
        _ready: deque[asyncio.Handle]
        _stopping: bool

    def time(self) -> float:
        return self.now

    def later(self, delay: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """`call_later` for what is never cancelled."""
        heappush(self._due, (self.now + delay, next(self._number), callback, args))

    def call_later(  # type: ignore[override]  # a Timer, which is no TimerHandle
        self, delay: float, callback: Callable[..., Any], *args: Any, context: object = None
    ) -> Timer:
        return self.call_at(self.now + delay, callback, *args)

    def call_at(  # type: ignore[override]  # a Timer, which is no TimerHandle
        self, when: float, callback: Callable[..., Any], *args: Any, context: object = None
    ) -> Timer:
        timer = Timer(when, callback, args)
        due: tuple[float, int, Callable[..., Any], tuple[Any, ...]]
        due = (when, next(self._number), timer, ())
        heappush(self._due, due)
        return timer

    def _run_once(self) -> None:
        """What is due, moment after moment, until something is ready; then that."""
        ready, due = self._ready, self._due
        while not ready and not self._stopping:
            if not due:
                raise RuntimeError("nothing is left to happen: something waits for ever")
            if len(due) > STORM:
                raise RuntimeError("a storm: what is sent draws more than itself in answer")
            self.now, _, callback, args = heappop(due)
            try:
                callback(*args)
            except Exception as exc:
                self.call_exception_handler({"message": f"in {callback!r}", "exception": exc})
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    async def create_datagram_endpoint(  # type: ignore[override]  # a socket has an address here
        self, factory: Callable[[], ProtocolT], local_addr: Address, **more: object
    ) -> tuple[Transport, ProtocolT]:
        protocol = factory()
        return self.air.listen(local_addr, protocol, self), protocol


def run(air: Air, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
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
