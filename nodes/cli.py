"""`privox-node`: lend this machine to the mesh.

privox-node                                                          a first node
privox-node --neighbours host:5678 --services stt/cpu,tts/cpu        a producer
privox-node --farm                                                   a farm
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from nodes.config import AUTO, NO, YES, NodeConfig, advertised_address, changed
from nodes.doctor import Doctor, Verdict
from nodes.node import Node
from nodes.services import parse_services
from privox_dht import __version__, limits
from privox_dht.api.bounds import Bounds
from privox_dht.errors import ConfigError, PrivoxError
from privox_dht.hostport import parse_neighbours
from privox_dht.relay import FarmTerms
from privox_dht.settings import (
    ENVIRONMENT,
    LEVELS,
    comma_list,
    config_option,
    set_up_logging,
    state_folder,
)

T = TypeVar("T")
EPILOG = (
    "Exit codes: 0 stopped, 1 nothing can be served, "
    "2 usage, or a port or folder that cannot be used."
)


@click.group(
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": ENVIRONMENT, "help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name="privox-node")
@click.option(
    "--port",
    default=limits.DHT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="UDP for the mesh and TCP for jobs; 0 takes any that is free.",
)
@click.option("--host", metavar="ADDRESS", help="Listen on this address only [all, IPv4 and IPv6].")
@click.option(
    "--neighbours",
    "--neighbors",
    "neighbours",
    callback=comma_list,
    metavar="HOST:PORT,...",
    help="Any nodes of the mesh, to join through. Default: those"
    " known from the last time; none at all makes this a first node.",
)
@click.option(
    "--services",
    callback=comma_list,
    metavar="SERVICE/BACKEND[/WHAT],...",
    help="What to lend: stt/cpu, tts/cpu/espeak-ng, stt/gpu/faster-whisper:small,"
    " stt/cpu/http://host:port (an OpenAI-style server elsewhere). Without WHAT, the best"
    " engine that is installed. Nothing: a plain node that others can join through.",
)
@click.option(
    "--slots",
    default=1,
    show_default=True,
    type=click.IntRange(1, limits.MAX_SLOTS),
    help="Jobs at a time, of all services together.",
)
@click.option(
    "--advertise",
    callback=comma_list,
    metavar="ADDRESS,...",
    help="Publish these addresses instead of what the neighbours see.",
)
@click.option(
    "--network",
    default="privox",
    show_default=True,
    metavar="NAME",
    help="The name of the mesh; meshes of different names never mix.",
)
@click.option(
    "--reachable",
    type=click.Choice((AUTO, YES, NO)),
    default=AUTO,
    show_default=True,
    help="Whether others can call this node; auto asks some of them to try.",
)
@click.option(
    "--farm",
    is_flag=True,
    help="Relay for producers behind a NAT (needs a public address; cannot read what it carries).",
)
@click.option(
    "--relay-port",
    default=limits.RELAY_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="TCP port of the relay.",
)
@click.option(
    "--farms",
    callback=comma_list,
    metavar="HOST:PORT,...",
    help="Park at these farms instead of those found in the mesh.",
)
@click.option(
    "--job-limits",
    callback=comma_list,
    metavar="NAME=NUMBER,...",
    help=f"What one request may bring: {', '.join(asdict(Bounds()))}.",
)
@click.option(
    "--farm-limits",
    callback=comma_list,
    metavar="NAME=NUMBER,...",
    help=f"What this farm grants: {', '.join(asdict(FarmTerms()))}.",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the node's key and the nodes it knows are kept.",
)
@click.option(
    "--model-cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where models are downloaded to.",
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
@click.option("--json-logs", is_flag=True, help="One JSON object a line on stderr.")
@config_option
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """Lend this machine's speech engines to the mesh, or just help to hold it together.

    \b
    privox-node                                                    a first node
    privox-node --neighbours host:5678 --services stt/cpu,tts/cpu  lend both on this CPU
    privox-node --farm                                             relay for those behind a NAT

    Ctrl-C ends it at once: its records are withdrawn.
    """  # fmt: skip
    if context.invoked_subcommand is not None:
        context.obj = options
        return
    set_up_logging(options["log_level"], options["json_logs"])
    _run(lambda: serve(config_from(options)))


@main.command()
@click.option(
    "--neighbours",
    "--neighbors",
    "neighbours",
    callback=comma_list,
    metavar="HOST:PORT,...",
    help="Any nodes of the mesh.",
)
@click.option("--network", help="The name of the mesh.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def doctor(context: click.Context, /, as_json: bool, **given: Any) -> None:
    """Tell what works from here: joining, the clock, being called, farms; and what to do.

    Give it the flags that the node gets (before the word doctor). It may run beside the node.
    Exit code 0 if this machine can lend: strangers can call it, or a farm relays.
    """  # fmt: skip
    options = {**context.obj, **{name: value for name, value in given.items() if value}}
    set_up_logging("error", options["json_logs"])

    def tell(verdict: Verdict) -> None:
        if as_json:
            click.echo(json.dumps(asdict(verdict)))
            return
        advice = f"\n{'':27}-> {verdict.advice}" if verdict.advice else ""
        click.echo(f"{verdict.probe:<12} {verdict.found:<12}  {verdict.detail}{advice}")

    async def examine() -> bool:
        return await Doctor(config_from(options)).examine(tell)

    well = _run(examine)
    if not as_json:
        click.echo("\nthis machine can lend" if well else "\nthis machine cannot lend as it is")
    sys.exit(0 if well else 1)


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine as this program; errors become a line and an exit code."""
    try:
        return asyncio.run(work())
    except ConfigError as exc:
        raise click.UsageError(str(exc)) from exc
    except PrivoxError as exc:
        click.echo(f"privox-node: {exc}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def config_from(options: dict[str, Any]) -> NodeConfig:
    """The options as a checked configuration.

    Raises:
        ConfigError: they say something impossible.
    """
    return NodeConfig(
        state_dir=options["state_dir"] or state_folder("node"),
        port=options["port"],
        host=options["host"],
        neighbours=tuple(parse_neighbours(options["neighbours"])),
        services=tuple(parse_services(options["services"])),
        advertise=tuple(map(advertised_address, options["advertise"])),
        network=options["network"],
        slots=options["slots"],
        cache=options["model_cache"],
        reachable=options["reachable"],
        farm=options["farm"],
        relay_port=options["relay_port"],
        bounds=changed(Bounds(), options["job_limits"], "--job-limits"),
        terms=changed(FarmTerms(), options["farm_limits"], "--farm-limits"),
        farms=tuple(parse_neighbours(options["farms"], limits.RELAY_PORT)),
    )


async def serve(config: NodeConfig) -> None:
    """Run a node until SIGINT or SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    entering = asyncio.current_task()
    assert entering is not None

    def on_signal() -> None:
        if stop.is_set():  # asked twice: whatever is still to be said goes unsaid
            os._exit(1)
        stop.set()
        entering.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        async with Node(config):
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise


if __name__ == "__main__":
    main()
