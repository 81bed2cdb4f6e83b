"""Requests to a server on loopback: from programs of this machine, not from web pages. Pure.

A browser sends what a page asks for to this machine too, and says in two headers whose page it is:

    Host     the name that was looked up: a page whose name leads here says its own name
    Origin   the page that asks; a page of the gateway's own says the same place as Host

Programs send neither a strange Host nor an Origin.
"""

import ipaddress

from privox_dht.addresses import split_host
from privox_dht.errors import ConfigError, RequestRejected

ANY_PORT = 80  # what Host leaves out


def check_same_origin(host: str | None, origin: str | None) -> None:
    """Let a request in by its two headers; None where there is none.

    Raises:
        RequestRejected: 403; it may come from a page of the web.
    """
    if host is not None and not _is_loopback(host):
        raise RequestRejected(
            f"this server answers to its own machine only, and not as {host[:64]!r}: call it"
            " localhost or 127.0.0.1",
            status=403,
            code="foreign_host",
        )
    check_own_page(host, origin)


def check_own_page(host: str | None, origin: str | None) -> None:
    """Let a request in unless a page of another server asks.

    Raises:
        RequestRejected: 403.
    """
    own = [f"{scheme}://{host}" for scheme in ("http", "https")]  # by a proxy it may be either
    if origin is not None and (host is None or origin not in own):
        raise RequestRejected(
            f"pages of {origin[:64]!r} may not use this server", status=403, code="foreign_origin"
        )


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this very machine."""
    try:
        name, _ = split_host(host, ANY_PORT)
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except (ConfigError, ValueError):
        return False
