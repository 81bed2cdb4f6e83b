"""The two jobs of `privox-client`: speak a text, transcribe a recording."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from client.options import STT_FORMATS
from client.progress import Progress
from privox_dht import limits
from privox_dht.caller import Done
from privox_dht.errors import ConfigError, Refused
from privox_dht.mesh import Mesh
from privox_dht.settings import state_folder
from privox_dht.speech import AUDIO_FORMATS
from privox_dht.transcript import render

Options = Mapping[str, Any]
HOW = ("backend", "only", "prefer", "avoid", "via_farm", "wait", "timeout")
STDIO = "-"


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


async def speak(options: Options) -> None:
    """`--service tts`: a text to an audio file."""
    text = _text(options)
    output, format = _audio_output(options)
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
    _write(output, done.value)
    where = "stdout" if output == STDIO else output
    told = {"output": where, "format": format, "bytes": len(done.value)}
    _report(done, told, options["as_json"], f"{len(done.value)} bytes of {format} in {where}")


async def transcribe(options: Options) -> None:
    """`--service stt`: a recording to text."""
    format = options["format_"] or "text"
    if format not in STT_FORMATS:
        raise ConfigError(f"--format {format} is not for stt; there is: {', '.join(STT_FORMATS)}")
    source = _recording(options)
    async with mesh_of(options) as mesh:
        with Progress() as progress:
            done = await mesh.transcript(
                source,
                language=options["language"],
                model=options["model"],
                translate=options["translate"],
                words=options["words"] or format == "json",
                watch=progress.watch(),
                **{name: options[name] for name in HOW},
            )
    if options["as_json"]:
        transcript = json.loads(render(done.value, "verbose_json"))
        _report(done, {"transcript": transcript}, True, "")
        return
    form = "verbose_json" if format == "json" else format
    text = render(done.value, form).rstrip("\n") + "\n"
    _write(options["output"] or STDIO, text.encode())
    _report(done, {}, False, f"{done.value.seconds:.1f} s of audio")


def _text(options: Options) -> str:
    text = options["text"]
    if text is None:
        raise ConfigError("--service tts needs --text TEXT (or --text - to read stdin)")
    if text == STDIO:
        text = sys.stdin.read(limits.MAX_TEXT + 1)
    if not text.strip():
        raise Refused("the text to speak is empty")
    if len(text) > limits.MAX_TEXT:
        raise Refused(f"the text is longer than {limits.MAX_TEXT} characters", status=413)
    return str(text)


def _audio_output(options: Options) -> tuple[str, str]:
    """Where the audio goes and in which format: from --output and --format, either or both."""
    output, format = options["output"] or "", options["format_"] or ""
    suffix = Path(output).suffix.lower().lstrip(".")
    named = {"ogg": "opus", "m4a": "aac"}.get(suffix, suffix)
    format = format or (named if named in AUDIO_FORMATS else "wav")
    if format not in AUDIO_FORMATS:
        raise ConfigError(f"--format {format} is not for tts; there is: {', '.join(AUDIO_FORMATS)}")
    output = output or (f"speech.{format}" if sys.stdout.isatty() else STDIO)
    if output == STDIO and sys.stdout.isatty():
        raise ConfigError("audio is not written to a terminal; use --output FILE or a pipe")
    return output, format


def _recording(options: Options) -> bytes | Path:
    """The recording: a path, or what stdin holds (kept, so that it can be sent again)."""
    name = options["file"]
    if name is None:
        raise ConfigError("--service stt needs --file AUDIO (or --file - to read stdin)")
    if name == STDIO:
        data = sys.stdin.buffer.read(limits.MAX_UPLOAD + 1)
        if len(data) > limits.MAX_UPLOAD:
            raise Refused(f"more than {limits.MAX_UPLOAD} bytes on stdin", status=413)
        if not data:
            raise Refused("stdin is empty: there is no recording in it")
        return data
    path = Path(name)
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as exc:
        raise Refused(f"cannot read {name}: {exc.strerror}") from exc
    if size == 0:
        raise Refused(f"{name} is empty: there is no recording in it")
    if size > limits.MAX_UPLOAD:
        raise Refused(f"{name} is larger than {limits.MAX_UPLOAD} bytes", status=413)
    return path


def _write(output: str, data: bytes) -> None:
    """To stdout, or to a file in one step, so that nobody ever sees half of it."""
    if output == STDIO:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    try:
        if path.exists() and not path.is_file():  # /dev/null, a pipe
            path.write_bytes(data)
            return
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".privox-", delete=False) as file:
            file.write(data)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError as exc:
        raise ConfigError(f"cannot write {output}: {exc.strerror or exc}") from exc


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
        out = sys.stderr if told.get("output") == "stdout" else sys.stdout
        click.echo(json.dumps({**told, **job}), file=out)
    elif sys.stderr.isatty():
        engine = f" ({record.engine})" if record else ""
        click.echo(f"{what}, by {who[:8]}{engine}, {done.route}, {done.seconds:.1f} s", err=True)
