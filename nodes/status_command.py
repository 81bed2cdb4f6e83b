"""`privox-node status`: what the node on this machine does now.

on a terminal    shown anew every second, until Ctrl-C
elsewhere        printed once, as lines; with --json as one object
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from nodes.health import owner_status
from nodes.lender import read_lending_state
from nodes.options import state_option
from nodes.program import SETTINGS, print_line, run
from nodes.status_text import lines_of
from privox_dht.cli.options import ENVIRONMENT, config_option, merge_parent_options, state_folder
from privox_dht.cli.output import sanitize, set_up_logging

CLEAR = "\x1b[H\x1b[2J"  # clears a terminal
INTERVAL = 1.0  # seconds between two requests


@click.command(context_settings=SETTINGS)
@click.option("--json", "as_json", is_flag=True, envvar=f"{ENVIRONMENT}_JSON",
              help="One JSON object, once.")  # fmt: skip
@click.option("--once", is_flag=True, help="Print it once, also on a terminal.")
@state_option
@config_option
@click.pass_context
def status(context: click.Context, /, as_json: bool, once: bool, **given: Any) -> None:
    """Show what the node on this machine does: slots, queue, jobs, farms, neighbours, gateway.

    On a terminal it goes on until Ctrl-C. The node's state folder holds its address and a
    token, so only its owner can use this.
    """
    folder = Path(merge_parent_options(context, given)["state_dir"] or state_folder("node"))
    set_up_logging("error", as_json=False)
    run(lambda: _show(folder, as_json, live=sys.stdout.isatty() and not once))


async def read_status(folder: Path) -> dict[str, Any]:
    """The node's status, and the terms on which it lends now.

    Raises:
        Unhealthy: no node answers.
    """
    status = await owner_status(folder)
    lending = read_lending_state(folder)
    return {**status, "lending": str(lending) if lending else None}


async def _show(folder: Path, as_json: bool, live: bool) -> None:
    if as_json:
        print_line(json.dumps(await read_status(folder)))
        return
    while True:
        page = "\n".join(lines_of(await read_status(folder), time.time()))
        print_line((CLEAR if live else "") + sanitize(page))
        if not live:
            return
        await asyncio.sleep(INTERVAL)
