"""The two jobs of `privox-client`: speak a text, transcribe recordings.

Each is first prepared (options checked, stdin read, the outputs looked at), then done.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from client.files import (
    STDIO,
    check_writable,
    make_folder,
    open_recording,
    read_secret,
    read_text,
    read_text_file,
    write,
    write_note,
)
from client.formats import ending_of, format_for
from client.live_transcript import HeardInPart, LiveTranscript
from client.notes import Notes
from client.options import error_as_json
from client.player import play, players_for
from client.progress import Progress
from client.targets import Target, targets_of
from privox_dht import units
from privox_dht.caption_layout import CaptionLayout
from privox_dht.cli.logs import sanitize
from privox_dht.cli.options import state_folder
from privox_dht.cli.streams import say, stop_signals_raise
from privox_dht.dispatch.event_stream import last_of
from privox_dht.dispatch.job_events import JobEvent
from privox_dht.dispatch.job_options import PRIVATE, JobKeywords
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
from privox_dht.speech import TTS, Transcript
from privox_dht.transcript import CAPTIONS, verbose

Options = Mapping[str, Any]
Job = Coroutine[Any, Any, None]
SEVERAL = "several"  # in place of the producer's id, where a recording was scattered
OF_ONE_RECORDING = (
    RequestRejected,
    AllProducersFailed,
)  # errors that another recording need not meet


def open_mesh(options: Options) -> Any:
    """The mesh that the options name, to be entered."""
    return Mesh.join(
        options["neighbours"],
        network=options["network"],
        state=_state(options),
        timeout=options["join_timeout"],
        fallback=options.get("fallback", ""),
        fallback_token=_token(options),
        hidden=bool(options.get("via_farm")) or options.get("scatter") == PRIVATE,
    )


def _state(options: Options) -> Path:
    folder: Path | None = options["state_dir"]
    return folder or state_folder("client")


def _token(options: Options) -> str:
    """The bearer token of the fallback server, from a file or the environment."""
    file = options.get("fallback_token_file")
    return read_secret(file) if file else options.get("fallback_token", "")


def speak(options: Options) -> Job:
    """`--service tts`: a text to an audio file, or to the loudspeakers."""
    output, format = audio_output(options)
    if options["play"]:
        players_for(format)
    check_writable(output or STDIO)
    return _speak(options, text_of(options), output, format)


def text_of(options: Options) -> str:
    """What is to be spoken.

    Raises:
        ConfigError: neither or both of --text and --text-file are given.
        RequestRejected: see `read_text`.
    """
    text, file = options["text"], options["text_file"]
    if text is None and file is None:
        raise ConfigError("--service tts needs --text TEXT or --text-file FILE (- reads stdin)")
    if text is not None and file is not None:
        raise ConfigError("--text and --text-file are both given: leave one out")
    return read_text(text) if file is None else read_text_file(file)


async def _speak(options: Options, text: str, output: str, format: str) -> None:
    async with open_mesh(options) as mesh:
        events = mesh.speech_events(
            text,
            voice=options["voice"],
            speed=options["speed"],
            format=format,
            **_job_keywords(options),
        )
        with Progress() as progress:
            done = await last_of(events, progress.show)
    told: dict[str, Any] = {"format": format, "bytes": len(done.value)}
    where = "stdout" if output == STDIO else output
    if output:
        write(output, done.value)
        told["output"] = where
    if options["play"]:
        told["played"] = await play(done.value, format)
    what = f"{len(done.value)} bytes of {format}" + (f" in {where}" if output else "")
    _report(done, told, options["as_json"], what, audio_on_stdout=output == STDIO)


def transcribe(options: Options) -> Job:
    """`--service stt`: recordings to text."""
    if not options["file"]:
        raise ConfigError("--service stt needs --file AUDIO (or --file - to read stdin)")
    output, asked = options["output"] or "", options["format_"] or ""
    targets = targets_of(options["file"], output, asked, as_json=options["as_json"])
    if output.endswith(os.sep):
        make_folder(output)
    for target in targets:
        check_writable(target.output or STDIO)
    if len(targets) == 1:
        return _transcribe(options, targets[0], open_recording(targets[0].recording))
    stdin = open_recording(STDIO) if STDIO in options["file"] else None
    return _transcribe_all(options, targets, stdin)


async def _transcribe(options: Options, target: Target, recording: BinaryIO) -> None:
    with recording:
        async with open_mesh(options) as mesh:
            with Progress() as progress:
                live = _live(options, target, progress)
                done = await _transcript(mesh, options, recording, live)
    _keep(options, target, live, done)


async def _transcribe_all(options: Options, targets: list[Target], stdin: BinaryIO | None) -> None:
    """One after the other. What is at fault in one recording keeps no other from being done."""
    failed = 0
    async with open_mesh(options) as mesh:
        for number, target in enumerate(targets, 1):
            label = f"{number}/{len(targets)} {Path(target.recording).name}: "
            try:
                with stop_signals_raise():  # a named pipe may be silent
                    is_stdin = target.recording == STDIO
                    recording = (stdin if is_stdin else None) or open_recording(target.recording)
                with recording, Progress(label=label) as progress:
                    live = _live(options, target, progress)
                    done = await _transcript(mesh, options, recording, live)
            except OF_ONE_RECORDING as exc:
                failed += 1
                _tell_failed(options, target, exc)
            except HeardInPart as part:
                if not isinstance(part.__cause__, OF_ONE_RECORDING):
                    raise
                failed += 1
                _tell_failed(options, target, part.__cause__, part.as_json())
            else:
                _keep(options, target, live, done, file=target.recording)
    if failed:
        raise SomeFailed(f"{failed} of {len(targets)} recordings could not be transcribed")


def _tell_failed(
    options: Options, target: Target, exc: PrivoxError, heard: Mapping[str, Any] | None = None
) -> None:
    """One of several recordings could not be transcribed, or in part only."""
    say(f"privox-client: {sanitize(target.recording)}: {sanitize(exc)}")
    if options["as_json"]:
        line = json.dumps({"file": target.recording, **error_as_json(exc), **(heard or {})})
        write(STDIO, line.encode() + b"\n")


def _live(options: Options, target: Target, progress: Progress) -> LiveTranscript:
    layout = CaptionLayout(options["line_width"], options["line_count"])
    words = options["words"] or target.format in (*CAPTIONS, "json")
    return LiveTranscript(target, layout, progress, words=words)


async def _transcript(
    mesh: Mesh, options: Options, recording: BinaryIO, live: LiveTranscript
) -> Done[Transcript]:
    events = mesh.transcription_events(
        recording,
        translate=options["translate"],
        words=live.words,
        prompt=options["prompt"],
        temperature=options["temperature"],
        hotwords=options["hotwords"],
        scatter=options["scatter"],
        share=options["share"],
        jobs=options["jobs"],
        **_job_keywords(options),
    )
    notes = Notes(_state(options), named=bool(options["only"]))

    def show(event: JobEvent[Transcript]) -> None:
        notes.take(event)
        live.take(event)

    try:
        return await last_of(events, show)
    except (JobError, asyncio.CancelledError, KeyboardInterrupt) as exc:
        if part := live.keep(options["language"]):
            raise part from exc
        raise


def _job_keywords(options: Options) -> JobKeywords:
    return {
        "language": options["language"],
        "model": options["model"],
        "backend": options["backend"],
        "only": options["only"],
        "prefer": options["prefer"],
        "avoid": options["avoid"],
        "via_farm": options["via_farm"],
        "wait": options["wait"],
        "timeout": options["timeout"],
    }


def _keep(
    options: Options,
    target: Target,
    live: LiveTranscript,
    done: Done[Transcript],
    file: str | None = None,
) -> None:
    """Write the transcript where it belongs, and tell of it.

    Args:
        file: the recording's name, where there are several.
    """
    if not done.value.text:
        silent = f"no speech was heard in {units.duration(done.value.seconds)} of sound"
        say(silent if file is None else f"{sanitize(file)}: {silent}")
    live.finish(done.value)
    told: dict[str, Any] = {} if file is None else {"file": file}
    if options["as_json"]:
        words = options["words"] or target.format == "json"
        told["transcript"] = verbose(done.value, words=words)
        if target.output not in ("", STDIO):
            told["output"] = target.output
    what = f"{done.value.seconds:.1f} s of audio"
    _report(done, told, options["as_json"], what if file is None else f"{file}: {what}")


def audio_output(options: Options) -> tuple[str, str]:
    """Where the audio goes ("": nowhere, it is only played) and in which format: from --output
    and --format, either or both."""
    output = options["output"] or ""
    format = format_for(TTS, output, options["format_"] or "")
    if output or not options["play"]:
        to_file = sys.stdout.isatty() or options["as_json"]
        output = output or (f"speech.{ending_of(TTS, format)}" if to_file else STDIO)
    if output == STDIO and sys.stdout.isatty():
        raise ConfigError("audio is not written to a terminal; use --output FILE or a pipe")
    return output, format


def _report(
    done: Done[Any],
    told: dict[str, Any],
    as_json: bool,
    what: str,
    *,
    audio_on_stdout: bool = False,
) -> None:
    """Who did it, by which route, how long it took: as JSON on stdout (on stderr, where the audio
    is on stdout) or as a line on stderr."""
    record = done.record
    who = record.peer_id if record else SEVERAL if done.shares else "fallback"
    if as_json:
        job = {
            "producer": who,
            "engine": record.engine if record else "",
            "backend": record.backend if record else "",
            "route": done.route,
            "seconds": round(done.seconds, 3),
            "attempts": [attempt.as_json() for attempt in done.attempts],
        }
        if done.shares:
            job["producers"] = done.shares
        line = json.dumps({**told, **job})
        if audio_on_stdout:
            write_note(line)
        else:
            write(STDIO, line.encode() + b"\n")
    elif sys.stderr.isatty():
        engine = f" ({record.engine})" if record else ""
        by = "" if done.shares else f"by {who[:8]}{engine}, "
        line = f"{what}, {by}{done.route}, {done.seconds:.1f} s"
        say(sanitize(line))
