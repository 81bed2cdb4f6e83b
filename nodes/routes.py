"""Which routes a node publishes, and what it tells its owner about them. Pure.

--advertise host          that, at the job port
called back               the addresses at which others just reached us, UDP and TCP; two of
                          a family while some of them did so at another one than others
nobody could call back    an address at which we are seen and which is on an interface of ours: no
                          NAT changed it. In a public mesh two neighbours must agree on it, and
                          not before somebody was asked to call back: a firewall may be there
seen by nobody            in a private mesh the addresses of our interfaces
parked at farms           relayed by each of them
none of these             nobody can reach us: said loudly

An address that nobody sees us at is never published: behind a router that forwards a port it is
the router's address that others can call, and not ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from privox_dht import limits
from privox_dht.addresses import is_global, is_loopback, join_host
from privox_dht.records import Direct, Relayed, Route

USUAL_NETWORK = "privox"  # which nobody needs to be told
AT_MOST_DIRECT = 3  # one IPv4 and one IPv6 address, and another one while those who called us back
# did so at different ones; the rest of the four are for farms


@dataclass(frozen=True, slots=True)
class NetworkState:
    """What a node knows of where it stands. Addresses are IP literals."""

    job_port: int
    advertised: tuple[str, ...] = ()  # from --advertise
    observed: tuple[str, ...] = ()  # ours as neighbours agree they see them
    seen_by_any: tuple[str, ...] = ()  # at which any one neighbour sees us
    local: tuple[str, ...] = ()  # ours on the interfaces towards the neighbours
    called: tuple[str, ...] = ()  # at which others called us back, by UDP and by TCP
    shut: str = ""  # families ("4", "6") in which they tried and did not get through
    asked: bool = True  # whether they were asked, or nobody is to be
    private: bool = False  # the mesh itself is on private addresses
    reachable: bool = True  # as far as is known
    farms: tuple[bytes, ...] = ()  # keys of the farms at which we are parked
    untaken: tuple[str, ...] = field(default=(), compare=False)  # why others did not take us, in
    # words: nothing that is published


def routes(situation: NetworkState) -> tuple[Route, ...]:
    """The routes to publish, direct ones first, at most four."""
    s = situation
    unique = list(dict.fromkeys(_hosts(s)))[:AT_MOST_DIRECT]
    direct: list[Route] = [Direct(host, s.job_port) for host in unique]
    relayed: list[Route] = [Relayed(farm) for farm in s.farms]
    return tuple((direct + relayed)[: limits.MAX_ROUTES])


def _hosts(s: NetworkState) -> Sequence[str]:
    """The addresses at which others can call us."""
    if s.advertised:
        return s.advertised
    if not s.reachable:
        return ()
    return s.called or _unchanged(s) or _seen(s)


def _seen(s: NetworkState) -> tuple[str, ...]:
    """Our addresses as others see them; our own word for it where nobody sees us."""
    if s.observed:
        return s.observed
    return (s.seen_by_any or s.local) if s.private else ()


def _unchanged(s: NetworkState) -> tuple[str, ...]:
    """Those of them that no NAT has changed, in families that are not known to be shut."""
    if not (s.asked or s.private):
        return ()
    return tuple(ip for ip in _seen(s) if ip in s.local and family_of(ip) not in s.shut)


def family_of(ip: str) -> str:
    """ "4" or "6"."""
    return "6" if ":" in ip else "4"


def is_reachable(wanted: bool | None, situation: NetworkState) -> bool:
    """Whether others can call us, as far as can be known.

    Args:
        wanted: what the owner says; None: find out.
        situation: where we stand.
    """
    if wanted is not None:
        return wanted
    if situation.advertised or situation.called:
        return True
    if not _seen(situation):
        return situation.private and not situation.shut
    return bool(_unchanged(situation))


def how_to_join(situation: NetworkState, port: int, network: str, private: bool = False) -> str:
    """What the owner of a first node tells those who are to join it.

    Args:
        situation: where the node stands.
        port: its UDP port, which its TCP port for jobs should be as well.
        network: the name of its mesh.
        private: whether they need its secret as well.
    """
    hosts = situation.advertised or situation.local
    flags = "" if network == USUAL_NETWORK else f" --network {network}"
    flags += " --secret-file FILE" if private else ""
    some = " or ".join(f"--neighbours {join_host(host, port)}" for host in hosts)
    said = (
        f"this is a first node; others join it with: {some or f'--neighbours HOST:{port}'}{flags}"
    )
    if any(map(is_global, hosts)) or all(map(is_loopback, hosts)):
        return said
    return (
        f"{said}. From other networks: with this network's public address, once UDP and TCP port"
        f" {port} are forwarded to this machine"
    )


def advice(situation: NetworkState) -> str:
    """What to tell the owner of a node that nobody can reach; empty when there is a route."""
    if routes(situation):
        return ""
    if not situation.reachable:
        return (
            f"NOBODY CAN REACH THIS NODE: {_in_the_way(situation)}, and {_no_farm(situation)}"
            f" or forward TCP and UDP port {situation.job_port} to it and give --advertise ADDRESS."
        )
    return (
        "NOBODY CAN REACH THIS NODE: no neighbour could call it back at a public address. "
        "Give --advertise ADDRESS if it has one."
    )


def _in_the_way(s: NetworkState) -> str:
    """Why nobody can call it directly, as far as that is known."""
    seen = (*s.observed, *s.seen_by_any)
    if s.shut or (seen and not set(seen) & set(s.local)):
        return "it is behind a NAT or firewall"
    return "no neighbour could try to call it yet"


def _no_farm(situation: NetworkState) -> str:
    """Why it is parked at none, and what to do, as far as farms go."""
    if situation.untaken:
        tried = "; ".join(situation.untaken)
        return f"no farm takes it: {tried}. Let TCP out to the farms' ports, name others (--farms),"
    return "there is no farm to relay for it. Run one where it can be called (privox-node --farm),"


def farm_advice(situation: NetworkState, farm: NetworkState | None = None) -> str:
    """What to tell the owner of a farm that nobody can reach; empty when there is a way to it.

    Args:
        situation: where the node stands.
        farm: where its farm stands, at its own port, if that was found out.
    """
    if routes(replace(situation, farms=())):
        if farm is None or routes(farm):
            return ""
        return (
            "NOBODY CAN REACH THIS FARM, so it is not published: strangers can call this node, but "
            f"not its TCP port {farm.job_port}. Let that in at the firewall and the router."
        )
    return (
        "NOBODY CAN REACH THIS FARM, so it is not published: a farm needs an address that "
        "strangers can call. Give --advertise ADDRESS if it has one, and let its TCP ports in."
    )
