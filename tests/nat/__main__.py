"""A lab to walk around in.

python -m tests.nat probe             why no lab can be built here, if so
python -m tests.nat up                build the standard lab, and keep it until Ctrl-C
python -m tests.nat run HOST CMD...   run a command on a host of the lab that is up
python -m tests.nat clean             remove what crashed labs left behind
"""

import os
import signal
import sys

from . import nats, netns
from .lab import Lab, LabError, Nat, Plan

STANDARD = Plan(
    public=("first1", "first2", "farm1", "farm2", "client"),
    nats={
        "nat1": Nat(nats.FULL_CONE, ("producer1",)),
        "nat2": Nat(nats.ADDRESS_RESTRICTED, ("producer2",)),
        "nat3": Nat(nats.PORT_RESTRICTED, ("producer3",)),
        "nat4": Nat(nats.SYMMETRIC, ("producer4",)),
        "nat5": Nat(nats.UDP_BLOCKED, ("producer5",)),
        "nat6": Nat(nats.SYMMETRIC, ("laptop",)),
    },
    wired=("client",),
)


def up() -> int:
    """Build, show who is where, and wait."""
    with Lab(STANDARD) as lab:
        for host in (*STANDARD.public, *(h for nat in STANDARD.nats.values() for h in nat.members)):
            own, seen = lab.own_address(host), lab.address(host)
            kind = "" if own == seen else f"behind {STANDARD.nats[lab.nat_of(host)].kind}"
            print(f"{host:10} {own:14} {'' if own == seen else seen:14} {kind}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


def run(host: str, *argv: str) -> int:
    """Become that command, in the newest lab that has such a host."""
    there = [name for name in netns.living() if name.endswith(f"-{host}")]
    if not there or not argv:
        print(f"no lab that is up has a host {host}" if argv else __doc__, file=sys.stderr)
        return 2
    line = netns.within(there[-1], *argv)
    os.execv(line[0], line)


def main(argv: list[str]) -> int:
    match argv:
        case ["probe"]:
            why = netns.probe()
            print(why or "a lab can be built here")
            return 1 if why else 0
        case ["up"]:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            return up()
        case ["run", host, *command]:
            return run(host, *command)
        case ["clean"]:
            print("\n".join(netns.remove_stale()) or "nothing was left behind")
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as exc:
        sys.exit(f"nat lab: {exc}")
