"""When a node looks again where it stands, and what follows from what was found. Pure.

after each look    every two minutes; half a minute while one witness's word is all there is, or two
                   of them called different addresses; soon, while nobody could say
at once            what was open seems shut: asked once more; the machine has slept; somebody sees
                   us at an address that was not called, five times in half a minute
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

LOOK_EVERY = 120.0  # seconds between looks at where we stand; a router may change our address
LOOK_AGAIN = 30.0  # seconds, while one witness's word is all we have, or two called different ones
LOOK_SOON = (1.0, 10.0)  # seconds, first and most, while nobody could say whether we can be
# reached, or not in each family in which we are seen
NEWS_LOOKS, NEWS_WITHIN = 5, 30.0  # looks in so many seconds because of what others say: whoever is
# asked to call us back does so six times at once, and then once in ten seconds
BELIEVED = 60.0  # seconds for which we are taken to be reached as before, while nobody can say:
# datagrams get lost, and more callers miss a route that is taken back than try one in vain
LOOK_HERE = 3.0  # seconds between looks at our own interfaces: no packet is sent for them
SLEPT = 10.0  # seconds by which a pause was longer than meant: the machine has slept


class Believed:
    """What is known of each family, by what was found last."""

    def __init__(self) -> None:
        self.found: Sequence[Reachability] = ()  # by those who were asked last to call back; empty:
        # nobody was asked yet
        self.known: Sequence[Reachability] = ()  # the same; where nobody could say, what was open
        self._open: dict[int, tuple[Reachability, float]] = {}  # by family, and when that was found

    def assume(self, addresses: Iterable[Address], now: float) -> None:
        """A first node publishes the global addresses of its interfaces before there is anybody to
        call it: they are taken for open until somebody has tried."""
        for address in addresses:
            if is_global(address[0]):
                family = FAMILY_6 if ":" in address[0] else FAMILY_4
                reach = Reachability(family, True, True, (address,), witnesses=1)
                self._open.setdefault(family, (reach, now))

    def take(self, found: Sequence[Reachability], now: float) -> None:
        """What was found at this moment."""
        known = []
        for reach in found:
            before, since = self._open.get(reach.family, (reach, now))
            if reach.is_open:
                self._open[reach.family] = reach, now
            elif reach.is_shut or now - since > BELIEVED:
                self._open.pop(reach.family, None)
            else:
                reach = before
            known.append(reach)
        self.found, self.known = found, known


class LookSchedule:
    """How long until the next look, by what the last ones found."""

    def __init__(self) -> None:
        self._unknown = 0  # looks in a row after which it was not known where we stand
        self._news: deque[float] = deque(maxlen=NEWS_LOOKS)  # when what others said was looked into

    def after(self, found: Sequence[Reachability], seen: Collection[str]) -> float:
        """Seconds until the next look.

        Args:
            found: what those who were asked to call back found, by family.
            seen: addresses at which any neighbour sees us.
        """
        unknown = {reach.family for reach in found if not (reach.is_open or reach.is_shut)}
        families = {FAMILY_6 if ":" in ip else FAMILY_4 for ip in seen}
        if len(unknown) == len(found) or not families.isdisjoint(unknown):
            self._unknown += 1
            return backoff(self._unknown, *LOOK_SOON)
        self._unknown = 0
        few = all(reach.witnesses < dht_limits.DIAL_AGREE for reach in found)
        return LOOK_AGAIN if few or any(reach.is_disputed for reach in found) else LOOK_EVERY

    def after_news(self, now: float) -> float:
        """When to look, because somebody sees us elsewhere: now, unless strangers have brought that
        about too often already."""
        full = len(self._news) == NEWS_LOOKS
        when = max(now, self._news[0] + NEWS_WITHIN) if full else now
        self._news.append(when)
        return when


def is_news(found: Sequence[Reachability], seen: Iterable[str]) -> bool:
    """Whether the last look does not cover what others say.

    Args:
        found: what those who were asked to call back found, by family.
        seen: addresses at which any neighbour sees us.
    """
    covered = {ip for reach in found if reach.is_open or reach.is_shut for ip, _ in reach.addresses}
    return not covered or not covered.issuperset(seen)


def when_not_asked(joined: bool) -> float:
    """Seconds until the next look of a node whose owner has said how it can be reached."""
    return LOOK_EVERY if joined else LOOK_SOON[1]


def has_slept(passed: float) -> bool:
    """Whether the machine has slept, if a pause of `LOOK_HERE` took so many seconds."""
    return passed > LOOK_HERE + SLEPT


def has_closed(before: Sequence[Reachability], found: Sequence[Reachability]) -> bool:
    """Whether a family in which we could be called is no more found open."""
    was_open = {reach.family for reach in before if reach.is_open}
    return any(reach.family in was_open and not reach.is_open for reach in found)


def with_calls(situation: NetworkState, found: Sequence[Reachability]) -> NetworkState:
    """With what those who were asked to call back found: one address of each family, then others
    at which some of them got through."""
    ranked = [
        (rank, address[0])
        for reach in found
        if reach.is_open
        for rank, address in enumerate(reach.addresses)
    ]
    called = dict.fromkeys(ip for _, ip in sorted(ranked, key=lambda one: one[0]))
    shut = "".join(family_of(reach) for reach in found if reach.is_shut)
    return replace(situation, called=tuple(called), shut=shut)


def family_of(reach: Reachability) -> str:
    """ "4" or "6", as `routes.family_of`."""
    return "6" if reach.family == FAMILY_6 else "4"


def of_farm(
    situation: NetworkState,
    port: int,
    found: Sequence[Reachability] | None,
    *,
    told: bool = False,
) -> NetworkState:
    """Where the farm of a node stands, at its own port.

    Args:
        situation: where the node stands.
        port: the farm's TCP port.
        found: what those found who were asked to call that port; None: nobody is to be asked.
        told: its owner wants a farm, which is published until its port is found to be shut.
    """
    here = replace(situation, job_port=port, farms=())
    if found is None or here.advertised or not here.reachable:
        return here
    if told:
        shut = {family_of(reach) for reach in found if reach.is_shut}
        called = tuple(ip for ip in here.called if routes.family_of(ip) not in shut)
        left = replace(here, called=called, shut="".join(sorted({*here.shut, *shut})))
        return replace(left, reachable=routes.is_reachable(None, left))
    if not any(reach.witnesses for reach in found):
        return here if not here.called else replace(here, reachable=False)  # not found out yet
    calls = with_calls(here, found)
    return replace(calls, reachable=bool(calls.called))


def shown(situation: NetworkState) -> str:
    """For a log line: how strangers see us, and whether they get through."""
    where = situation.called or situation.observed or situation.seen_by_any
    seen = ", ".join(join_host(ip, situation.job_port) for ip in where) or "nowhere yet"
    if situation.called:
        return f"strangers reach us at {seen}"
    missed = "their calls do not come through" if situation.shut else "nobody could try to call"
    return f"strangers see us at {seen}; {missed}"
