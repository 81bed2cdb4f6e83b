"""The destination of a message, so that one recorded on its way to a member is refused by others.

a node that the sender knows   by its key or DHT id: that must be ours
an address                     as the sender dials it. If it is one of this machine, the port must
                               be ours as well; behind a NAT it must be an address at which others
                               see us, as far as we know any of its kind
"""

import errno
import socket
from collections.abc import Callable, Iterable

from privox_dht.addresses import Address, is_global


class OwnAddresses:
    """The addresses of this program, as far as it knows."""

    def __init__(self) -> None:
        self.ports: set[int] = set()  # on which we listen
        self.published: frozenset[str] = frozenset()  # given by our owner
        self.observed: Callable[[], Iterable[str]] = tuple  # at which others see us: IP literals

    def has(self, address: Address) -> bool:
        """Whether somebody who dials this address may mean us."""
        ip, port = address
        if is_of_this_machine(ip):
            return port in self.ports
        known = [*self.published, *self.observed()]
        return ip in known or not any(map(_kind(ip), known))


def _kind(ip: str) -> Callable[[str], bool]:
    """Whether an address is of the same family, and like `ip` a global or a private one."""
    family, is_public = ":" in ip, is_global(ip)
    return lambda other: (":" in other) == family and is_global(other) == is_public


def is_of_this_machine(ip: str) -> bool:
    """Whether an interface of this machine has the address: then it can be bound."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError as exc:
        return exc.errno not in (errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT)
    return True
