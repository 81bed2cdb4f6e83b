"""Where the gateway listens, as `--gateway` says it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from privox_dht import limits
from privox_dht.errors import ConfigError

LOOPBACK = "127.0.0.1"
DEFAULT_GATEWAY = f"{LOOPBACK}:{limits.GATEWAY_PORT}"


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where the gateway listens."""

    host: str = LOOPBACK  # the literal of an address of this very machine
    port: int = limits.GATEWAY_PORT  # 0: any that is free
    wait: float = limits.WAIT  # seconds a job goes on asking while the mesh cannot


def parse_gateway(text: str) -> GatewayConfig:
    """`address:port`, or one of them.

    Raises:
        ConfigError: it is neither, or not an address of this very machine.
    """
    host, port = _split(text.strip())
    host = LOOPBACK if host in ("", "localhost") else host.strip("[]")
    port = port or str(limits.GATEWAY_PORT)
    try:
        address = ipaddress.ip_address(host)
    except ValueError as exc:
        raise _wrong(text, f"give address:port, such as {DEFAULT_GATEWAY}") from exc
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise _wrong(text, f"give address:port, such as {DEFAULT_GATEWAY}")
    if not address.is_loopback:
        raise _wrong(text, "it serves this machine only: give a loopback address, or none")
    return GatewayConfig(host, int(port))


def _split(text: str) -> tuple[str, str]:
    """Resolver and port, each empty where it is not given."""
    if text.isdigit():
        return "", text
    if text.endswith("]") or (text.count(":") > 1 and not text.startswith("[")):
        return text, ""  # an IPv6 address
    host, _, port = text.partition("]:") if text.startswith("[") else text.partition(":")
    return host, port


def _wrong(text: str, advice: str) -> ConfigError:
    return ConfigError(f"--gateway {text}: {advice}")
