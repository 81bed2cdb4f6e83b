"""Transcribes a recording, as one job or as many.

`scatter` is "private"             scattered so that no producer hears much of it, or refused
short, or `scatter` is "never"     one job: the file as it is
fewer than two producers fit       one job, unless it is more than one job takes
PyAV is not installed              one job, and `NotScattered` says what is missing
else                               scattered
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from http import HTTPStatus

from privox_dht import limits, units
from privox_dht.audio.decoding import check_for_pyav, length_hint
from privox_dht.audio.refusals import CLAIM_TOLERANCE, too_long
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.event_stream import streamed
from privox_dht.dispatch.job_events import Emit, JobEvent, NotScattered, Scattered
from privox_dht.dispatch.job_options import AUTO, PRIVATE, TranscriptionOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.work import Audio, TranscriptionWork, opened
from privox_dht.errors import NoProducer, RequestRejected
from privox_dht.scatter.piece_source import NO_PYAV, PieceSource
from privox_dht.scatter.private import transcribe_in_private
from privox_dht.scatter.scattered_recording import ScatteredRecording
from privox_dht.speech import Transcript
from privox_dht.speech_api.client import SpeechClient

SCATTER_ABOVE = 60.0  # seconds; longer recordings are scattered
SHORT_FILE = 40_000  # bytes; a minute of speech is larger in any format
MIN_PRODUCERS = 2  # producers


async def transcription_job(
    dispatcher: Dispatcher,
    client: SpeechClient,
    audio: Audio,
    needs: Requirements,
    options: TranscriptionOptions,
) -> AsyncGenerator[JobEvent[Transcript]]:
    """The job's events; the last is `Done`. Raises as `Dispatcher.dispatch` and
    `ScatteredRecording.run`.

    Args:
        needs: what producers must meet.
        options: of the transcription.
    """
    source: PieceSource | None = None
    fitting, size = 0, await asyncio.to_thread(_size, audio)
    if options.scatter == AUTO and size >= SHORT_FILE:
        fitting = await _count_candidates(dispatcher, needs)
    if fitting >= MIN_PRODUCERS or (
        fitting and (size > limits.MAX_UPLOAD or await asyncio.to_thread(_is_too_long, audio))
    ):
        try:
            source = await _if_long(audio, options.max_seconds)
        except RequestRejected as exc:
            if exc.status != HTTPStatus.NOT_IMPLEMENTED:
                raise
            yield NotScattered(NO_PYAV)
    if options.scatter == PRIVATE:
        events = streamed(partial(transcribe_in_private, dispatcher, client, audio, needs, options))
    elif source is None:
        if size > limits.MAX_UPLOAD:
            raise _too_large()
        work = TranscriptionWork(client, audio, options)
        events = dispatcher.dispatch(needs, work, wait=options.wait, timeout=options.timeout)
    else:
        pieces = source

        async def job(emit: Emit) -> Done[Transcript]:
            emit(Scattered(0.0, pieces.claimed_seconds, fitting, 0.0))
            return await ScatteredRecording(dispatcher, client, pieces, needs, options, emit).run()

        events = streamed(job)
    async with aclosing(events):
        async for event in events:
            yield event


async def _count_candidates(dispatcher: Dispatcher, needs: Requirements) -> int:
    """How many producers fit."""
    with suppress(NoProducer):
        return len(await dispatcher.candidates(needs))
    return 0


def _size(audio: Audio) -> int:
    """Its size in bytes; 0: it cannot be read (the job then fails with the reason)."""
    try:
        with opened(audio) as file:
            return file.seek(0, os.SEEK_END)
    except OSError:
        return 0


def _is_too_long(audio: Audio) -> bool:
    """Whether it says that it is longer than what one job takes."""
    with suppress(RequestRejected, OSError), opened(audio) as file:  # the job says why
        return length_hint(file) > limits.MAX_AUDIO_SECONDS
    return False


def _too_large() -> RequestRejected:
    most = units.size(limits.MAX_UPLOAD)
    return RequestRejected(
        f"the recording is larger than {most}, which is the most that one job takes: have it"
        " scattered (scatter auto or private, which need PyAV), or compress it"
        " (ffmpeg -i RECORDING small.opus)",
        status=413,
    )


async def _if_long(audio: Audio, most: float) -> PieceSource | None:
    """The source of the recording's pieces; None: it is short, or cannot be decoded.

    Raises:
        RequestRejected: 501, it may be long and PyAV is not installed; 413, it is longer than
            `most` seconds.
    """
    seconds = await asyncio.to_thread(_seconds, audio)
    if seconds > most * CLAIM_TOLERANCE:
        raise too_long(most)
    if 0 < seconds <= SCATTER_ABOVE:
        return None
    source = PieceSource(audio, most)
    source.claimed_seconds = seconds
    while not source.ended and source.seconds <= SCATTER_ABOVE and not seconds:
        await source.prepare()
    if (source.seconds or seconds) > SCATTER_ABOVE:
        return source
    await source.close()
    return None


def _seconds(audio: Audio) -> float:
    """Its length in seconds, by its header; 0: unknown."""
    with opened(audio) as file:
        seconds = length_hint(file)
        if not 0 < seconds <= SCATTER_ABOVE:
            check_for_pyav()
        return seconds
