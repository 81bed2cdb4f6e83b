"""How many of the machine's cores a node and its engines use.

node     restricts itself and its child processes to some of the machine's cores
engines  use as many threads, and run as many jobs at a time, as the node has cores
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_of(wanted: float | None, have: int) -> int:
    """How many of `have` cores are lent.

    Args:
        wanted: an int is a number of cores, a float a share of them; None: all.
    """
    if wanted is None:
        return have
    count = wanted if isinstance(wanted, int) else round(wanted * have)
    return min(have, max(1, int(count)))


@contextmanager
def limited_to(cores: int) -> Iterator[None]:
    """Restrict this process and its children to so many cores while the context is open. On
    systems that cannot do that (macOS) only the engines' number of threads is limited."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-cores:])  # the first one serves most interrupts
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
