"""The options of a node's gateway, and the configuration they make."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nodes.gateway import gateway_limits
from nodes.gateway.config import (
    DEFAULT_GATEWAY,
    DEFAULT_HTTPS,
    GatewayConfig,
    HttpsConfig,
    parse_gateway,
    parse_https,
    parse_privox_ports,
    parse_wyoming,
)
from privox_dht.cli.options import combine, file_option, in_section, list_option
from privox_dht.errors import ConfigError

NEED_A_GATEWAY = (
    "wyoming", "allow", "keys", "open", "identify", "gateway_https", "certificate", "private_key",
    "privox_ports",
)  # fmt: skip
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
            "--private-key", help="The PEM file of its key, unless it stands in the same file."
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
            help="Addresses that dialects without keys serve (--wyoming, Bazarr, SOVA's), also with"
            " --open [this machine and private networks].",
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
            help="With --gateway: tell producers this node's peer id, for those that lend to"
            " chosen clients only.",
        ),
        click.option(
            "--open",
            is_flag=True,
            help="Let others use the gateway without a key, where --gateway is no loopback address;"
            " dialects without keys still serve --allow only.",
        ),
    ),
)


def gateway_from(options: dict[str, Any], folder: Path) -> GatewayConfig | None:
    """The gateway that is asked for; None: there is to be none.

    Args:
        folder: the node's state, where a certificate is kept.

    Raises:
        ConfigError: it cannot be where it is to be.
    """
    if not options["gateway"]:
        for name in NEED_A_GATEWAY:
            if options[name]:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} is for a gateway: give --gateway as well")
        return None
    gateway = parse_gateway(
        options["gateway"], options["keys"], options["open"], options["allow"],
        options["keyless_seconds"],
    )  # fmt: skip
    gateway = replace(gateway, identify=options["identify"])
    if options["gateway_https"]:
        gateway = replace(gateway, https=_https_from(options, gateway, folder))
    elif options["certificate"] or options["private_key"]:
        raise ConfigError("--certificate and --private-key are for --gateway-https: give it, too")
    if options["privox_ports"]:
        gateway = replace(gateway, privox_ports=parse_privox_ports(options["privox_ports"]))
    if not options["wyoming"]:
        return gateway
    return replace(gateway, wyoming=parse_wyoming(options["wyoming"], options["allow"]))


def _https_from(options: dict[str, Any], gateway: GatewayConfig, folder: Path) -> HttpsConfig:
    """Where the gateway speaks TLS.

    Raises:
        ConfigError: it cannot be where it is to be, or its key is without a certificate.
    """
    certificate, key = options["certificate"], options["private_key"]
    if key and not certificate:
        raise ConfigError("--private-key is the key of a --certificate: give that, too")
    return parse_https(options["gateway_https"], gateway, folder, certificate, key)
