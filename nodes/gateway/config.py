"""Where the gateway listens, from its options."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodes.gateway import gateway_limits
from nodes.gateway.allowed import Network, parse_networks
from privox_dht import limits
from privox_dht.addresses import is_loopback
from privox_dht.errors import ConfigError

LOOPBACK = "127.0.0.1"
DEFAULT_GATEWAY = f"{LOOPBACK}:{limits.GATEWAY_PORT}"
DEFAULT_HTTPS = f"0.0.0.0:{limits.GATEWAY_HTTPS_PORT}"


@dataclass(frozen=True, slots=True)
class WyomingConfig:
    """Where a Wyoming server listens, and which clients it serves."""

    host: str = LOOPBACK  # the literal of an address; "0.0.0.0" and "::" are all
    port: int = gateway_limits.WYOMING_PORT  # 0: any that is free
    allow: tuple[Network, ...] = parse_networks(())  # addresses that are served
    announce: bool = True  # by zeroconf, in the local network


@dataclass(frozen=True, slots=True)
class HttpsConfig:
    """Where the gateway listens for HTTPS, and with which certificate."""

    folder: Path  # where a self-signed certificate is stored
    host: str = LOOPBACK  # the literal of an address; "0.0.0.0" and "::" are all
    port: int = limits.GATEWAY_HTTPS_PORT  # 0: any that is free
    certificate: Path | None = None  # PEM, with its chain; None: a self-signed one
    private_key: Path | None = None  # PEM; None: it is in the same file


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where the gateway listens, and what else it serves."""

    host: str = LOOPBACK  # the literal of an address; "0.0.0.0" and "::" are all
    port: int = limits.GATEWAY_PORT  # 0: any that is free
    keys: Path | None = None  # a file of keys, one of which each request must have
    is_open: bool = False  # others may use it without a key
    allow: tuple[Network, ...] = parse_networks(())  # addresses that dialects without keys serve
    keyless_seconds: int = gateway_limits.KEYLESS_SECONDS  # of sound in an hour, by address
    wyoming: WyomingConfig | None = None
    https: HttpsConfig | None = None
    privox_ports: tuple[int, int] | None = None  # for STT and for TTS, at `host`
    identify: bool = False  # prove the node's peer id to producers
    wait: float = limits.WAIT  # seconds a job retries while no producer can do it


def parse_gateway(
    text: str,
    keys: Path | None = None,
    is_open: bool = False,
    allow: Iterable[str] = (),
    keyless_seconds: int = gateway_limits.KEYLESS_SECONDS,
) -> GatewayConfig:
    """Parse `address:port`, or one of them; and who may use it.

    Raises:
        ConfigError: it is neither, or others would reach it without a key.
    """
    host, port = _parse(text, limits.GATEWAY_PORT, "--gateway")
    gateway = GatewayConfig(host, port, keys, is_open, parse_networks(allow), keyless_seconds)
    if not (is_loopback(host) or keys or is_open):
        raise _unprotected("--gateway", text)
    return gateway


def parse_https(
    text: str, gateway: GatewayConfig, folder: Path, certificate: Path | None, key: Path | None
) -> HttpsConfig:
    """Parse `address:port`, or one of them; and the certificate.

    Raises:
        ConfigError: it is neither, or others would reach it without a key of the gateway's.
    """
    host, port = _parse(text, limits.GATEWAY_HTTPS_PORT, "--gateway-https")
    https = HttpsConfig(folder, host, port, certificate, key)
    if not (is_loopback(host) or gateway.keys or gateway.is_open):
        raise _unprotected("--gateway-https", text)
    return https


def _unprotected(flag: str, text: str) -> ConfigError:
    return ConfigError(
        f"{flag} {text}: other machines could use it: give --keys FILE (privox-node key NAME"
        " --keys FILE makes one), or --open to serve everybody"
    )


def parse_wyoming(text: str, allow: Iterable[str] = ()) -> WyomingConfig:
    """Parse `address:port`, or one of them; and the networks that are served.

    Raises:
        ConfigError: it is neither, or a network is malformed.
    """
    host, port = _parse(text, gateway_limits.WYOMING_PORT, "--wyoming")
    return WyomingConfig(host, port, parse_networks(allow))


def parse_privox_ports(texts: Sequence[str]) -> tuple[int, int]:
    """The ports for STT and for TTS.

    Raises:
        ConfigError: they are something else.
    """
    numbers = [int(text) for text in texts if text.isascii() and text.isdigit()]
    if len(texts) != 2 or len(numbers) != 2 or max(numbers) > 65535:
        raise ConfigError(
            f"--privox-ports {','.join(texts)}: give two, for STT and for TTS, such as 1776,1777"
        )
    stt_port, tts_port = numbers
    return stt_port, tts_port


def _parse(text: str, default_port: int, flag: str) -> tuple[str, int]:
    """An address and a port."""
    host, port = _split(text.strip())
    host = LOOPBACK if host in ("", "localhost") else host.strip("[]")
    port = port or str(default_port)
    wrong = ConfigError(f"{flag} {text}: give address:port, such as {LOOPBACK}:{default_port}")
    try:
        ipaddress.ip_address(host)
    except ValueError as exc:
        raise wrong from exc
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise wrong
    return host, int(port)


def _split(text: str) -> tuple[str, str]:
    """Host and port, each empty if it is not given."""
    if text.isdigit():
        return "", text
    if text.endswith("]") or (text.count(":") > 1 and not text.startswith("[")):
        return text, ""  # an IPv6 address
    host, _, port = text.partition("]:") if text.startswith("[") else text.partition(":")
    return host, port
