"""Memory for models: as many are loaded as there is room for, the rest when they are asked for.

async with memory.using(model, needs):    its room, perhaps after others that nobody uses, the one
    ...                                   used longest ago first, were unloaded; it loads itself
memory.measured(model, needs)             what it really takes

Without a bound everything stays loaded. With one, what nobody used for some minutes is unloaded.
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from typing import Protocol

from privox_dht import errors, limits, units

WAIT = 10.0  # seconds that a job waits for room while every model is in use; then: ProducerBusy
IDLE_FOR = 600.0  # seconds after which a model that nobody uses is unloaded


class Model(Protocol):
    """What can be loaded again at any time."""

    @property
    def model_name(self) -> str:
        """As a person knows it."""

    async def unload(self) -> None:
        """Let go of its memory: all of it is free when this returns."""


class ModelMemory:
    """Room for models.

    Args:
        most: bytes for all of them together; None: no bound.
        idle_for: seconds after which one that nobody uses is unloaded, where there is a bound.
    """

    def __init__(self, most: int | None = None, idle_for: float = IDLE_FOR) -> None:
        self.most = most
        self._idle_for = idle_for
        self._loaded: OrderedDict[Model, int] = OrderedDict()  # bytes; last used last
        self._users: Counter[Model] = Counter()
        self._used: dict[Model, float] = {}  # when it was last used
        self._changed = asyncio.Condition()
        self._timers: dict[Model, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        most = "any" if self.most is None else units.size(self.most)
        return f"<ModelMemory {len(self._loaded)} models, {units.size(self.taken)} of {most}>"

    @property
    def taken(self) -> int:
        """Bytes of all that is loaded."""
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
        """Room for `model`, which needs so many bytes, while the context is open and after it.

        Raises:
            ProducerBusy: other models were in use for as long as this one may wait.
        """
        await self._take(model, needs, wait)
        try:
            yield
        finally:
            self._users[model] -= 1
            self._used[model] = time.monotonic()
            self._watch(model)
            await self._tell()

    def measured(self, model: Model, needs: int) -> None:
        """What it takes; it is more than one thought when it is more."""
        if model in self._loaded:
            self._loaded[model] = max(needs, self._loaded[model])

    async def forget(self, model: Model) -> None:
        """It is closed."""
        self._loaded.pop(model, None)
        if timer := self._timers.pop(model, None):
            timer.cancel()
        await self._tell()

    async def _take(self, model: Model, needs: int, wait: float) -> None:
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
        """Whether it is loaded, or may be; what is in its way and used by nobody is unloaded."""
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
        """Its room is others' once it is gone."""
        await asyncio.shield(model.unload())
        self._loaded.pop(model, None)

    def _watch(self, model: Model) -> None:
        """Unload it once nobody has used it for long enough."""
        if self.most is None or self._users[model] or model not in self._loaded:
            return
        if timer := self._timers.pop(model, None):
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[model] = loop.call_later(self._idle_for, self._expire, model)

    def _expire(self, model: Model) -> None:
        task = asyncio.create_task(self._unload_idle(model))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _unload_idle(self, model: Model) -> None:
        async with self._changed:
            unused = time.monotonic() - self._used.get(model, 0.0) >= self._idle_for
            if unused and not self._users[model] and model in self._loaded:
                await self._unload(model)
                self._changed.notify_all()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
