"""`privox-node pause` and `resume`: no lending for a while.

pause    -> pause.json        in the state folder; the node reads it within two seconds or at start
         <- lending.json      whether the node lends now
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from nodes import pause as pauses
from nodes.lender import LendingState, read_lending_state, time_of_day
from nodes.lending import Pause
from nodes.lending_options import parse_with
from nodes.options import state_option
from nodes.program import SETTINGS, print_lines
from nodes.state_lock import is_in_use
from privox_dht import units
from privox_dht.cli.options import config_option, merge_parent_options, state_folder
from privox_dht.errors import ConfigError

ANSWER_TIMEOUT = 5.0  # seconds for a running node to notice the file
POLL_INTERVAL = 0.05  # seconds between two checks of this
LONGEST = 366 * 86_400.0  # seconds of a pause with an end


def _seconds(text: str) -> float:
    seconds = units.seconds_in(text)
    if seconds > LONGEST:
        raise ValueError(f"{text!r} is more than a year: without --for it lasts until `resume`")
    return seconds


@click.command(context_settings=SETTINGS)
@click.option(
    "--for", "seconds", callback=parse_with(_seconds), metavar="TIME",
    help="Lend again by itself after so long: 30m, 2h, 1h30m, 7d. [never]",
)  # fmt: skip
@state_option
@config_option
@click.pass_context
def pause(context: click.Context, /, seconds: float | None, **given: Any) -> None:
    """Have the node on this machine lend nothing until `resume`; what runs is finished.

    It stays paused when it is started again.
    """
    print_lines(_paused(_folder(merge_parent_options(context, given)), seconds))


@click.command(context_settings=SETTINGS)
@state_option
@config_option
@click.pass_context
def resume(context: click.Context, /, **given: Any) -> None:
    """End a pause: the node lends as its options say."""
    print_lines(_resumed(_folder(merge_parent_options(context, given))))


def _folder(options: dict[str, Any]) -> Path:
    return Path(options["state_dir"] or state_folder("node"))


def _paused(folder: Path, seconds: float | None) -> Iterator[str]:
    if not os.path.isdir(folder):  # Path.is_dir raises if that is forbidden
        raise ConfigError(f"no node keeps its state in {folder}: name its folder by --state-dir")
    until = None if seconds is None else time.time() + seconds
    pauses.write(folder, Pause(until))
    yield (
        "paused until privox-node resume" if until is None else f"paused until {time_of_day(until)}"
    )
    yield _answer_of_node(folder, True) or "no node runs here now: the next one starts paused"


def _resumed(folder: Path) -> Iterator[str]:
    was_paused = pauses.end(folder)
    yield "not paused any more" if was_paused else "it was not paused"
    yield _answer_of_node(folder, False) or "no node runs here now"


def _answer_of_node(folder: Path, paused: bool) -> str:
    """The running node's state once it has noticed the change; "": no node runs."""
    if not is_in_use(folder):
        return ""
    ends = time.monotonic() + ANSWER_TIMEOUT
    while (state := read_lending_state(folder)) is None or state.paused is not paused:
        if time.monotonic() > ends:
            return "the node has not answered yet: it may be starting, or it lends nothing"
        time.sleep(POLL_INTERVAL)
    return _describe(state)


def _describe(state: LendingState) -> str:
    return f"the node {state}; what runs is finished" if state.paused else f"the node {state}"
