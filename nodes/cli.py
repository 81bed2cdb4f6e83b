"""`privox-node`: lend this machine to the mesh.

privox-node                                                          a first node
privox-node --neighbours host:5678 --services stt/cpu,tts/cpu        a producer
privox-node --farm                                                   a farm
privox-node --neighbours host:5678 --gateway                         the mesh for your own apps
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

# Modules stay loaded: searching them for garbage, now and at exit, takes a third of a start
gc.disable()

import click
from click.core import ParameterSource

from nodes import health as health_check
from nodes.config import NodeConfig
from nodes.doctor import Doctor
from nodes.gateway.key_command import key
from nodes.gateway.options import gateway_options
from nodes.lending_options import TERM_OPTIONS, terms_options
from nodes.model_commands import models
from nodes.node import Node
from nodes.options import config_from, lending_options, place_options, relay_options, state_option
from nodes.pause_command import pause, resume
from nodes.program import SETTINGS, end_despite_threads, print_line, run
from nodes.secret_command import secret
from nodes.status_command import status
from nodes.verdict import Verdict
from privox_dht import __version__
from privox_dht.addresses import without_key
from privox_dht.cli.groups import ExplainingGroup, Sections
from privox_dht.cli.options import ENVIRONMENT, config_option, merge_parent_options, state_folder
from privox_dht.cli.output import sanitize, set_up_logging

gc.freeze()
gc.enable()
log = logging.getLogger("privox.node")
EPILOG = (
    "Exit codes: 0 stopped, 1 nothing can be served, "
    "2 usage, or a port or folder that cannot be used."
)


@click.group(
    cls=ExplainingGroup,
    invoke_without_command=True,
    context_settings={**SETTINGS, "help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name="privox-node")
@place_options
@lending_options
@terms_options
@relay_options
@gateway_options
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """Lend this machine's speech engines to the mesh, or just help to hold it together.

    \b
    privox-node                                                    a first node
    privox-node --neighbours host:5678 --services stt/cpu,tts/cpu  lend both on this CPU
    privox-node --farm                                             relay for those behind a NAT
    privox-node --neighbours host:5678 --gateway                   the mesh for your own apps

    Ctrl-C stops it at once: its records are withdrawn.
    """  # fmt: skip
    if context.invoked_subcommand is not None:
        context.obj = options
        return
    set_up_logging(options["log_level"], options["json_logs"])
    if context.get_parameter_source("services") is ParameterSource.COMMANDLINE:
        _warn_of_secrets(options["services"])
    _warn_of_unused(context, options)
    run(lambda: serve(config_from(options)))
    end_despite_threads()


def _warn_of_unused(context: click.Context, options: dict[str, Any]) -> None:
    """Warn of options that have no effect, given the others."""
    without = {
        "--services": ()
        if options["services"]
        else ("slots", "farms", "model_cache", "model_memory", "batch", *TERM_OPTIONS),
        "a farm (--no-farm)": ("relay_port", "farm_limits") if options["farm"] is False else (),
    }
    for lacking, names in without.items():
        for name in names:
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                log.warning("--%s does nothing without %s", name.replace("_", "-"), lacking)


def _warn_of_secrets(services: Iterable[str]) -> None:
    """Warn of a server's key on the command line, where every user of this machine can see it."""
    if any(without_key(service) != service for service in services):
        log.warning(
            "every user of this machine can see the key in --services: give it in the"
            " environment (%s_SERVICES) or in a --config file", ENVIRONMENT,
        )  # fmt: skip


@main.command(cls=Sections, context_settings=SETTINGS)
@place_options
@lending_options
@terms_options
@relay_options
@gateway_options
@click.option("--json", "as_json", is_flag=True, envvar=f"{ENVIRONMENT}_JSON",
              help="One JSON object a line.")  # fmt: skip
@click.pass_context
def doctor(context: click.Context, /, as_json: bool, **given: Any) -> None:
    """Check what works from here: starting, joining, the clock, reachability, farms; what to do.

    Give it the node's flags; it may run beside the node.
    Exit code 0 if this machine can lend: the node can start with these flags, and strangers
    can reach it directly or through a farm.
    """  # fmt: skip
    options = merge_parent_options(context, given)
    set_up_logging("error", options["json_logs"])

    def report(verdict: Verdict) -> None:
        if as_json:
            print_line(json.dumps(asdict(verdict)))
            return
        advice = f"\n{'':27}-> {verdict.advice}" if verdict.advice else ""
        line = f"{verdict.probe:<12} {verdict.found:<12}  {verdict.detail}{advice}"
        print_line(sanitize(line))

    async def examine() -> bool:
        well = await Doctor(config_from(options)).examine(report)
        if not as_json:
            print_line("\nthis machine can lend" if well else "\nthis machine cannot lend as it is")
        return well

    well = run(examine)
    sys.exit(0 if well else 1)


@main.command(context_settings=SETTINGS)
@state_option
@click.option("--published", is_flag=True,
              help="Also require that other nodes hold records of all that it lends.")  # fmt: skip
@config_option
@click.pass_context
def health(context: click.Context, /, published: bool, **given: Any) -> None:
    """Check that the node with this state folder works.

    The node's state folder holds its address and mesh, so no other option is needed. Exit code 0
    if it answers on UDP and TCP.
    """
    options = merge_parent_options(context, given)
    set_up_logging("error", as_json=False)
    folder = options["state_dir"] or state_folder("node")
    print_line(sanitize(run(lambda: health_check.check(folder, published))))


for command in (key, models, pause, resume, secret, status):
    main.add_command(command)


async def serve(config: NodeConfig) -> None:
    """Run a node until SIGINT or SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    entering = asyncio.current_task()
    assert entering is not None

    def on_signal() -> None:
        if stop.is_set():  # the second signal: exit at once, without withdrawing records
            os._exit(1)
        stop.set()
        entering.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        async with Node(config):
            keep_loaded()
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise


def keep_loaded() -> None:
    """Exclude all that is loaded now from garbage collection: it stays loaded until the node ends,
    and scanning it blocked the loop for 40 ms each time."""
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main()
