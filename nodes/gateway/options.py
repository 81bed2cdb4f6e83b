"""The options of a node's gateway."""

from __future__ import annotations

import click

from nodes.gateway import gateway_limits
from nodes.gateway.config import DEFAULT_GATEWAY, DEFAULT_HTTPS
from privox_dht.cli.options import combine, file_option, in_section, list_option

gateway_options = in_section(
    "A gateway for your own apps",
    combine(
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
            help="With --gateway: serve the same by https as well, so that browsers of other"
            f" machines give its page the microphone; at {DEFAULT_HTTPS} unless it says otherwise.",
        ),
        file_option(
            "--certificate",
            help="For --gateway-https: a PEM file with a certificate and its chain [one that the"
            " gateway makes and keeps].",
        ),
        file_option(
            "--private-key",
            help="The PEM file of its key, unless it stands in the same file.",
        ),
        click.option(
            "--wyoming",
            metavar="ADDRESS:PORT",
            help="With --gateway: serve Home Assistant and other Wyoming clients as well, and"
            f" announce it in the local network; 0.0.0.0:{gateway_limits.WYOMING_PORT} is all of"
            " this machine's addresses.",
        ),
        list_option(
            "--allow",
            metavar="NETWORK,...",
            help="Whose addresses are served by what knows no keys: --wyoming, Bazarr, SOVA's; also"
            " with --open [this machine and private networks].",
        ),
        list_option(
            "--privox-ports",
            metavar="STT,TTS",
            help="With --gateway, at its address: serve Privox's socket consumers, and have its"
            " pull producers do jobs, such as at 1776,1777; in plain text, for the addresses of"
            " --allow.",
        ),
        click.option(
            "--keyless-seconds",
            default=gateway_limits.KEYLESS_SECONDS,
            show_default=True,
            type=click.IntRange(1),
            help="Seconds of sound an hour that the gateway takes from another machine's address"
            " which brings no key.",
        ),
        file_option(
            "--keys",
            help="A file of keys, one of which every other request must bring: see privox-node"
            " key.",
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
    ),
)
