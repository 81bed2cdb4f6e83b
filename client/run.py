"""Runs one coroutine as a program: errors become a line on stderr and an exit code.

The first Ctrl-C (or SIGTERM) cancels the job cleanly, also at the producer. A second one ends the
process at once.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

import click

from client.config import ClientConfig
from client.files import STDIO, write
from client.live_transcript import PartialTranscript
from client.options import JSON_VARIABLE, error_as_json, failure_as_json
from privox_dht.cli.groups import ExplainingGroup
from privox_dht.cli.output import mute_stdout, sanitize, say, set_up_logging
from privox_dht.errors import ConfigError, PrivoxError

Job = Coroutine[Any, Any, None]
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
YES = ("1", "true", "t", "yes", "y", "on")  # as click reads a flag's variable


class JsonErrorGroup(ExplainingGroup):
    """A group that reports errors in its options as JSON too, with --json."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread_files(args, self.commands))

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
                message = exc.format_message()
                _print_json(ClientConfig(), failure_as_json("ConfigError", message, exc.exit_code))
            sys.exit(exc.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


def spread_files(args: Sequence[str], commands: Collection[str]) -> list[str]:
    """Insert `--file` before each of several names: a shell expands `--file *.ogg` without it."""
    spread: list[str] = []
    of_files = False
    for at, arg in enumerate(args):
        if arg == "--file":
            of_files = True
        elif (arg.startswith("-") and arg != STDIO) or arg in commands:
            of_files = False
        elif of_files and args[at - 1] != "--file":
            spread.append("--file")
        spread.append(arg)
    return spread


def run_to_exit(prepare: Callable[[ClientConfig], Job], config: ClientConfig) -> None:
    """Run a job; an error ends the process with its exit code.

    Args:
        prepare: reads what the job needs (it may wait for stdin, and a Ctrl-C ends that), and
            returns the job.
        config: for `prepare`.
    """
    set_up_logging(config.log_level, as_json=False)
    try:
        asyncio.run(_interruptible(prepare(config)))
    except PartialTranscript as part:
        assert part.__cause__ is not None
        _end(config, part.__cause__, part.as_json())
    except (PrivoxError, asyncio.CancelledError, KeyboardInterrupt) as exc:
        _end(config, exc)
    except BrokenPipeError:  # the reader of our stdout is gone
        mute_stdout()
        sys.exit(1)


def _end(
    config: ClientConfig, exc: BaseException, partial: Mapping[str, Any] | None = None
) -> NoReturn:
    """Print an error, or that Ctrl-C was pressed, and end the process."""
    if isinstance(exc, PrivoxError):
        message, line = f"privox-client: {sanitize(exc)}", error_as_json(exc)
    else:
        message, line = "interrupted", failure_as_json("Interrupted", "interrupted", INTERRUPTED)
    say(message)
    if config.as_json:
        _print_json(config, {**line, **(partial or {})})
    sys.exit(line["exit_code"])


async def _interruptible(job: Job) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:  # the second signal: exit at once, without telling the producer
            os._exit(INTERRUPTED)
        asked = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    await job


def _wants_json(args: Sequence[str]) -> bool:
    return "--json" in args or os.environ.get(JSON_VARIABLE, "").lower() in YES


def _print_json(config: ClientConfig, line: Mapping[str, Any]) -> None:
    """Print JSON on stdout, or on stderr if stdout takes the audio."""
    if config.service == "tts" and config.output == STDIO:
        say(json.dumps(line))
        return
    try:
        write(STDIO, json.dumps(line).encode() + b"\n")
    except (ConfigError, BrokenPipeError) as exc:
        say(f"privox-client: {exc}")
