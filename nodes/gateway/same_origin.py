"""Requests to a server on loopback: from programs of this machine, not from web pages. Pure.

Any web page can make its visitor's browser send requests to this machine. Two headers show it:

    Host     the name that was looked up; with DNS rebinding it is the name of the page's server
    Origin   the page that sent the request; for the gateway's own page it matches Host

Programs send neither a foreign Host nor an Origin.
"""

import ipaddress

from privox_dht.addresses import split_host
from privox_dht.errors import ConfigError, RequestRejected

ANY_PORT = 80  # the default where Host names none


def check_same_origin(host: str | None, origin: str | None) -> None:
    """Check the two headers of a request on loopback; None: it has no such header.

    Raises:
        RequestRejected: 403, it may come from a web page.
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
    """Reject a request from a page of another server.

    Raises:
        RequestRejected: 403.
    """
    own = [f"{scheme}://{host}" for scheme in ("http", "https")]  # behind a proxy it may be either
    if origin is not None and (host is None or origin not in own):
        raise RequestRejected(
            f"pages of {origin[:64]!r} may not use this server", status=403, code="foreign_origin"
        )


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine."""
    try:
        name, _ = split_host(host, ANY_PORT)
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except (ConfigError, ValueError):
        return False
