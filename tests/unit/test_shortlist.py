"""Whom a look-up asks next: the rules by themselves, without a socket or a clock."""

import math

import pytest

from privox_dht.dht import dht_limits
from privox_dht.dht.candidate import ANSWERED, DEAD, FLYING, NEW, SLOW, Candidate
from privox_dht.dht.lookup_budget import Credit
from privox_dht.dht.shortlist import Shortlist

OWN = b"\xff" * 20


def shortlist(states: list[int], *, networks: int = 0, closest: int = 20) -> Shortlist:
    """Candidates at the distances 1, 2, 3 ... from the target 0; each in a network of its own, or
    taking turns in so many of a public mesh."""
    some = Shortlist(0, OWN, closest, lambda: networks > 0)
    for number, state in enumerate(states, 1):
        network = number % networks if networks else number
        some.add(number.to_bytes(20, "big"), (f"20.0.{network}.{number}", 5), 0.0, None)
        some.candidates[-1].state = state
    return some


def numbers(some: list[Candidate]) -> list[int]:
    return [candidate.distance for candidate in some]


@pytest.mark.parametrize(
    ("states", "window"),
    [
        ([NEW] * 5, [1, 2, 3]),
        ([ANSWERED, FLYING, NEW, NEW], [1, 2, 3]),
        ([SLOW, ANSWERED, DEAD, NEW, FLYING], [2, 4, 5]),
        ([DEAD, SLOW], []),
        ([], []),
    ],
)
def test_the_window_is_of_the_closest_that_are_not_silent(
    states: list[int], window: list[int]
) -> None:
    assert numbers(shortlist(states, closest=3).window()) == window


def test_of_one_network_two_stand_in_the_window_of_a_public_mesh() -> None:
    assert numbers(shortlist([NEW] * 8, networks=2).window()) == [1, 2, 3, 4]
    assert numbers(shortlist([SLOW, NEW, NEW, NEW, NEW], networks=2).window()) == [2, 3, 4, 5]


def test_a_network_with_two_silent_strangers_is_asked_no_more() -> None:
    some = shortlist([SLOW, ANSWERED, SLOW, NEW, NEW], networks=2)
    some.vain[some.candidates[0].network] += 2
    assert numbers(some.window()) == [2, 4], "the fifth is of the first's network"


def test_whoever_cannot_be_paid_for_is_left_out_until_somebody_else_names_it() -> None:
    some = shortlist([])
    one, where = bytes(19) + b"\1", ("20.0.0.1", 5)
    assert not some.knows(one, where, Credit(1))
    some.add(one, where, 0.0, Credit(1))
    assert some.window() == []
    assert some.knows(one, where, Credit(1_000))
    assert numbers(some.window()) == [1]


def test_we_ourselves_and_who_stands_at_a_known_address_are_no_candidates() -> None:
    some = shortlist([NEW])
    assert some.knows(OWN, ("20.9.9.9", 5), None)
    assert some.knows(b"another".ljust(20), ("20.0.1.1", 5), None)
    assert not some.knows(b"another".ljust(20), ("20.0.1.1", 6), None)


@pytest.mark.parametrize(
    ("states", "answers", "silences", "want", "parallel"),
    [
        ([NEW] * 20, 0, 0, 32, dht_limits.ALPHA),
        ([NEW] * 20, 0, 0, 0, 2 * dht_limits.ALPHA),
        ([NEW] * 20, 0, 3, 32, dht_limits.ALPHA + 3),
        ([NEW] * 20, 0, 99, 0, 20),
        ([ANSWERED] * 4 + [NEW] * 16, 4, 0, 0, 20),
        ([ANSWERED] * 4 + [NEW] * 16, 4, 0, 32, dht_limits.ALPHA),
        ([FLYING, ANSWERED] * 2 + [NEW] * 16, 2, 0, 0, 20),
        ([FLYING, ANSWERED, NEW, FLYING] + [ANSWERED] * 4, 5, 0, 0, 2 * dht_limits.ALPHA),
        ([ANSWERED], 1, 0, 0, 20),
        ([FLYING], 0, 0, 0, 2 * dht_limits.ALPHA),
    ],
)
def test_how_many_are_asked_at_a_time(
    states: list[int], answers: int, silences: int, want: int, parallel: int
) -> None:
    some = shortlist(states)
    some.answers, some.silences = answers, silences
    assert some.parallel(some.window(), want) == parallel


@pytest.mark.parametrize(
    ("counts", "networks", "agree"),
    [
        ([10, 10], 0, 2),
        ([10, 7], 0, 1),
        ([10, 8, 9], 0, 3),
        ([10, 10, 10], 1, 1),
        ([10, 10], 2, 2),
    ],
)
def test_holders_agree_that_hold_nearly_as_much_and_stand_apart(
    counts: list[int], networks: int, agree: int
) -> None:
    some = shortlist([ANSWERED] * len(counts), networks=networks)
    for candidate, count in zip(some.candidates, counts, strict=True):
        candidate.count = count
        some.holders.append(candidate)
    assert some.agreeing_holders(some.candidates, 1) == agree
    assert some.agreeing_holders([], 1) == 0, "whoever is outside of the window only passes on"


def test_holders_too_far_away_to_be_among_the_closest_are_not_believed() -> None:
    some = shortlist([ANSWERED] * 4)
    for candidate in some.candidates:
        candidate.count = candidate.idle = 1
        some.holders.append(candidate)
    assert some.is_enough(some.candidates, 1, waited=False)
    some.reach = 1
    assert some.agreeing_holders(some.candidates, 1) == 1
    assert not some.is_enough(some.candidates, 1, waited=False), "two agree, and know but a part"
    assert some.is_enough(some.candidates, 1, waited=True), "the walk has arrived: nobody is closer"


def test_holders_of_less_than_is_wanted_have_to_be_nearer() -> None:
    some = shortlist([ANSWERED] * 5)
    some.holders = some.candidates[3:]  # at 4 and 5
    some.reach = 5
    for holder in some.holders:
        holder.count, holder.idle = 40, 31
    assert some.agreeing_holders(some.candidates, 31) == 2
    assert some.agreeing_holders(some.candidates, 32) == 0, "left on the way, perhaps"
    some.reach = math.ceil(5 / dht_limits.FEW_REACH)
    assert some.agreeing_holders(some.candidates, 32) == 2


def test_silence_is_met_where_too_few_answered_beside_it() -> None:
    some = shortlist([ANSWERED, SLOW])
    some.answers = 1
    assert some.met_silence and some.is_anyone_late
    some.answers = dht_limits.HOLDERS
    assert not some.met_silence
    assert not shortlist([ANSWERED, NEW]).met_silence


def test_who_held_our_last_word_has_answered_before() -> None:
    some = shortlist([NEW])
    holder = Candidate(bytes(19) + b"\2", ("20.0.2.2", 5), 0)
    holder.state, holder.stored, holder.backers = DEAD, True, [Credit(1)]
    some.seed(holder)
    assert holder.state == ANSWERED and holder.stored is None and not holder.backers
    assert numbers(some.answered()) == [2]


@pytest.mark.parametrize(
    ("states", "want", "holders", "worth"),
    [
        ([SLOW], 0, 0, True),
        ([SLOW, DEAD], 32, 0, True),
        ([DEAD], 0, 0, False),  # nobody is late
        ([SLOW, ANSWERED], 0, 0, False),  # somebody told of others
        ([SLOW, ANSWERED], 32, 0, True),  # one who holds nothing may be wrong
        ([SLOW, ANSWERED, ANSWERED], 32, 0, False),
        ([SLOW, ANSWERED], 32, 1, False),
    ],
)
def test_a_late_answer_is_waited_for_while_nothing_was_found(
    states: list[int], want: int, holders: int, worth: bool
) -> None:
    some = shortlist(states)
    some.answers = states.count(ANSWERED)
    some.holders = some.candidates[:holders]
    assert some.is_worth_waiting(want) is worth


@pytest.mark.parametrize(
    ("states", "counts", "waited", "enough", "one"),
    [
        ([ANSWERED] * 6, [40, 39], False, True, True),  # two agree
        ([ANSWERED] * 6, [40, 3], False, False, True),  # the other holds a part
        ([ANSWERED] * 6, [40], True, True, True),
        ([ANSWERED, *[FLYING] * 5], [40], False, False, False),  # on the way
        ([ANSWERED, *[FLYING] * 5], [40], True, False, True),  # it stands near, and waited long
        ([SLOW, *[FLYING] * 5], [40], True, False, False),  # it is silent meanwhile
    ],
)
def test_one_holder_has_to_wait_for_another_or_for_the_walk_to_arrive(
    states: list[int], counts: list[int], waited: bool, enough: bool, one: bool
) -> None:
    some = shortlist(states)
    some.holders = some.candidates[: len(counts)]
    for holder, count in zip(some.holders, counts, strict=True):
        holder.count = count
    window = some.window()
    assert some.is_enough(window, 32, waited=waited) is enough
    assert some.one_is_enough(window, 32, waited=waited) is one


def test_a_holder_of_a_part_waits_longer_for_another() -> None:
    some = shortlist([ANSWERED])
    some.holders = some.candidates
    some.holders[0].count = 20
    assert some.grace(20) < some.grace(21)
