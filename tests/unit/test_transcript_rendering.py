"""A long transcript is written by a thread."""

import threading

from privox_dht.speech import Segment, Transcript
from privox_dht.speech_api.transcript_rendering import LONG, render_off_loop


async def test_a_long_transcript_is_written_off_the_loop_and_a_short_one_at_once() -> None:
    """Two hours with the times of all words held the loop for 50 ms."""
    for count, by_the_loop in ((LONG, True), (LONG + 1, False)):
        segments = tuple(Segment("a", n, n + 1.0) for n in range(count))
        seen: list[threading.Thread] = []

        def write(seen: list[threading.Thread] = seen) -> str:
            seen.append(threading.current_thread())
            return "all of it"

        assert await render_off_loop(Transcript(segments, float(count), "en"), write) == "all of it"
        assert (seen == [threading.main_thread()]) is by_the_loop
