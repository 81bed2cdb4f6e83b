"""Which routes a node publishes, and what it tells its owner about them. Pure.

--advertise host          that, at the job port
a public mesh             the global address on which two neighbours agree
a private mesh            the address from which we reach our neighbours
parked at farms           relayed by each of them
none of these             nobody can reach us: said loudly
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from privox_dht import limits
from privox_dht.records import Direct, Relayed, Route

AT_MOST_DIRECT = 2  # one IPv4 and one IPv6 address; the rest of the four are for farms


@dataclass(frozen=True, slots=True)
class Situation:
    """What a node knows of where it stands."""

    job_port: int
    advertised: tuple[str, ...] = ()  # IP literals from --advertise
    observed: tuple[str, ...] = ()  # our addresses as neighbours agree they see them
    glimpsed: tuple[str, ...] = ()  # at which any one neighbour sees us
    local: tuple[str, ...] = ()  # our addresses on the interfaces towards the neighbours
    private: bool = False  # the mesh itself is on private addresses
    reachable: bool = True  # as far as is known
    farms: tuple[bytes, ...] = ()  # keys of the farms at which we are parked


def routes(situation: Situation) -> tuple[Route, ...]:
    """The routes to publish, direct ones first, at most four."""
    s = situation
    hosts: Sequence[str] = ()
    if s.advertised:
        hosts = s.advertised
    elif s.reachable:
        hosts = s.local if s.private else s.observed
    unique = list(dict.fromkeys(hosts))[:AT_MOST_DIRECT]
    direct: list[Route] = [Direct(host, s.job_port) for host in unique]
    relayed: list[Route] = [Relayed(farm) for farm in s.farms]
    return tuple((direct + relayed)[: limits.MAX_ROUTES])


def is_reachable(
    wanted: bool | None, situation: Situation, udp: bool | None, tcp: bool | None
) -> bool:
    """Whether others can call us, as far as can be known.

    Args:
        wanted: what the owner says; None: find out.
        situation: where we stand.
        udp, tcp: whether nodes that we asked to call back got through; None: nobody could say.
    """
    if wanted is not None:
        return wanted
    if situation.advertised:
        return True
    if False in (udp, tcp):
        return False
    if udp and tcp:
        return True
    seen = situation.observed or (situation.glimpsed if situation.private else ())
    if not seen:
        return situation.private
    return bool(set(seen) & set(situation.local))  # no NAT changed our address


def advice(situation: Situation) -> str:
    """What to tell the owner of a node that nobody can reach; empty when there is a route."""
    if routes(situation):
        return ""
    if not situation.reachable:
        return (
            "NOBODY CAN REACH THIS NODE: it is behind a NAT or firewall and parked at no farm. "
            f"Forward TCP and UDP port {situation.job_port} to it and give --advertise ADDRESS, "
            "or name farms with --farms HOST:1776."
        )
    return (
        "NOBODY CAN REACH THIS NODE: no two neighbours agree on a public address of it. "
        "Give --advertise ADDRESS if it has one."
    )


def farm_advice(situation: Situation) -> str:
    """What to tell the owner of a farm that nobody can reach; empty when there is a way to it."""
    if routes(replace(situation, farms=())):
        return ""
    return (
        "NOBODY CAN REACH THIS FARM, so it is not published: a farm needs an address that "
        "strangers can call. Give --advertise ADDRESS if it has one, and let its TCP ports in."
    )
