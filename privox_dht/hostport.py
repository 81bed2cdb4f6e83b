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
    bad_host = not host or host.isdigit() or "/" in host or any(map(str.isspace, host))
    bad_port = not port.isascii() or not port.isdigit() or len(port) > len("65535")
    if bad_host or bad_port or not 0 < int(port) < 65536:
        raise ConfigError(f"{text!r} is not host:port (or [IPv6 address]:port)")
    return host, int(port)


def parse_neighbours(
    neighbours: str | Iterable[str | Address], default_port: int = limits.DHT_PORT
) -> list[Address]:
    """Neighbours as a person gives them, as addresses, each once: one string with commas between
    them, or several strings or pairs of host and port.

    Raises:
        ConfigError: one of them is not `host:port`.
    """
    some = neighbours.split(",") if isinstance(neighbours, str) else neighbours
    addresses = [_address(one, default_port) for one in some if one != ""]
    return list(dict.fromkeys(addresses))


def _address(given: object, default_port: int) -> Address:
    match given:
        case str():
            return split_host(given, default_port)
        case str() as host, int() as port if host and not isinstance(port, bool):
            if 0 < port < 65536:
                return host, port
    raise ConfigError(f"{given!r} is not a neighbour: give 'host:port', or a pair of both")
