"""The decisions of `dial_back` and `dial_back_server`: which nodes dial which. No I/O.

asker    is a helper's contact a stranger to us            `is_third`
         would it dial us from inside our own network      `is_at_home`
         can the address that was dialled be ours          `may_be_ours`
third    may an address be dialled for a helper            `may_be_dialled`
         is TCP tried at that port                         `tries_tcp`
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from privox_dht import limits
from privox_dht.addresses import Address, holder_of, is_loopback
from privox_dht.dht.wire import family_of


def is_third(
    third: Address,
    helper: Address,
    *,
    may_contact: Callable[[str], bool],
    has_contacted: Callable[[Address], bool],
) -> bool:
    """Whether a helper may be asked to have this contact of its own dial us: it is on another
    machine (on one machine only: another port), and a stranger, for whom our NAT has no hole."""
    here = is_loopback(third[0])
    apart = third[0] != helper[0] or (here and third[1] != helper[1])
    return (
        apart
        and family_of(third) == family_of(helper)
        and may_contact(third[0])
        and not has_contacted(third)
    )


def is_at_home(ip: str, own: Collection[str], *, public: bool) -> bool:
    """Whether a node would dial us from our own machine or, in a public mesh, from behind our own
    router or firewall, and so past it. On loopback every port is another machine.

    Args:
        own: addresses at which others see us.
    """
    if is_loopback(ip):
        return False
    return ip in own or (public and holder_of(ip) in map(holder_of, own))


def may_be_ours(
    where: Address | None, witness: Address, *, may_contact: Callable[[str], bool]
) -> bool:
    """Whether an address that a witness says it dialled can be one of ours at all."""
    return where is not None and family_of(where) == family_of(witness) and may_contact(where[0])


def may_be_dialled(
    target: Address, helper: Address, *, has_socket: bool, may_contact: Callable[[str], bool]
) -> bool:
    """Whether an address may be dialled for a helper: our own machine only for a helper on it."""
    is_forbidden = is_loopback(target[0]) and not is_loopback(helper[0])
    return has_socket and may_contact(target[0]) and not is_forbidden


def tries_tcp(target: Address, tcp_port: int, *, is_expected: bool) -> bool:
    """Whether TCP is tried at a port: only if a node there expected our probe, and only at that
    node's own port or the relay's."""
    return is_expected and tcp_port in (target[1], limits.RELAY_PORT)
