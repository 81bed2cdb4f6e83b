"""Pages of a holder's records, and what those who stand near say of a key."""

import pytest

from privox_dht import limits
from privox_dht.dht import record_pages
from privox_dht.dht.candidate import Candidate
from privox_dht.dht.record_pages import AT_LEAST


@pytest.mark.parametrize(
    ("count", "want", "longest", "starts"),
    [
        (0, 32, 400, []),
        (7, 32, 300, [0, 3, 6]),
        (7, 4, 300, [0, 3]),  # no more than are wanted
        (4, 32, limits.MAX_RECORD, [0, 2]),  # two of the longest fit
        (2, 32, 5_000, [0, 1]),  # whatever was seen, a page has one
    ],
)
def test_a_page_begins_where_the_one_before_may_have_ended(
    count: int, want: int, longest: int, starts: list[int]
) -> None:
    assert record_pages.page_starts(count, want, longest, limits.MAX_DATAGRAM) == starts


@pytest.mark.parametrize(
    ("found", "idle", "holders", "read", "enough"),
    [  # of each holder, how many records it has, and how many of them are idle; 32 are wanted
        (0, 0, [], False, True),
        (9, 2, [(10, 4)], False, False),
        (10, 2, [(10, 4)], False, True),  # all that there are
        (31, 31, [(500, 90)], False, False),
        (40, 20, [(500, 90)], False, False),  # its pages begin with the idle
        (40, 20, [(500, 90)], True, True),
        (40, 20, [(500, 20), (60, 3)], False, True),  # no more are idle
        (40, 32, [(500, 90)], False, True),
    ],
)
def test_a_page_is_read_for_idle_ones_where_there_are_more_than_are_wanted(
    found: int, idle: int, holders: list[tuple[int, int]], read: bool, enough: bool
) -> None:
    some = [Candidate(bytes([number]) * 20, ("20.0.0.1", 5), 0) for number in range(len(holders))]
    for candidate, (count, idle_there) in zip(some, holders, strict=True):
        candidate.count, candidate.idle, candidate.read = count, idle_there, read
    assert record_pages.is_enough(found, idle, 32, some) is enough


@pytest.mark.parametrize(
    ("found", "want", "counts", "more"),
    [
        (0, 32, [], False),
        (8, 32, [10, 3], False),
        (7, 32, [10, 3], True),
        (30, 32, [500], False),
        (20, 32, [500], True),
    ],
)
def test_holders_that_show_less_than_they_said_are_not_the_end_of_it(
    found: int, want: int, counts: list[int], more: bool
) -> None:
    assert record_pages.was_promised_more(found, want, counts) is more


@pytest.mark.parametrize(
    ("shown", "say", "showed"),
    [  # of each judge, how many records it showed; None: it does not say that the key has split
        ([], 0, False),
        ([AT_LEAST, None], 0, False),  # half is not most
        ([AT_LEAST, AT_LEAST, None], 2, True),
        ([AT_LEAST, 0, None], 2, False),  # one has shown nothing for it
        ([None, None, None], 0, False),
    ],
)
def test_most_of_those_near_say_that_a_key_has_split_and_show_it(
    shown: list[int | None], say: int, showed: bool
) -> None:
    judges = [Candidate(bytes([number] * 20), ("20.0.0.1", 5), 0) for number in range(len(shown))]
    for judge, count in zip(judges, shown, strict=True):
        judge.split, judge.shown = count is not None, count or 0
    assert len(record_pages.who_say_split(judges)) == say
    assert record_pages.have_shown_split(judges) is showed
