"""The two jobs of `privox-client`: speak a text, transcribe a recording.

Each is first prepared (options checked, stdin read, the output looked at), then done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, BinaryIO

from client.files import STDIO, check_writable, open_recording, read_text, write, write_note
from client.formats import ending_of, format_for
from client.progress import Progress
from privox_dht.cli.streams import say
from privox_dht.errors import ConfigError
from privox_dht.job import Done
from privox_dht.mesh import Mesh
from privox_dht.settings import printable, state_folder
from privox_dht.speech import STT, TTS
from privox_dht.transcript import render

Options = Mapping[str, Any]
Job = Coroutine[Any, Any, None]
HOW = ("backend", "only", "prefer", "avoid", "via_farm", "wait", "timeout")


def mesh_of(options: Options) -> Any:
    """The mesh that the options name, to be entered."""
    return Mesh.join(
        options["neighbours"],
        network=options["network"],
        state=options["state_dir"] or state_folder("client"),
        timeout=options["join_timeout"],
        fallback=options.get("fallback", ""),
        fallback_token=options.get("fallback_token", ""),
    )


def speak(options: Options) -> Job:
    """`--service tts`: a text to an audio file."""
    if options["text"] is None:
        raise ConfigError("--service tts needs --text TEXT (or --text - to read stdin)")
    output, format = audio_output(options)
    check_writable(output)
    return _speak(options, read_text(options["text"]), output, format)


async def _speak(options: Options, text: str, output: str, format: str) -> None:
    async with mesh_of(options) as mesh:
        with Progress() as progress:
            done = await mesh.speech(
                text,
                voice=options["voice"],
                language=options["language"],
                model=options["model"],
                speed=options["speed"],
                format=format,
                watch=progress.watch(),
                **{name: options[name] for name in HOW},
            )
    write(output, done.value)
    where = "stdout" if output == STDIO else output
    told = {"output": where, "format": format, "bytes": len(done.value)}
    _report(done, told, options["as_json"], f"{len(done.value)} bytes of {format} in {where}")


def transcribe(options: Options) -> Job:
    """`--service stt`: a recording to text."""
    format = format_for(STT, options["output"] or "", options["format_"] or "")
    if options["file"] is None:
        raise ConfigError("--service stt needs --file AUDIO (or --file - to read stdin)")
    check_writable(options["output"] or STDIO)
    return _transcribe(options, open_recording(options["file"]), format)


async def _transcribe(options: Options, recording: BinaryIO, format: str) -> None:
    with recording:
        async with mesh_of(options) as mesh:
            with Progress() as progress:
                done = await mesh.transcript(
                    recording,
                    language=options["language"],
                    model=options["model"],
                    translate=options["translate"],
                    words=options["words"] or format == "json",
                    watch=progress.watch(),
                    **{name: options[name] for name in HOW},
                )
    if options["as_json"]:
        words = options["words"] or format == "json"
        told = {"transcript": json.loads(render(done.value, "verbose_json", words=words))}
        if options["output"] not in (None, STDIO):
            _keep_text(options["output"], done, format)
            told["output"] = options["output"]
        _report(done, told, True, "")
        return
    _keep_text(options["output"] or STDIO, done, format)
    _report(done, {}, False, f"{done.value.seconds:.1f} s of audio")


def _keep_text(output: str, done: Done[Any], format: str) -> None:
    form = "verbose_json" if format == "json" else format
    text = render(done.value, form, words=True).rstrip("\n") + "\n"
    write(output, printable(text).encode())


def audio_output(options: Options) -> tuple[str, str]:
    """Where the audio goes and in which format: from --output and --format, either or both."""
    output = options["output"] or ""
    format = format_for(TTS, output, options["format_"] or "")
    to_file = sys.stdout.isatty() or options["as_json"]
    output = output or (f"speech.{ending_of(TTS, format)}" if to_file else STDIO)
    if output == STDIO and sys.stdout.isatty():
        raise ConfigError("audio is not written to a terminal; use --output FILE or a pipe")
    return output, format


def _report(done: Done[Any], told: dict[str, Any], as_json: bool, what: str) -> None:
    """Who did it, by which route, how long it took: as JSON on stdout or as a line on stderr."""
    record = done.record
    who = record.peer_id if record else "fallback"
    if as_json:
        job = {
            "producer": who,
            "engine": record.engine if record else "",
            "backend": record.backend if record else "",
            "route": done.route,
            "seconds": round(done.seconds, 3),
            "attempts": [attempt.as_json() for attempt in done.attempts],
        }
        line = json.dumps({**told, **job})
        if told.get("output") == "stdout":
            write_note(line)
        else:
            write(STDIO, line.encode() + b"\n")
    elif sys.stderr.isatty():
        engine = f" ({record.engine})" if record else ""
        line = f"{what}, by {who[:8]}{engine}, {done.route}, {done.seconds:.1f} s"
        say(printable(line))
