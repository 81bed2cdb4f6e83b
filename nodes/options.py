"""The options of `privox-node`: where it stands, and what it lends."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from nodes.config import AUTO, NO, YES
from nodes.gateway.config import DEFAULT_GATEWAY, DEFAULT_HTTPS
from nodes.lending_options import memory_size
from privox_dht import limits
from privox_dht.cli.logs import LEVELS
from privox_dht.cli.options import (
    combine,
    comma_list,
    config_option,
    lan_option,
    neighbours_option,
    network_options,
)
from privox_dht.http.request_limits import RequestLimits
from privox_dht.relay import FarmLimits

MAX_BATCH = 64  # windows; more need more memory than any GPU has


state_option = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Where the node's key and the nodes it knows are kept.",
)

place_options = combine(
    click.option(
        "--port",
        default=limits.DHT_PORT,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="UDP for the mesh and TCP for jobs; 0 takes any that is free.",
    ),
    click.option(
        "--host", metavar="ADDRESS", help="Listen on this address only [all, IPv4 and IPv6]."
    ),
    neighbours_option("those known from the last time; none at all makes this a first node."),
    lan_option("Announce this node in the local network, and join through nodes that do"),
    network_options,
    click.option(
        "--farms",
        callback=comma_list,
        metavar="HOST:PORT,...",
        help="Park at these farms instead of those found in the mesh.",
    ),
    state_option,
    click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True),
    click.option("--json-logs", is_flag=True, help="One JSON object a line on stderr."),
    config_option,
)

lending_options = combine(
    click.option(
        "--services",
        callback=comma_list,
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
    click.option(
        "--advertise",
        callback=comma_list,
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
    click.option(
        "--farm/--no-farm",
        default=None,
        help="Relay for producers behind a NAT; a farm cannot read what it carries. Default: a"
        f" node that strangers can call relays too, for at most {limits.SIDE_FARM_PRODUCERS}"
        " producers; with --farm for as many as --farm-limits says.",
    ),
    click.option(
        "--gateway",
        is_flag=False,
        flag_value=DEFAULT_GATEWAY,
        metavar="[ADDRESS:PORT]",
        help="Serve this machine's apps from the mesh: OpenAI's audio API over plain HTTP, at"
        f" {DEFAULT_GATEWAY} unless it says otherwise.",
    ),
    click.option(
        "--gateway-https",
        is_flag=False,
        flag_value=DEFAULT_HTTPS,
        metavar="[ADDRESS:PORT]",
        help="With --gateway: serve the same by https as well, so that browsers of other machines"
        f" give its page the microphone; at {DEFAULT_HTTPS} unless it says otherwise.",
    ),
    click.option(
        "--certificate",
        type=click.Path(dir_okay=False, path_type=Path),
        help="For --gateway-https: a PEM file with a certificate and its chain [one that the"
        " gateway makes and keeps].",
    ),
    click.option(
        "--private-key",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The PEM file of its key, unless it stands in the same file.",
    ),
    click.option(
        "--wyoming",
        metavar="ADDRESS:PORT",
        help="With --gateway: serve Home Assistant and other Wyoming clients as well, and announce"
        f" it in the local network; 0.0.0.0:{limits.WYOMING_PORT} is all of this machine's"
        " addresses.",
    ),
    click.option(
        "--allow",
        callback=comma_list,
        metavar="NETWORK,...",
        help="Whose addresses are served by what knows no keys: --wyoming, Bazarr, SOVA's; also"
        " with --open [this machine and private networks].",
    ),
    click.option(
        "--privox-ports",
        callback=comma_list,
        metavar="STT,TTS",
        help="With --gateway, at its address: serve Privox's socket consumers, and have its pull"
        " producers do jobs, such as at 1776,1777; in plain text, for the addresses of --allow.",
    ),
    click.option(
        "--keyless-seconds",
        default=limits.GATEWAY_KEYLESS_SECONDS,
        show_default=True,
        type=click.IntRange(1),
        help="Seconds of sound an hour that the gateway takes from another machine's address"
        " which brings no key.",
    ),
    click.option(
        "--keys",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A file of keys, one of which every other request must bring: see privox-node key.",
    ),
    click.option(
        "--identify",
        is_flag=True,
        help="With --gateway: tell producers this node's peer id, for those that lend to some"
        " only.",
    ),
    click.option(
        "--open",
        is_flag=True,
        help="Let others use the gateway without a key, where --gateway is no loopback address;"
        " what knows no keys stays with --allow.",
    ),
    click.option(
        "--relay-port",
        default=limits.RELAY_PORT,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="TCP port of the relay.",
    ),
    click.option(
        "--job-limits",
        callback=comma_list,
        metavar="NAME=NUMBER,...",
        help=f"What one request may bring: {', '.join(asdict(RequestLimits()))}.",
    ),
    click.option(
        "--farm-limits",
        callback=comma_list,
        metavar="NAME=NUMBER,...",
        help=f"What this farm grants: {', '.join(asdict(FarmLimits()))}.",
    ),
    click.option(
        "--model-cache",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where models are downloaded to.",
    ),
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
