"""Which of this machine's addresses is the source for a destination. No packet is sent."""

import socket

SOMEWHERE = ("192.0.2.1", "2001:db8::1")  # documentation addresses, which no machine has


def source_towards(ip: str) -> str:
    """The source address of a packet from here to `ip`; empty if there is no route."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((ip, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def has_route(ip: str) -> bool:
    """Whether this machine has a route to `ip`."""
    return bool(source_towards(ip))
