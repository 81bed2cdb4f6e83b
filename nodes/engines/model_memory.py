"""Memory for models: as many as fit stay loaded; the others are loaded when a job needs them.

async with memory.using(model, needs):    reserves memory; idle models are unloaded for it, the
    ...                                   least recently used first; the model loads itself
memory.measured(model, needs)             sets the bytes that it really takes

Without a bound everything stays loaded. With one, models that are idle for minutes are unloaded.
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from typing import Protocol

from privox_dht import errors, limits, units

WAIT = 10.0  # seconds that a job waits for memory while all models are in use
IDLE_TIMEOUT = 600.0  # seconds after which an idle model is unloaded


class Model(Protocol):
    """A model that can be unloaded, and loaded again at any time."""

    @property
    def model_name(self) -> str:
        """Its name in messages."""

    async def unload(self) -> None:
        """Free its memory before this returns."""


class ModelMemory:
    """The memory that all models of a node share.

    Args:
        most: bytes for all of them together; None: no bound.
        idle_timeout: seconds after which an idle model is unloaded, if there is a bound.
    """

    def __init__(self, most: int | None = None, idle_timeout: float = IDLE_TIMEOUT) -> None:
        self.most = most
        self._idle_timeout = idle_timeout
        self._loaded: OrderedDict[Model, int] = OrderedDict()  # bytes; last used last
        self._users: Counter[Model] = Counter()
        self._last_used: dict[Model, float] = {}  # when it was last used
        self._changed = asyncio.Condition()
        self._timers: dict[Model, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        most = "any" if self.most is None else units.size(self.most)
        return f"<ModelMemory {len(self._loaded)} models, {units.size(self.taken)} of {most}>"

    @property
    def taken(self) -> int:
        """Bytes of all loaded models."""
        return sum(self._loaded.values())

    def check(self, model: Model, needs: int) -> None:
        """Raises: EngineUnavailable: a model of this size could never be loaded."""
        if self.most is not None and needs > self.most:
            raise errors.EngineUnavailable(
                f"the model {model.model_name} takes {units.size(needs)}, and --model-memory is"
                f" {units.size(self.most)}",
                "give it more memory, or name a smaller model",
            )

    @contextlib.asynccontextmanager
    async def using(self, model: Model, needs: int, wait: float = WAIT) -> AsyncIterator[None]:
        """Reserve `needs` bytes for `model`; it is in use while the context is open.

        Raises:
            ProducerBusy: other models stayed in use for `wait` seconds.
        """
        await self._reserve(model, needs, wait)
        try:
            yield
        finally:
            self._users[model] -= 1
            self._last_used[model] = time.monotonic()
            self._start_idle_timer(model)
            await self._notify()

    def measured(self, model: Model, needs: int) -> None:
        """Set the bytes that it takes, if they are more than were reserved."""
        if model in self._loaded:
            self._loaded[model] = max(needs, self._loaded[model])

    async def forget(self, model: Model) -> None:
        """Drop a model that is closed."""
        self._loaded.pop(model, None)
        if timer := self._timers.pop(model, None):
            timer.cancel()
        await self._notify()

    async def _reserve(self, model: Model, needs: int, wait: float) -> None:
        try:
            async with asyncio.timeout(wait), self._changed:
                while not await self._has_room(model, needs):
                    await self._changed.wait()
                self._users[model] += 1
        except TimeoutError as exc:
            raise errors.ProducerBusy(
                f"there is no memory for the model {model.model_name} while others are in use",
                limits.RETRY_AFTER,
            ) from exc

    async def _has_room(self, model: Model, needs: int) -> bool:
        """Whether it is loaded, or fits now; idle models are unloaded for it."""
        while model not in self._loaded:
            if self.most is None or self.taken + needs <= self.most:
                self._loaded[model] = needs
                break
            idle = next((other for other in self._loaded if not self._users[other]), None)
            if idle is None:
                return False
            await self._unload(idle)
        self._loaded.move_to_end(model)
        return True

    async def _unload(self, model: Model) -> None:
        """Unload a model, and then give its memory to others."""
        await asyncio.shield(model.unload())
        self._loaded.pop(model, None)

    def _start_idle_timer(self, model: Model) -> None:
        """Start the timer that unloads an idle model."""
        if self.most is None or self._users[model] or model not in self._loaded:
            return
        if timer := self._timers.pop(model, None):
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[model] = loop.call_later(self._idle_timeout, self._expire, model)

    def _expire(self, model: Model) -> None:
        task = asyncio.create_task(self._unload_idle(model))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _unload_idle(self, model: Model) -> None:
        async with self._changed:
            unused = time.monotonic() - self._last_used.get(model, 0.0) >= self._idle_timeout
            if unused and not self._users[model] and model in self._loaded:
                await self._unload(model)
                self._changed.notify_all()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
