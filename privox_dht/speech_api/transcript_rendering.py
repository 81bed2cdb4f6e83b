"""Renders long transcripts in a thread: two hours with the times of all words are 1.6 MB of JSON,
which would block the event loop for 50 ms."""

import asyncio
from collections.abc import Callable

from privox_dht.speech import Transcript

LONG = 100  # segments; fewer take under 3 ms


async def render_off_loop(transcript: Transcript, write: Callable[[], str]) -> str:
    """The text that `write` makes of `transcript`."""
    if len(transcript.segments) > LONG:
        return await asyncio.to_thread(write)
    return write()
