"""Who did a job, by which route and how fast: said once it is done."""

from __future__ import annotations

import json
import sys
from typing import Any

from client.files import STDIO, write, write_note
from privox_dht.cli.logs import sanitize
from privox_dht.cli.streams import say
from privox_dht.dispatch.job_state import Done

SEVERAL = "several"  # in place of the producer's id, where a recording was scattered


def report(
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
