"""When a node checks its reachability again, and what follows from the results. Pure.

after each check   every two minutes; after half a minute while only one witness has answered, or
                   two dialled different addresses; soon, while none could answer
at once            a port that was open seems shut: dialled once more; the machine has slept; a
                   neighbour sees us at a new address, at most five times in half a minute
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from nodes import routes
from nodes.routes import NetworkState
from privox_dht.addresses import Address, is_global, join_host
from privox_dht.backoff import backoff
from privox_dht.dht import Reachability, dht_limits
from privox_dht.dht.wire import FAMILY_4, FAMILY_6

CHECK_INTERVAL = 120.0  # seconds between checks: a router may change our address
RECHECK_INTERVAL = 30.0  # seconds, while one witness is all we have, or two dialled different ones
UNKNOWN_BACKOFF = (1.0, 10.0)  # seconds, first and most, while the result is unknown for a family
# in which neighbours see us
NEW_ADDRESS_CHECKS, NEW_ADDRESS_WINDOW = 5, 30.0  # checks in so many seconds that neighbours may
# cause: nodes dial one address back six times in a row, then once in ten seconds
UNCONFIRMED_FOR = 60.0  # seconds for which an open port stays open while no witness can answer:
# datagrams get lost, and a missing route costs more clients than one that is dialled in vain
INTERFACE_POLL = 3.0  # seconds between checks of our own interfaces: no packet is sent for them
SLEEP_MARGIN = 10.0  # seconds by which a pause of INTERFACE_POLL is too long: the machine has slept


class DialBackResults:
    """The results of dial-backs to one of our ports, by address family."""

    def __init__(self) -> None:
        self.latest: Sequence[Reachability] = ()  # of the last dial-back; empty: there was none
        self.effective: Sequence[Reachability] = ()  # the same, unknown ones replaced by older ones
        self._open: dict[int, tuple[Reachability, float]] = {}  # by family, and when it was found

    def assume(self, addresses: Iterable[Address], now: float) -> None:
        """Take the global ones of these addresses for open until a witness has tried: a first node
        publishes them before there is any other node."""
        for address in addresses:
            if is_global(address[0]):
                family = FAMILY_6 if ":" in address[0] else FAMILY_4
                reach = Reachability(family, True, True, (address,), witnesses=1)
                self._open.setdefault(family, (reach, now))

    def update(self, found: Sequence[Reachability], now: float) -> None:
        """A dial-back has ended."""
        known = []
        for reach in found:
            before, since = self._open.get(reach.family, (reach, now))
            if reach.is_open:
                self._open[reach.family] = reach, now
            elif reach.is_shut or now - since > UNCONFIRMED_FOR:
                self._open.pop(reach.family, None)
            else:
                reach = before
            known.append(reach)
        self.latest, self.effective = found, known


class CheckSchedule:
    """How long until the next check, by the results of the last ones."""

    def __init__(self) -> None:
        self._unknown = 0  # checks in a row with an unknown result
        self._caused: deque[float] = deque(maxlen=NEW_ADDRESS_CHECKS)  # times, by neighbours

    def after(self, found: Sequence[Reachability], seen: Collection[str]) -> float:
        """Seconds until the next check.

        Args:
            found: result of the last dial-back, by family.
            seen: addresses at which any neighbour sees us.
        """
        unknown = {reach.family for reach in found if not (reach.is_open or reach.is_shut)}
        families = {FAMILY_6 if ":" in ip else FAMILY_4 for ip in seen}
        if len(unknown) == len(found) or not families.isdisjoint(unknown):
            self._unknown += 1
            return backoff(self._unknown, *UNKNOWN_BACKOFF)
        self._unknown = 0
        few = all(reach.witnesses < dht_limits.DIAL_AGREE for reach in found)
        is_weak = few or any(reach.is_disputed for reach in found)
        return RECHECK_INTERVAL if is_weak else CHECK_INTERVAL

    def after_new_address(self, now: float) -> float:
        """When to check because a neighbour sees us at a new address: now, unless neighbours have
        caused too many checks already."""
        full = len(self._caused) == NEW_ADDRESS_CHECKS
        when = max(now, self._caused[0] + NEW_ADDRESS_WINDOW) if full else now
        self._caused.append(when)
        return when


def has_new_address(found: Sequence[Reachability], seen: Iterable[str]) -> bool:
    """Whether neighbours see us at an address that the last check does not cover.

    Args:
        found: result of the last dial-back, by family.
        seen: addresses at which any neighbour sees us.
    """
    covered = {ip for reach in found if reach.is_open or reach.is_shut for ip, _ in reach.addresses}
    return not covered or not covered.issuperset(seen)


def has_slept(passed: float) -> bool:
    """Whether the machine has slept, if a pause of `INTERFACE_POLL` took so many seconds."""
    return passed > INTERFACE_POLL + SLEEP_MARGIN


def has_closed(before: Sequence[Reachability], found: Sequence[Reachability]) -> bool:
    """Whether a family that was open is not found open any more."""
    was_open = {reach.family for reach in before if reach.is_open}
    return any(reach.family in was_open and not reach.is_open for reach in found)


def with_dial_backs(state: NetworkState, found: Sequence[Reachability]) -> NetworkState:
    """The state with a dial-back's results: first one address of each family, then others at
    which witnesses got through."""
    ranked = [
        (rank, address[0])
        for reach in found
        if reach.is_open
        for rank, address in enumerate(reach.addresses)
    ]
    confirmed = dict.fromkeys(ip for _, ip in sorted(ranked, key=lambda one: one[0]))
    shut = "".join(family_of(reach) for reach in found if reach.is_shut)
    return replace(state, confirmed=tuple(confirmed), shut=shut)


def family_of(reach: Reachability) -> str:
    """ "4" or "6", as `routes.family_of`."""
    return "6" if reach.family == FAMILY_6 else "4"


def at_farm_port(
    state: NetworkState,
    port: int,
    found: Sequence[Reachability] | None,
    *,
    requested: bool = False,
) -> NetworkState:
    """The state of a node's farm, which has a port of its own.

    Args:
        state: of the node.
        port: the farm's TCP port.
        found: result of a dial-back to that port; None: none is made.
        requested: by the owner: then the farm is published until its port is found shut.
    """
    here = replace(state, job_port=port, farms=())
    if found is None or here.advertised or not here.reachable:
        return here
    if requested:
        shut = {family_of(reach) for reach in found if reach.is_shut}
        confirmed = tuple(ip for ip in here.confirmed if routes.family_of(ip) not in shut)
        left = replace(here, confirmed=confirmed, shut="".join(sorted({*here.shut, *shut})))
        return replace(left, reachable=routes.is_reachable(None, left))
    if not any(reach.witnesses for reach in found):
        return here if not here.confirmed else replace(here, reachable=False)  # not known yet
    dialled = with_dial_backs(here, found)
    return replace(dialled, reachable=bool(dialled.confirmed))


def describe(state: NetworkState) -> str:
    """For a log line: our addresses as others see them, and whether they are reachable."""
    where = state.confirmed or state.observed or state.seen_by_any
    seen = ", ".join(join_host(ip, state.job_port) for ip in where) or "nowhere yet"
    if state.confirmed:
        return f"strangers reach us at {seen}"
    missed = "their calls do not come through" if state.shut else "nobody could try to call"
    return f"strangers see us at {seen}; {missed}"
