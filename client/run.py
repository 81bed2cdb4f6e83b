"""Runs one coroutine as a program: errors become a line on stderr and an exit code.

The first Ctrl-C (or SIGTERM) ends the job cleanly: the producer hears of it at once. A second one
ends the process there and then.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import click

from client.files import STDIO, write
from client.options import JSON_VARIABLE, exit_code
from privox_dht.cli.streams import mute_stdout, say
from privox_dht.errors import ConfigError, PrivoxError
from privox_dht.settings import printable, set_up_logging

Options = Mapping[str, Any]
Job = Coroutine[Any, Any, None]
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Program(click.Group):
    """A group that tells even a mistake in its options as JSON, where --json is asked for."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **how: Any) -> Any:
        standalone = how.pop("standalone_mode", True)
        run: Callable[..., Any] = super().main
        if not standalone:
            return run(args, *more, standalone_mode=False, **how)
        try:
            code = run(args, *more, standalone_mode=False, **how)
        except click.ClickException as exc:
            exc.show()
            if _wants_json(sys.argv[1:] if args is None else args):
                _tell_json({}, "ConfigError", exc.format_message(), exc.exit_code)
            sys.exit(exc.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


def run_to_exit(prepare: Callable[[Options], Job], options: Options) -> None:
    """Run a job; end the process with what it means.

    Args:
        prepare: reads what the job needs (it may wait for stdin, and a Ctrl-C ends that), and
            returns what is then to be done.
        options: for both.
    """
    set_up_logging(options["log_level"], as_json=False)
    try:
        asyncio.run(_interruptible(prepare(options)))
    except PrivoxError as exc:
        say(f"privox-client: {printable(exc)}")
        attempts = [attempt.as_json() for attempt in getattr(exc, "attempts", ())]
        if options["as_json"]:
            _tell_json(options, type(exc).__name__, str(exc), exit_code(exc), attempts)
        sys.exit(exit_code(exc))
    except (asyncio.CancelledError, KeyboardInterrupt):
        say("interrupted")
        if options["as_json"]:
            _tell_json(options, "Interrupted", "interrupted", INTERRUPTED)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read our stdout has gone; there is nobody left to tell
        mute_stdout()
        sys.exit(1)


async def _interruptible(job: Job) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:  # twice: whoever is still to be told of it is not
            os._exit(INTERRUPTED)
        asked = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    await job


def _wants_json(args: Sequence[str]) -> bool:
    return "--json" in args or os.environ.get(JSON_VARIABLE, "").lower() in ("1", "true", "yes")


def _tell_json(
    options: Options, error: str, message: str, code: int, attempts: Sequence[Any] = ()
) -> None:
    """On stdout, unless the caller expects a sound there."""
    line = {"error": error, "message": message, "attempts": list(attempts), "exit_code": code}
    if options.get("service") == "tts" and options.get("output") == STDIO:
        say(json.dumps(line))
        return
    try:
        write(STDIO, json.dumps(line).encode() + b"\n")
    except (ConfigError, BrokenPipeError) as exc:
        say(f"privox-client: {exc}")
