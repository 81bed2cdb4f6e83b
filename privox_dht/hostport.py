"""`host:port`, read and written in one place: "example.org:5678", "[2001:db8::1]:5678"."""

from __future__ import annotations

from collections.abc import Iterable

from privox_dht import limits
from privox_dht.errors import ConfigError

Address = tuple[str, int]  # host (a name or a literal) and port


def join_host(host: str, port: int) -> str:
    """`host:port`, an IPv6 literal in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_host(text: str, default_port: int) -> Address:
    """The host and port in `text`.

    Raises:
        ConfigError: it is not of that form.
    """
    host, port = text.strip(), str(default_port)
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else (rest or port)
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{text!r} is not host:port (or [IPv6 address]:port)")
    return host, int(port)


def parse_neighbours(
    neighbours: Iterable[str | Address], default_port: int = limits.DHT_PORT
) -> list[Address]:
    """Neighbours as a person gives them, as addresses, each once.

    Raises:
        ConfigError: one of them is not `host:port`.
    """
    addresses = [n if isinstance(n, tuple) else split_host(n, default_port) for n in neighbours]
    return list(dict.fromkeys(addresses))
