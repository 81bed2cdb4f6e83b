"""The options of `privox-node`, and the configuration that they make."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nodes.config import AUTO, NO, YES, NodeConfig, advertised_address, changed, listening_address
from nodes.gateway.options import gateway_from
from nodes.lending_options import memory_size, terms_from
from nodes.service_spec import parse_services
from privox_dht import limits
from privox_dht.addresses import parse_neighbours
from privox_dht.cli.options import (
    combine,
    config_option,
    in_section,
    lan_option,
    list_option,
    neighbours_option,
    network_options,
    port_option,
    state_folder,
)
from privox_dht.cli.output import LEVELS
from privox_dht.errors import ConfigError
from privox_dht.http.request_limits import RequestLimits
from privox_dht.relay import FarmLimits, relay_limits

MAX_BATCH = 64  # windows; more need more memory than any GPU has


state_option = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Where the node's key and the nodes it knows are kept.",
)

cache_option = click.option(
    "--model-cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where models are downloaded to.",
)

place_options = combine(
    port_option(
        "--port",
        default=limits.DHT_PORT,
        help="UDP for the mesh and TCP for jobs; 0 takes any that is free.",
    ),
    click.option(
        "--host", metavar="ADDRESS", help="Listen on this address only [all, IPv4 and IPv6]."
    ),
    neighbours_option("those known from the last time; none at all makes this a first node."),
    lan_option("Announce this node in the local network, and join through nodes that do"),
    network_options,
    list_option(
        "--farms",
        metavar="HOST:PORT,...",
        help="Park at these farms instead of those found in the mesh.",
    ),
    state_option,
    click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True),
    click.option("--json-logs", is_flag=True, help="One JSON object a line on stderr."),
    config_option,
)

lending_options = combine(
    list_option(
        "--services",
        metavar="SERVICE/BACKEND[/WHAT],...",
        help="What to lend: stt/cpu, tts/cpu/espeak-ng, stt/gpu/faster-whisper:small,"
        " stt/cpu/http://host:port (an OpenAI-style server elsewhere). Without WHAT, the best"
        " engine that is installed. Nothing: a plain node that others can join through.",
    ),
    click.option(
        "--slots",
        default=1,
        show_default=True,
        type=click.IntRange(1, limits.MAX_SLOTS),
        help="Jobs at a time, of all services together.",
    ),
    list_option(
        "--advertise",
        metavar="ADDRESS,...",
        help="Publish these addresses instead of what the neighbours see.",
    ),
    click.option(
        "--reachable",
        type=click.Choice((AUTO, YES, NO)),
        default=AUTO,
        show_default=True,
        help="Whether others can call this node; auto asks some of them to try.",
    ),
    list_option(
        "--job-limits",
        metavar="NAME=NUMBER,...",
        help=f"What one request may bring: {', '.join(asdict(RequestLimits()))}.",
    ),
    cache_option,
    click.option(
        "--model-memory",
        callback=memory_size,
        metavar="SIZE",
        help="For the models of all engines together, such as 6GB: those that have no room, or"
        " were not used for ten minutes, are unloaded until somebody asks for them. [any]",
    ),
    click.option(
        "--batch",
        default=1,
        show_default=True,
        type=click.IntRange(1, MAX_BATCH),
        help="Windows of half a minute that faster-whisper works on at once: faster on a GPU, but"
        " it loses words now and then.",
    ),
)

relay_options = in_section(
    "Relaying for others",
    combine(
        click.option(
            "--farm/--no-farm",
            default=None,
            help="Relay for producers behind a NAT; a farm cannot read what it carries. Default: a"
            " node that strangers can call relays too, for at most"
            f" {relay_limits.SIDE_FARM_PRODUCERS} producers; with --farm for as many as"
            " --farm-limits says.",
        ),
        port_option("--relay-port", default=limits.RELAY_PORT, help="TCP port of the relay."),
        list_option(
            "--farm-limits",
            metavar="NAME=NUMBER,...",
            help=f"What this farm grants: {', '.join(asdict(FarmLimits()))}.",
        ),
    ),
)


def config_from(options: dict[str, Any]) -> NodeConfig:
    """The options as a checked configuration.

    Raises:
        ConfigError: they are invalid or contradict each other.
    """
    if options["farm"] and options["port"] and options["port"] == options["relay_port"]:
        raise ConfigError(
            f"--port and --relay-port are both {options['port']}: jobs and the relay each need one"
        )
    folder = options["state_dir"] or state_folder("node")
    return NodeConfig(
        state_dir=folder,
        port=options["port"],
        host=listening_address(options["host"]),
        neighbours=tuple(parse_neighbours(options["neighbours"])),
        lan=options["lan"],
        services=tuple(parse_services(options["services"])),
        advertise=tuple(map(advertised_address, options["advertise"])),
        network=options["network"],
        secret_file=options["secret_file"],
        slots=options["slots"],
        cache=options["model_cache"],
        model_memory=options["model_memory"],
        batch=options["batch"],
        reachable=options["reachable"],
        farm=options["farm"],
        relay_port=options["relay_port"],
        bounds=changed(RequestLimits(), options["job_limits"], "--job-limits"),
        terms=changed(FarmLimits(), options["farm_limits"], "--farm-limits"),
        farms=tuple(parse_neighbours(options["farms"], limits.RELAY_PORT)),
        gateway=gateway_from(options, folder),
        lending=terms_from(options),
    )
