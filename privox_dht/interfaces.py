"""Which of this machine's addresses leads where. No packet is sent by anything here."""

import socket

SOMEWHERE = ("192.0.2.1", "2001:db8::1")  # documentation addresses: nobody is there


def source_towards(ip: str) -> str:
    """The address of ours from which a packet to `ip` would leave; empty if there is no way."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((ip, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def has_route(ip: str) -> bool:
    """Whether a packet to `ip` would leave this machine at all."""
    return bool(source_towards(ip))
