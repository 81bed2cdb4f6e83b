"""How the commands of `privox-node` run and print, and how errors become exit codes."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from privox_dht.cli.options import ENVIRONMENT
from privox_dht.cli.output import mute_stdout, sanitize, say, set_up_logging, to_stdout
from privox_dht.errors import ConfigError, PrivoxError

SETTINGS = {"auto_envvar_prefix": ENVIRONMENT}  # of every command
T = TypeVar("T")


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine as this program."""
    with _exit_codes():
        return asyncio.run(work())


def end_despite_threads() -> None:
    """End this program now if threads are left, such as those in which the hub's library downloads
    a model: the interpreter would wait for them."""
    main = threading.main_thread()
    if any(not thread.daemon and thread is not main for thread in threading.enumerate()):
        os._exit(0)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they come; a generator's errors become exit codes, too."""
    set_up_logging("error", as_json=False)
    with _exit_codes():
        for line in lines:
            print_line(line)


def print_line(line: str) -> None:
    """
    Raises:
        ConfigError: stdout cannot be written to.
    """
    try:
        to_stdout(line.encode() + b"\n")
    except BrokenPipeError:
        mute_stdout()
        sys.exit(1)
    except OSError as exc:
        raise ConfigError(f"cannot write to stdout: {exc.strerror}") from exc


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Errors become a line and an exit code."""
    try:
        yield
    except ConfigError as exc:
        raise click.UsageError(str(exc)) from exc
    except PrivoxError as exc:
        say(f"privox-node: {sanitize(exc)}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
