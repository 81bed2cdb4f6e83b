"""`privox-client --service tts`: a text to a file, or to the loudspeakers.

`prepare` checks the options and the output and reads stdin; then the job runs.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from client.config import ClientConfig
from client.display import TEXT, Notes, Progress, report
from client.files import STDIO, check_writable, read_text, read_text_file, write
from client.growing_sound import GrowingSound
from client.player import play, players_for
from client.targets import ending_of, format_for
from privox_dht import limits
from privox_dht.cli.output import say
from privox_dht.dispatch.event_stream import last_of
from privox_dht.dispatch.job_events import FileChunk, JobEvent
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import ConfigError, JobError
from privox_dht.speech import TTS

Job = Coroutine[Any, Any, None]


def prepare(config: ClientConfig) -> Job:
    """`--service tts`: a text to an audio file, or to the loudspeakers."""
    output, format = audio_output(config)
    if config.play:
        players_for(format)
    check_writable(output or STDIO)
    return _speak(config, text_of(config), output, format)


def text_of(config: ClientConfig) -> str:
    """The text to speak.

    Raises:
        ConfigError: neither or both of --text and --text-file are given.
        RequestRejected: see `read_text`.
    """
    text, file = config.text, config.text_file
    if text is not None and file is not None:
        raise ConfigError("--text and --text-file are both given: leave one out")
    if text is not None:
        return read_text(text)
    if file is not None:
        return read_text_file(file)
    raise ConfigError("--service tts needs --text TEXT or --text-file FILE (- reads stdin)")


async def _speak(config: ClientConfig, text: str, output: str, format: str) -> None:
    grows = bool(output) and len(text) > limits.MAX_TEXT
    async with config.open_mesh() as mesh:
        options = replace(config.speech, format=format, keep=config.play or not grows)
        events = mesh.speech_events(text, options)
        notes = Notes(config.state, named=bool(options.only), what=TEXT)
        with Progress() as progress:

            def show(event: JobEvent[bytes]) -> None:
                notes.take(event)
                progress.show(event)

            if grows:
                done, size = await _growing(events, show, GrowingSound(output, format))
            else:
                done = await last_of(events, show)
                size = len(done.value)
    result: dict[str, Any] = {"format": format, "bytes": size}
    where = "stdout" if output == STDIO else output
    if output:
        if not grows:
            write(output, done.value)
        result["output"] = where
    if config.play:
        result["played"] = await play(done.value, format)
    what = f"{size} bytes of {format}" + (f" in {where}" if output else "")
    report(done, result, config.as_json, what, audio_on_stdout=output == STDIO)


async def _growing(
    events: AsyncGenerator[JobEvent[bytes]],
    show: Callable[[JobEvent[bytes]], None],
    sound: GrowingSound,
) -> tuple[Done[bytes], int]:
    """Write the sound while it is spoken; returns `Done` and the size in bytes."""
    try:
        async with aclosing(events):
            async for event in events:
                show(event)
                if isinstance(event, FileChunk):
                    await sound.add(event.data)
                elif isinstance(event, Done):
                    sound.end()
                    return event, sound.size
    except (JobError, asyncio.CancelledError):
        sound.end()
        if sound.size:
            say(f"privox-client: what was spoken until then is kept: {sound}")
        raise
    raise AssertionError("a job ended without Done")


def audio_output(config: ClientConfig) -> tuple[str, str]:
    """Where the audio goes ("": nowhere, it is only played) and in which format: from --output
    and --format, either or both."""
    output = config.output or ""
    format = format_for(TTS, output, config.format or "")
    if output or not config.play:
        to_file = sys.stdout.isatty() or config.as_json
        output = output or (f"speech.{ending_of(TTS, format)}" if to_file else STDIO)
    if output == STDIO and sys.stdout.isatty():
        raise ConfigError("audio is not written to a terminal; use --output FILE or a pipe")
    return output, format
