"""A recording to text, whichever way is better.

`scatter` is "private"             scattered so that nobody hears much, or refused
short, or `scatter` is "never"     one job: the file as it is
fewer than two producers fit       likewise
PyAV is not installed              likewise, and `Whole` says what is missing
else                               scattered
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from privox_dht.audio.decoding import check_for_pyav, length_hint
from privox_dht.audio.refusals import TOO_LONG_BY, too_long
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.event_stream import streamed
from privox_dht.dispatch.job_events import Emit, JobEvent, Scattered, Whole
from privox_dht.dispatch.job_options import NEVER, PRIVATE, TranscriptionOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.work import TranscriptionWork
from privox_dht.errors import ConfigError, NoProducer, RequestRejected
from privox_dht.scatter.piece_source import Audio, PieceSource, opened
from privox_dht.scatter.private import transcribe_in_private
from privox_dht.scatter.scattered_recording import ScatteredRecording
from privox_dht.speech import Transcript
from privox_dht.speech_api.client import SpeechClient

LONG = 60.0  # seconds; what is longer is scattered
SURELY_SHORT = 40_000  # bytes; a minute of speech has more in any format
LEAST = 2  # producers
NO_PYAV = "PyAV is not installed here: pip install 'privox-dht[audio]'"


async def transcription(
    dispatcher: Dispatcher,
    client: SpeechClient,
    audio: Audio,
    needs: Requirements,
    options: TranscriptionOptions,
) -> AsyncGenerator[JobEvent[Transcript]]:
    """The job's events; the last is `Done`. Raises as `Dispatcher.dispatch` and
    `ScatteredRecording.run`.

    Args:
        needs: who may do it.
        options: how it is to be done.
    """
    if options.scatter == PRIVATE:
        events = streamed(_in_private(dispatcher, client, audio, needs, options))
        async with aclosing(events):
            async for event in events:
                yield event
        return
    source: PieceSource | None = None
    fitting = 0
    if options.scatter != NEVER and await asyncio.to_thread(_size, audio) >= SURELY_SHORT:
        fitting = await _fitting(dispatcher, needs)
    if fitting >= LEAST:
        try:
            source = await _long(audio, options.max_seconds)
        except RequestRejected as exc:
            if exc.status != HTTPStatus.NOT_IMPLEMENTED:
                raise
            yield Whole(NO_PYAV)
    if source is None:
        work = TranscriptionWork(client, audio, options)
        events = dispatcher.dispatch(needs, work, wait=options.wait, timeout=options.timeout)
    else:
        pieces = source

        async def job(emit: Emit) -> Done[Transcript]:
            emit(Scattered(0.0, pieces.hint, fitting, 0.0))
            return await ScatteredRecording(dispatcher, client, pieces, needs, options, emit).run()

        events = streamed(job)
    async with aclosing(events):
        async for event in events:
            yield event


def _in_private(
    dispatcher: Dispatcher,
    client: SpeechClient,
    audio: Audio,
    needs: Requirements,
    options: TranscriptionOptions,
) -> Callable[[Emit], Coroutine[Any, Any, Done[Transcript]]]:
    """The job of a recording of which nobody may hear much, however short it is."""

    async def job(emit: Emit) -> Done[Transcript]:
        try:
            check_for_pyav()
        except RequestRejected as exc:
            raise ConfigError(f"--scatter private: {NO_PYAV}") from exc
        source = PieceSource(audio, options.max_seconds)
        try:
            return await transcribe_in_private(dispatcher, client, source, needs, options, emit)
        finally:
            await source.close()

    return job


async def _fitting(dispatcher: Dispatcher, needs: Requirements) -> int:
    """How many producers could work on it."""
    try:
        return len(await dispatcher.candidates(needs))
    except NoProducer:
        return 0


def _size(audio: Audio) -> int:
    """Bytes; 0 where it cannot be read, which the one job then says."""
    try:
        with opened(audio) as file:
            return file.seek(0, os.SEEK_END)
    except OSError:
        return 0


async def _long(audio: Audio, most: float) -> PieceSource | None:
    """The recording's pieces; None: it is short, or nothing that can be decoded.

    Raises:
        RequestRejected: 501, it may be long, and PyAV is not installed; 413, it has more than
            `most` seconds.
    """
    seconds = await asyncio.to_thread(_seconds, audio)
    if seconds > most * TOO_LONG_BY:
        raise too_long(most)
    if 0 < seconds <= LONG:
        return None
    source = PieceSource(audio, most)
    source.hint = seconds
    while not source.ended and source.seconds <= LONG and not seconds:
        await source.pull()
    if (source.seconds or seconds) > LONG:
        return source
    await source.close()
    return None


def _seconds(audio: Audio) -> float:
    """How long it says it is; 0: it does not say."""
    with opened(audio) as file:
        seconds = length_hint(file)
        if not 0 < seconds <= LONG:
            check_for_pyav()
        return seconds
