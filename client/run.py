"""Runs one coroutine as a program: errors become a line on stderr and an exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click

from client.options import exit_code
from privox_dht.errors import PrivoxError
from privox_dht.settings import set_up_logging

Options = Mapping[str, Any]
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run_to_exit(job: Callable[[Options], Awaitable[None]], options: Options) -> None:
    """Run `job`; end the process with what it means."""
    set_up_logging(options["log_level"], as_json=False)
    try:
        asyncio.run(_interruptible(job(options)))
    except PrivoxError as exc:
        _say(exc, options["as_json"])
        sys.exit(exit_code(exc))
    except (asyncio.CancelledError, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read our stdout has gone; there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


async def _interruptible(job: Awaitable[None]) -> None:
    """SIGTERM ends a client as Ctrl-C does: cleanly and at once."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await job


def _say(error: PrivoxError, as_json: bool) -> None:
    click.echo(f"privox-client: {error}", err=True)
    if as_json:
        attempts = [attempt.as_json() for attempt in getattr(error, "attempts", ())]
        what = {"error": type(error).__name__, "message": str(error), "attempts": attempts}
        click.echo(json.dumps({**what, "exit_code": exit_code(error)}))
