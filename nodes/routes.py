"""Which routes a node publishes, and what its owner is told about them. Pure.

--advertise host          that host, at the job port
dialled back              the addresses at which witnesses reached us by UDP and TCP; two of a
                          family while witnesses reached us at different ones
no witness could dial     an address that others see and that is on one of our interfaces, so that
                          no NAT translated it. In a public mesh two neighbours must agree on it,
                          and dial-backs must have been requested: a firewall may block them
not seen by anybody       in a private mesh the addresses of our interfaces
parked at farms           relayed by each of them
none of these             nobody can reach us: the owner is warned

An address at which nobody sees us is never published: behind a router that forwards a port, others
can call the router's address, and not ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from privox_dht import limits
from privox_dht.addresses import is_global, is_loopback, join_host
from privox_dht.records import Direct, Relayed, Route

DEFAULT_NETWORK = "privox"  # which nobody needs to be told
MAX_DIRECT_ROUTES = 3  # one IPv4 and one IPv6 address, and one more while witnesses reached us at
# different ones; the rest of the four are for farms


@dataclass(frozen=True, slots=True)
class NetworkState:
    """A node's addresses, and whether others can reach it. Addresses are IP literals."""

    job_port: int
    advertised: tuple[str, ...] = ()  # from --advertise
    observed: tuple[str, ...] = ()  # ours as neighbours agree they see them
    seen_by_any: tuple[str, ...] = ()  # at which any one neighbour sees us
    local: tuple[str, ...] = ()  # ours on the interfaces towards the neighbours
    confirmed: tuple[str, ...] = ()  # at which a dial-back came through, by UDP and by TCP
    shut: str = ""  # families ("4", "6") in which witnesses tried and did not get through
    checked: bool = True  # dial-backs were requested, or will not be
    private: bool = False  # the mesh itself is on private addresses
    reachable: bool = True  # as far as is known
    farms: tuple[bytes, ...] = ()  # keys of the farms at which we are parked
    farm_failures: tuple[str, ...] = field(default=(), compare=False)  # why we are not parked at
    # other farms, for a person: not published


def routes(state: NetworkState) -> tuple[Route, ...]:
    """The routes to publish, direct ones first, at most four."""
    unique = list(dict.fromkeys(_hosts(state)))[:MAX_DIRECT_ROUTES]
    direct: list[Route] = [Direct(host, state.job_port) for host in unique]
    relayed: list[Route] = [Relayed(farm) for farm in state.farms]
    return tuple((direct + relayed)[: limits.MAX_ROUTES])


def _hosts(s: NetworkState) -> Sequence[str]:
    """The addresses at which others can call us."""
    if s.advertised:
        return s.advertised
    if not s.reachable:
        return ()
    return s.confirmed or _untranslated(s) or _observed(s)


def _observed(s: NetworkState) -> tuple[str, ...]:
    """Our addresses as others see them; in a private mesh where nobody sees us, those of our
    interfaces."""
    if s.observed:
        return s.observed
    return (s.seen_by_any or s.local) if s.private else ()


def _untranslated(s: NetworkState) -> tuple[str, ...]:
    """The observed addresses that no NAT has translated, in families not known to be shut."""
    if not (s.checked or s.private):
        return ()
    return tuple(ip for ip in _observed(s) if ip in s.local and family_of(ip) not in s.shut)


def family_of(ip: str) -> str:
    """ "4" or "6"."""
    return "6" if ":" in ip else "4"


def is_reachable(wanted: bool | None, state: NetworkState) -> bool:
    """Whether others can call us, as far as can be known.

    Args:
        wanted: what the owner configured; None: find out.
        state: where we stand.
    """
    if wanted is not None:
        return wanted
    if state.advertised or state.confirmed:
        return True
    if not _observed(state):
        return state.private and not state.shut
    return bool(_untranslated(state))


def how_to_join(state: NetworkState, port: int, network: str, private: bool = False) -> str:
    """How others join a first node, for its owner.

    Args:
        state: where the node stands.
        port: its UDP port, which its TCP port for jobs should be as well.
        network: the name of its mesh.
        private: whether others need its secret as well.
    """
    hosts = state.advertised or state.local
    flags = "" if network == DEFAULT_NETWORK else f" --network {network}"
    flags += " --secret-file FILE" if private else ""
    joins = " or ".join(f"--neighbours {join_host(host, port)}" for host in hosts)
    text = (
        f"this is a first node; others join it with: {joins or f'--neighbours HOST:{port}'}{flags}"
    )
    if any(map(is_global, hosts)) or all(map(is_loopback, hosts)):
        return text
    return (
        f"{text}. From other networks: with this network's public address, once UDP and TCP port"
        f" {port} are forwarded to this machine"
    )


def advice(state: NetworkState) -> str:
    """The warning for the owner of a node that nobody can reach; empty if it has a route."""
    if routes(state):
        return ""
    if not state.reachable:
        return (
            f"NOBODY CAN REACH THIS NODE: {_why_not_direct(state)}, and {_why_not_parked(state)}"
            f" or forward TCP and UDP port {state.job_port} to it and give --advertise ADDRESS."
        )
    return (
        "NOBODY CAN REACH THIS NODE: no neighbour could call it back at a public address. "
        "Give --advertise ADDRESS if it has one."
    )


def _why_not_direct(s: NetworkState) -> str:
    """Why others cannot call the node directly, as far as that is known."""
    seen = (*s.observed, *s.seen_by_any)
    if s.shut or (seen and not set(seen) & set(s.local)):
        return "it is behind a NAT or firewall"
    return "no neighbour could try to call it yet"


def _why_not_parked(state: NetworkState) -> str:
    """Why the node is parked at no farm, and what to do about it."""
    if state.farm_failures:
        tried = "; ".join(state.farm_failures)
        return f"no farm takes it: {tried}. Let TCP out to the farms' ports, name others (--farms),"
    return "there is no farm to relay for it. Run one where it can be called (privox-node --farm),"


def farm_advice(state: NetworkState, farm: NetworkState | None = None) -> str:
    """The warning for the owner of a farm that nobody can reach; empty if it has a route.

    Args:
        state: where the node stands.
        farm: of its farm, at its own port; None: not known.
    """
    if routes(replace(state, farms=())):
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
