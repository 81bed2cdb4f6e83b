"""What holders show of a key page by page, and what that is worth. Pure.

rows   a page begins wherever the one before may have ended, however long its records were
more   who agreed on how much there is, and showed less, is not the end of it
split  most of those that stand nearest say so, and each of those showed a full page
"""

from collections.abc import Iterable

from privox_dht import limits
from privox_dht.dht import dht_limits, wire
from privox_dht.dht.candidate import Candidate

FRAME = wire.HEADER + 48  # bytes around the records of a page
MARK = 3  # bytes that msgpack puts before a record
AT_LEAST = (limits.MAX_DATAGRAM - FRAME) // (limits.MAX_RECORD + MARK)  # records of a full page


def page_starts(count: int, want: int, longest: int, largest: int) -> list[int]:
    """The rows at which the pages of a holder begin.

    Args:
        count: records that it says it has.
        want: records that are wanted.
        longest: bytes of the longest record that was seen under the key.
        largest: bytes that its answer may have.
    """
    fits = (largest - FRAME) // (longest + MARK)
    step = max(1, min(dht_limits.MAX_RECORDS_IN_DATAGRAM, fits))
    return list(range(0, min(count, want), step))


def is_enough(found: int, idle: int, want: int, holders: list[Candidate]) -> bool:
    """Whether no page needs to be read to have `want` records, or all that there are. Of those who
    have more than are wanted, idle ones are wanted; the idle come first on their pages.

    Args:
        found: records that are known.
        idle: of these, idle ones.
    """
    most = max((holder.count for holder in holders), default=0)
    if found < min(want, most):
        return False
    if most <= want or any(holder.read for holder in holders):
        return True
    return idle >= min(want, max(holder.idle for holder in holders))


def was_promised_more(found: int, want: int, counts: Iterable[int]) -> bool:
    """Whether `found` records are fewer than holders with such counts would have shown."""
    return found < dht_limits.AGREEMENT * min(want, max(counts, default=0))


def who_say_split(judges: list[Candidate]) -> list[Candidate]:
    """The judges that say that the key has split, if they are the majority; else none."""
    some = [judge for judge in judges if judge.split]
    return some if 2 * len(some) > len(judges) else []


def have_shown_split(judges: list[Candidate]) -> bool:
    """Whether most of them say so, and have shown as many records as a full page has at least."""
    shown = [judge for judge in who_say_split(judges) if judge.shown >= AT_LEAST]
    return 2 * len(shown) > len(judges)
