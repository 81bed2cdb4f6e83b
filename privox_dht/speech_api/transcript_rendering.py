"""Writing a whole transcript, off the loop where it is long: two hours with the times of all words
are 1.6 MB of JSON, for which the loop answered nobody for 50 ms."""

import asyncio
from collections.abc import Callable

from privox_dht.speech import Transcript

LONG = 100  # segments; to write fewer takes under 3 ms


async def render_off_loop(transcript: Transcript, write: Callable[[], str]) -> str:
    """What `write` makes of `transcript`."""
    if len(transcript.segments) > LONG:
        return await asyncio.to_thread(write)
    return write()
