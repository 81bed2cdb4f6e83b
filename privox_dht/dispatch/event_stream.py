"""What a coroutine emits while it runs, as an async iterator.

    coroutine --emit--> queue --> the reader
              --returns--------> the last item
              --raises---------> raised in the reader, after all that was emitted before it

The coroutine never waits for the reader: a slow reader neither holds a producer's slot nor makes
the producer look slow. The queue is as large as an answer at most (`limits.MAX_ANSWER`,
`limits.MAX_ANSWER_AUDIO`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from privox_dht.dispatch.job_events import (
    Dialing,
    Emit,
    FileChunk,
    JobEvent,
    Progress,
    Scattered,
    Uploading,
)
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import AllProducersFailed

T = TypeVar("T")


class EventQueue(deque[Progress]):
    """Events that were not read yet."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def put(self, event: Progress) -> None:
        """Add an event. Only the newest progress is kept, and no sound from before a `Dialing`."""
        if isinstance(event, Uploading | Scattered) and self:
            if type(self[-1]) is type(event):
                self.pop()
        elif isinstance(event, Dialing):
            others = [e for e in self if not isinstance(e, FileChunk)]
            self.clear()
            self.extend(others)
        self.append(event)
        self.changed.set()


async def streamed(work: Callable[[Emit], Coroutine[Any, Any, T]]) -> AsyncGenerator[Progress | T]:
    """All that `work` emits, then what it returns. Closing this cancels `work` and waits for its
    end."""
    queue = EventQueue()
    job = asyncio.create_task(work(queue.put))
    job.add_done_callback(lambda _: queue.changed.set())
    try:
        while True:
            while queue:
                yield queue.popleft()
            if job.done():
                break
            await queue.changed.wait()
            queue.changed.clear()
        yield job.result()
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


async def last_of(
    events: AsyncGenerator[JobEvent[T]], show: Callable[[JobEvent[T]], None] = lambda event: None
) -> Done[T]:
    """Run a job to its end: pass every event to `show` and return `Done`."""
    async with aclosing(events):
        async for event in events:
            show(event)
            if isinstance(event, Done):
                return event
    raise AssertionError("a job ended without Done")


async def file_of(events: AsyncGenerator[JobEvent[bytes]]) -> AsyncGenerator[bytes]:
    """The pieces of the spoken file in the events of a job, as they come.

    Raises:
        AllProducersFailed: the producer was lost after the first piece: another one would start
            over what was played already.
    """
    begun = False
    async with aclosing(events):
        async for event in events:
            match event:
                case FileChunk(data):
                    begun = True
                    yield data
                case Dialing(route=route) if begun:
                    raise AllProducersFailed(
                        "the producer was lost after it had begun to speak: ask again, or use"
                        f" speech(), which would go on to the next ({route})"
                    )
