"""What a node is told, checked once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from nodes.services import ServiceSpec
from privox_dht import limits
from privox_dht.errors import ConfigError
from privox_dht.hostport import Address

AUTO, YES, NO = "auto", "yes", "no"


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything `privox-node` can be told; the defaults are those of its flags."""

    state_dir: Path
    port: int = limits.DHT_PORT  # UDP for the DHT, TCP for jobs; 0: any that is free
    host: str | None = None  # the address to listen on; None: all, IPv4 and IPv6
    neighbours: tuple[Address, ...] = ()
    services: tuple[ServiceSpec, ...] = ()
    advertise: tuple[str, ...] = ()  # IP literals to publish instead of what neighbours see
    network: str = "privox"
    slots: int = 1  # jobs at a time, of all services together
    cache: Path | None = None  # where models are downloaded to
    reachable: str = AUTO  # "auto": found out by asking nodes to call back
    farm: bool = False  # relay for producers behind a NAT
    relay_port: int = limits.RELAY_PORT
    farms: tuple[Address, ...] = ()  # farms to park at; empty: those found in the DHT
    join_timeout: float = 5.0  # seconds per attempt to join


def advertised_address(text: str) -> str:
    """An address to publish: an IP literal (names change, and a record must be checkable).

    Raises:
        ConfigError: it is a name or nonsense.
    """
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError as exc:
        raise ConfigError(
            f"--advertise {text}: give an IPv4 or IPv6 address, not a name; to look one up: "
            f"getent ahosts {text}"
        ) from exc
    if address.is_unspecified or address.is_multicast:
        raise ConfigError(f"--advertise {text}: nobody can call that address")
    return str(address)
