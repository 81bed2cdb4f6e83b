"""The configuration of a node, checked once."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nodes.gateway.config import GatewayConfig
from nodes.lending import LendingTerms
from nodes.machine import Machine
from nodes.service_spec import ServiceSpec
from privox_dht import limits
from privox_dht.addresses import Address
from privox_dht.errors import ConfigError
from privox_dht.http.request_limits import RequestLimits
from privox_dht.relay import FarmLimits

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    B = TypeVar("B", bound=DataclassInstance)
else:
    B = TypeVar("B")

AUTO, YES, NO = "auto", "yes", "no"


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """All settings of `privox-node`; the defaults are those of its flags."""

    state_dir: Path
    port: int = limits.DHT_PORT  # UDP for the DHT, TCP for jobs; 0: any that is free
    host: str | None = None  # the address to listen on; None: all, IPv4 and IPv6
    neighbours: tuple[Address, ...] = ()
    lan: bool = False  # announce the node in the local network, and join through others there
    services: tuple[ServiceSpec, ...] = ()
    advertise: tuple[str, ...] = ()  # IP literals to publish instead of what neighbours see
    network: str = "privox"
    secret_file: Path | None = None  # makes it a private mesh
    slots: int = 1  # jobs at a time, of all services together
    cache: Path | None = None  # where models are downloaded to
    reachable: str = AUTO  # "auto": other nodes are asked to dial back
    farm: bool | None = None  # relay for producers behind a NAT; None: if strangers can reach us
    relay_port: int = limits.RELAY_PORT
    # The limits of one job's request
    bounds: RequestLimits = field(default_factory=RequestLimits)
    terms: FarmLimits = field(default_factory=FarmLimits)  # what this farm grants
    farms: tuple[Address, ...] = ()  # farms to park at; empty: those found in the DHT
    gateway: GatewayConfig | None = None  # serve apps of this machine from the mesh
    model_memory: int | None = None  # bytes for the models of all engines; None: any
    lending: LendingTerms = field(default_factory=LendingTerms)  # when, and how much
    machine: Machine = field(default_factory=Machine)  # its clock, battery and load
    batch: int = 1  # windows of a recording that faster-whisper works on at once
    join_timeout: float = 5.0  # seconds per attempt to join


def changed(defaults: B, changes: Iterable[str], flag: str) -> B:
    """`defaults` (a dataclass of numbers) with each "name=value" of `changes`.

    Raises:
        ConfigError: there is no such name, or the number is not positive.
    """
    numbers: dict[str, int | float] = {}
    known = asdict(defaults)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in known:
            raise ConfigError(f"{flag} {change}: no limit {name!r}; there is: {', '.join(known)}")
        try:
            numbers[name] = type(known[name])(value)
        except ValueError as exc:
            raise ConfigError(f"{flag} {change}: {value!r} is not a number") from exc
        if numbers[name] <= 0:
            raise ConfigError(f"{flag} {change}: a limit is above 0")
    return replace(defaults, **numbers)


def advertised_address(text: str) -> str:
    """An address to publish: an IP literal (names change, and a record must be checkable).

    Raises:
        ConfigError: it is not an IP literal.
    """
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError as exc:
        raise ConfigError(
            f"--advertise {text}: give an IPv4 or IPv6 address, not a name; to look one up: "
            f"getent ahosts {text}"
        ) from exc
    if address.is_unspecified or address.is_multicast:
        raise ConfigError(f"--advertise {text}: no node can reach that address")
    return str(address)


def listening_address(text: str | None) -> str | None:
    """An address to listen on; None and "" are all of them.

    Raises:
        ConfigError: it is not an IP literal.
    """
    if not text:
        return None
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError as exc:
        raise ConfigError(f"--host {text}: give an address, such as 127.0.0.1 or ::1") from exc
