"""`privox-client --service stt`: recordings to text.

`prepare` checks the options and the outputs and opens stdin; then the job runs.
"""

import asyncio
import json
import os
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from client.config import ClientConfig
from client.display import Notes, Progress, report
from client.files import STDIO, check_writable, make_folder, open_recording, write
from client.live_transcript import LiveTranscript, PartialTranscript
from client.options import error_as_json
from client.targets import Target, targets_of
from privox_dht import units
from privox_dht.caption_layout import CaptionLayout
from privox_dht.cli.output import sanitize, say, stop_signals_raise
from privox_dht.dispatch.event_stream import last_of
from privox_dht.dispatch.job_events import JobEvent
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import (
    AllProducersFailed,
    ConfigError,
    JobError,
    PrivoxError,
    RequestRejected,
    SomeFailed,
)
from privox_dht.mesh import Mesh
from privox_dht.speech import Transcript
from privox_dht.transcript import CAPTIONS, verbose

Job = Coroutine[Any, Any, None]
RECORDING_ERRORS = (RequestRejected, AllProducersFailed)  # after these the next one is tried


def prepare(config: ClientConfig) -> Job:
    """`--service stt`: recordings to text."""
    if not config.recordings:
        raise ConfigError("--service stt needs --file AUDIO (or --file - to read stdin)")
    output, asked = config.output or "", config.format or ""
    targets = targets_of(config.recordings, output, asked, as_json=config.as_json)
    if output.endswith(os.sep):
        make_folder(output)
    for target in targets:
        check_writable(target.output or STDIO)
    if len(targets) == 1:
        return _transcribe(config, targets[0], open_recording(targets[0].recording))
    stdin = open_recording(STDIO) if STDIO in config.recordings else None
    return _transcribe_all(config, targets, stdin)


async def _transcribe(config: ClientConfig, target: Target, recording: BinaryIO) -> None:
    with recording:
        async with config.open_mesh() as mesh:
            with Progress() as progress:
                live = _live(config, target, progress)
                done = await _transcript(mesh, config, target, recording, live)
    _write_result(config, target, live, done)


async def _transcribe_all(
    config: ClientConfig, targets: list[Target], stdin: BinaryIO | None
) -> None:
    """One after the other; after an error of one recording the next one is tried."""
    failed = 0
    async with config.open_mesh() as mesh:
        for number, target in enumerate(targets, 1):
            label = f"{number}/{len(targets)} {Path(target.recording).name}: "
            try:
                with stop_signals_raise():  # a named pipe may be silent
                    is_stdin = target.recording == STDIO
                    recording = (stdin if is_stdin else None) or open_recording(target.recording)
                with recording, Progress(label=label) as progress:
                    live = _live(config, target, progress)
                    done = await _transcript(mesh, config, target, recording, live)
            except RECORDING_ERRORS as exc:
                failed += 1
                _report_failure(config, target, exc)
            except PartialTranscript as part:
                if not isinstance(part.__cause__, RECORDING_ERRORS):
                    raise
                failed += 1
                _report_failure(config, target, part.__cause__, part.as_json())
            else:
                _write_result(config, target, live, done, file=target.recording)
    if failed:
        raise SomeFailed(f"{failed} of {len(targets)} recordings could not be transcribed")


def _report_failure(
    config: ClientConfig, target: Target, exc: PrivoxError, partial: Mapping[str, Any] | None = None
) -> None:
    """Report that one of several recordings was not, or only partly, transcribed."""
    say(f"privox-client: {sanitize(target.recording)}: {sanitize(exc)}")
    if config.as_json:
        line = json.dumps({"file": target.recording, **error_as_json(exc), **(partial or {})})
        write(STDIO, line.encode() + b"\n")


def _live(config: ClientConfig, target: Target, progress: Progress) -> LiveTranscript:
    layout = CaptionLayout(config.line_width, config.line_count)
    words = config.transcription.words or target.format in (*CAPTIONS, "json")
    return LiveTranscript(target, layout, progress, words=words)


async def _transcript(
    mesh: Mesh, config: ClientConfig, target: Target, recording: BinaryIO, live: LiveTranscript
) -> Done[Transcript]:
    options = replace(config.transcription, words=live.words, resume=target.part)
    events = mesh.transcription_events(recording, options)
    notes = Notes(config.state, named=bool(options.only))

    def show(event: JobEvent[Transcript]) -> None:
        notes.take(event)
        live.take(event)

    try:
        return await last_of(events, show)
    except (JobError, asyncio.CancelledError, KeyboardInterrupt) as exc:
        if part := live.save_partial(options.language):
            raise part from exc
        raise
    except ConfigError:  # the output cannot be written, or its disk is full
        live.say_resumable()
        raise


def _write_result(
    config: ClientConfig,
    target: Target,
    live: LiveTranscript,
    done: Done[Transcript],
    file: str | None = None,
) -> None:
    """Write the transcript to its target, and report it.

    Args:
        file: the recording's name, if there are several.
    """
    if not done.value.text:
        silent = f"no speech was heard in {units.duration(done.value.seconds)} of sound"
        say(silent if file is None else f"{sanitize(file)}: {silent}")
    live.finish(done.value)
    result: dict[str, Any] = {} if file is None else {"file": file}
    if config.as_json:
        words = config.transcription.words or target.format == "json"
        result["transcript"] = verbose(done.value, words=words)
        if target.output not in ("", STDIO):
            result["output"] = target.output
    what = f"{done.value.seconds:.1f} s of audio"
    report(done, result, config.as_json, what if file is None else f"{file}: {what}")
