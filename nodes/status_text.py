"""A node's status as text for its owner. Pure.

status (see `Node.owner_status`), the time -> lines
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from privox_dht import units
from privox_dht.membership.members import REASONS
from privox_dht.speech_api.job_log import OUTCOMES

NAME = 12  # characters of the first column
SHOWN_JOBS = 12
SHOWN_NEIGHBOURS = 4
Status = Mapping[str, Any]


def lines_of(status: Status, now: float) -> list[str]:
    """The status as lines of text.

    Args:
        now: seconds since the epoch.
    """
    since = units.duration(max(1, round(now - status["since"])))
    private = "private mesh" if status.get("private_mesh") else "mesh"
    rows = [
        ("node", f"{status['peer'][:8]} in the {private} {status['network']!r}, for {since}"),
        *(("WRONG", what) for what in status.get("wrong", ())),
        ("reachable", _reachable(status)),
        *_lent(status),
        *_farms(status),
        ("neighbours", _neighbours(status)),
        *_strangers(status),
        *_gateway(status.get("gateway")),
    ]
    return [*(f"{name:<{NAME}}{text}" for name, text in rows), *_jobs(status, now)]


def _reachable(status: Status) -> str:
    routes = ", ".join(status["routes"])
    return routes or "by nobody yet"


def _lent(status: Status) -> Iterator[tuple[str, str]]:
    """What is lent, and how much of it is in use."""
    engines = status["engines"]
    if not engines:
        yield "lends", "nothing"
        return
    for n, one in enumerate(engines):
        models = f" ({', '.join(one['models'])})" if one["models"] else ""
        yield "lends" if not n else "", f"{one['service']}/{one['backend']} {one['engine']}{models}"
    found = ", ".join(sorted(status["published"])) or "nothing of it yet"
    yield "published", f"others find {found}"
    yield "slots", f"{status['idle']} of {status['slots']} idle, {status['waiting']} waiting"
    if status.get("lending"):
        yield "terms", str(status["lending"])
    yield "jobs", _outcomes(status["jobs"])


def _outcomes(jobs: Status) -> str:
    ended = ", ".join(f"{jobs[name]:,} {name}" for name in OUTCOMES if jobs[name])
    away = f"; {jobs['turned_away']:,} turned away" if jobs["turned_away"] else ""
    return f"{jobs['running']} running; {ended or 'none ended yet'}{away}"


def _farms(status: Status) -> Iterator[tuple[str, str]]:
    """The farms at which the node is parked, and what it relays for others."""
    if status["parked_at"]:
        yield "parked at", ", ".join(status["parked_at"])
    if farm := status.get("farm"):
        carried = units.size(farm["carried_bytes"])
        yield (
            "relays",
            f"for {farm['producers']:,} producers, {farm['calls']:,} calls now,"
            f" {farm['calls_total']:,} in all, {carried} carried",
        )


def _neighbours(status: Status) -> str:
    dht = status["dht"]
    some = ", ".join(status["neighbours"][:SHOWN_NEIGHBOURS])
    more = f": {some}" if some else ""
    more += ", ..." if len(status["neighbours"]) > SHOWN_NEIGHBOURS else ""
    return (
        f"{dht['contacts']:,}, {dht['rtt_ms']:.0f} ms away, {dht['records']:,} records held{more}"
    )


def _strangers(status: Status) -> Iterator[tuple[str, str]]:
    """In a private mesh: how many messages of strangers, or replayed ones, were rejected."""
    if not status.get("private_mesh"):
        return
    dht, farm = status["dht"], status.get("farm") or {"dropped": {}}
    counts = {
        **{f"udp {reason}": dht["dropped"].get(reason, 0) for reason in REASONS},
        **dht["turned_away"],
        **{f"relay {reason}": farm["dropped"].get(reason, 0) for reason in REASONS},
    }
    counted = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count)
    yield "turned away", counted or "nobody"


def _gateway(gateway: Status | None) -> Iterator[tuple[str, str]]:
    """The gateway, if there is one."""
    if not gateway:
        return
    yield "gateway", ", ".join(gateway["urls"])
    for service, use in gateway["services"].items():
        yield (
            "",
            f"{service}: {use['producers']:,} producers, {use['idle']:,} of {use['slots']:,}"
            f" slots idle; from here {use['running']} running, {use['waiting']} waiting",
        )
    yield "", f"jobs: {_outcomes(gateway['outcomes'])}"


def _jobs(status: Status, now: float) -> Sequence[str]:
    """The last jobs, of other nodes' clients and of the gateway's apps."""
    own = [(job, "lent") for job in status["recent"]]
    own += [(job, "gateway") for job in (status.get("gateway") or {}).get("jobs", ())]
    newest = sorted(own, key=lambda pair: -pair[0]["at"])[:SHOWN_JOBS]
    if not newest:
        return []
    return ["", "last jobs", *_job_lines(newest)]


def _job_lines(jobs: Iterable[tuple[Status, str]]) -> Iterator[str]:
    for job, where in jobs:
        clock = time.strftime("%H:%M:%S", time.localtime(job["at"]))
        sound = f"{job['sound']:.1f} s of sound" if job["sound"] else ""
        who = " ".join(job["producers"])
        yield (
            f"  {clock}  {where:<8}{job['service']:<5}{job['outcome']:<10}"
            f"{job['seconds']:>8.2f} s  {sound:<20}{who}"
        ).rstrip()
