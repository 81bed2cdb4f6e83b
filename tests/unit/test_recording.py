"""Sound that processes share, and how it is given up."""

import asyncio
import os
import threading
from contextlib import aclosing
from typing import BinaryIO, cast

import numpy as np
import pytest

from privox_dht.atomic_file import CLOSED_AT_ONCE
from privox_dht.http.request_body import SpooledFile
from privox_dht.recording import Recording

RATE = 16_000  # Hz
LARGE = CLOSED_AT_ONCE + 4096  # bytes


class Noting:
    """A file that notes which thread closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.closed_by: threading.Thread | None = None

    def close(self) -> None:
        self.closed_by = threading.current_thread()
        self._file.close()


@pytest.fixture
def closers(monkeypatch: pytest.MonkeyPatch) -> dict[int, threading.Thread]:
    """Which thread closed a file, by the file's number."""
    seen: dict[int, threading.Thread] = {}
    close = os.close

    def noted(number: int) -> None:
        seen[number] = threading.current_thread()
        close(number)

    monkeypatch.setattr(os, "close", noted)
    return seen


def test_samples_are_there_without_being_copied() -> None:
    sound = np.linspace(-1, 1, 1000, dtype=np.float32)
    with Recording.of(sound, RATE) as recording:
        assert np.array_equal(recording.samples(), sound)
        assert np.array_equal(recording.part(10, 20), sound[10:20])
        assert recording.seconds == 1000 / RATE


async def test_a_long_recording_is_given_up_by_a_thread(
    closers: dict[int, threading.Thread],
) -> None:
    """Two hours take the system 0.2 s, for which the node answered nobody."""
    async with aclosing(Recording.of(np.ones(LARGE // 4, np.float32), RATE)) as recording:
        pass
    assert closers[recording.file] is not threading.main_thread()


async def test_a_short_one_is_given_up_at_once(closers: dict[int, threading.Thread]) -> None:
    async with aclosing(Recording.of(np.ones(100, np.float32), RATE)) as recording:
        pass
    assert closers[recording.file] is threading.main_thread()


async def test_so_is_one_that_was_never_finished(closers: dict[int, threading.Thread]) -> None:
    """A file that breaks the decoder: nobody says how many samples there are."""
    async with aclosing(Recording.room(RATE, LARGE / 4 / RATE + 1)) as recording:
        os.write(recording.file, bytes(LARGE))
    assert recording.count == 0
    assert closers[recording.file] is not threading.main_thread()


async def test_who_is_cancelled_while_it_is_given_up_leaves_no_file_open(
    closers: dict[int, threading.Thread],
) -> None:
    recording = Recording.of(np.ones(LARGE // 4, np.float32), RATE)
    closing = asyncio.create_task(recording.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert recording.file in closers


async def test_a_large_upload_is_given_up_by_a_thread() -> None:
    spooled = SpooledFile(1024)
    await spooled.write(bytes(LARGE))
    file = Noting(await spooled.rewind())
    spooled._file = cast(BinaryIO, file)
    await spooled.aclose()
    assert file.closed_by is not threading.main_thread()
