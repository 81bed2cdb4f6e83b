"""Which of the closest get a copy of a record, and when: a walk's state at each moment as a table.
No socket; what a node would be sent is written down."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from kademlia.node import Node

from privox_dht.addresses import Address, pack_address
from privox_dht.dht import dht_limits, wire
from privox_dht.dht.answer_codec import FULL, HELD, REFUSED, Stored
from privox_dht.dht.candidate import ANSWERED, DEAD, FLYING, NEW, SLOW, Candidate
from privox_dht.dht.contact import Contact
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.routing_table import RoutingTable
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.dht.store_lookup import StoreLookup
from privox_dht.identity import Identity
from privox_dht.records import Record, sign

NAMES = {"?": NEW, "~": FLYING, "+": ANSWERED, "s": SLOW, "x": DEAD}
BASE = b"k" * 20
OWNER = Identity(b"o" * 32)
TOKEN = b"t" * 8
Told = Callable[[Stored | None], None]


class Socket(RpcProtocol):
    """Writes down whom a record would be sent to, and sends nothing."""

    def __init__(self, state: NodeState) -> None:
        own = Node(state.identity.dht_id)
        super().__init__(state, RoutingTable(self, dht_limits.BUCKET, own, lambda: True))
        self.stores: list[tuple[Address, Told, Callable[[], None]]] = []  # to whom, and what is
        # told of its answer, and that it is late

    def send_request(  # type: ignore[override]
        self,
        address: Address,
        method: str,
        arguments: Any,
        read: Any,
        done: Told,
        *,
        late: Any,
        **_: Any,
    ) -> None:
        if method == "store":
            self.stores.append((address, done, late))


class Walk:
    """A walk that has come as far as `states` says: `+` answered, `~` is asked, `?` is not asked
    yet, `s` is late, `x` is dead; closest first, each in a network of its own."""

    def __init__(
        self, states: str, *, split: str = "", contacts: Sequence[Address] = (), **how: Any
    ) -> None:
        """`split` numbers those who say that the key has split; `contacts` answered lately."""
        state = NodeState(OWNER, "test", lambda: 0.0, random.Random(1))
        network = RpcNetwork(state, lambda coroutine: pytest.fail("nothing is spawned"))
        self.socket = network.protocols[wire.FAMILY_4] = Socket(state)
        for address in contacts:
            assert self.socket.router.add_contact(Contact(bytes(20), pack_address(*address)))
        how = {"depth": 0, "holders": [], **how}
        self.lookup = StoreLookup(network, BASE, record=a_record(state.mesh), **how)
        target = self.lookup.target.long_id
        for number, name in enumerate(states, 1):
            where = (f"20.0.{number}.1", number)
            self.lookup.shortlist.add((target ^ number).to_bytes(20, "big"), where, 0.0, None)
            candidate = self.lookup.shortlist.candidates[-1]
            candidate.state, candidate.split = NAMES[name], str(number) in split.split()
        self.lookup.send_next()

    def given(self) -> list[int]:
        """Whom the record was sent to, by number."""
        return [address[1] for address, *_ in self.socket.stores]

    def node(self, number: int) -> Candidate:
        return self.lookup.shortlist.candidates[number - 1]

    def answers(self, number: int, state: int = ANSWERED) -> None:
        """It answers that it knows nobody else, or falls silent."""
        self.node(number).state = state
        self.lookup.send_next()

    def took(self, number: int, fate: int = HELD, *, split: bool = False, total: int = 1) -> None:
        """What became of the record there."""
        self._last(number)[1](Stored(TOKEN, [fate], split, total))

    def silent(self, number: int) -> None:
        self._last(number)[1](None)

    def expired(self, number: int) -> None:
        """Our token had."""
        self._last(number)[1](Stored(TOKEN, [], False, 0))

    def late(self, number: int) -> None:
        self._last(number)[2]()

    def _last(self, number: int) -> tuple[Address, Told, Callable[[], None]]:
        return next(one for one in reversed(self.socket.stores) if one[0][1] == number)

    @property
    def is_enough(self) -> bool:
        return self.lookup.quorum_reached.done()


def a_record(mesh: bytes) -> Record:
    some = Record(
        kind="stt", backend="cpu", engine="echo", slots=1, idle=1, mesh=mesh,
        publisher=OWNER.public, sequence=1, issued=0, expires=120,
    )  # fmt: skip
    return sign(OWNER, some)


def test_the_tables_below_are_of_these_limits() -> None:
    assert (dht_limits.ALPHA, dht_limits.BUCKET, dht_limits.FULL_KEY_WITNESSES) == (4, 20, 8)
    assert (dht_limits.QUORUM, dht_limits.SHARD_DEPTH) == (2, 3)


@pytest.mark.parametrize(
    ("states", "given"),
    [
        ("????", []),
        ("~~~~~+", []),  # one from afar: those in between may name somebody closer
        ("+~~~", []),  # one of the four closest
        ("+~~+", [1, 4]),  # half of them
        ("~++~~+", [2, 3, 6]),  # and all others who have answered
        ("+s~x?", []),  # one of three that are not silent, closest first
        ("+sx+~~", [1, 4]),  # two of four that are not silent
        ("+", [1]),
        ("+~", [1]),
        ("+xxxs", [1]),  # it is the only one that is not silent
        ("xs", []),
        ("", []),
        ("+" * 22, list(range(1, 21))),  # a copy for each of the twenty closest
        ("x" * 5 + "+" * 22, list(range(6, 26))),
        ("+" * 19 + "~+", [*range(1, 20)]),  # the last but one may answer still
    ],
)
async def test_a_copy_goes_to_those_who_answered_once_half_of_the_closest_have(
    states: str, given: list[int]
) -> None:
    assert Walk(states).given() == given


async def test_each_is_sent_one_copy_however_often_the_walk_goes_on() -> None:
    walk = Walk("++~~")
    walk.answers(3)
    walk.took(1)
    walk.answers(4)
    assert walk.given() == [1, 2, 3, 4] and walk.lookup.sent_to == [
        walk.node(n).id for n in (1, 2, 3, 4)
    ]


async def test_who_refuses_is_not_asked_again_and_holds_nothing() -> None:
    walk = Walk("++++")
    walk.took(1, REFUSED)
    walk.took(2)
    assert walk.given() == [1, 2, 3, 4]
    assert [holder.distance for holder in walk.lookup.confirmed_holders()] == [2]
    assert (walk.lookup.accepted, walk.lookup.held) == (1, 1)


async def test_with_an_expired_token_a_copy_is_sent_once_more_and_only_once() -> None:
    walk = Walk("++~~")
    walk.expired(1)
    assert walk.given() == [1, 2, 1] and walk.node(1).token == TOKEN
    walk.expired(1)
    assert walk.given() == [1, 2, 1]


async def test_in_the_place_of_one_that_died_the_next_closest_gets_a_copy() -> None:
    walk = Walk("+" * 21)
    walk.silent(20)
    assert walk.given() == [*range(1, 21), 21]


async def test_in_the_place_of_one_that_is_late_the_next_closest_gets_a_copy_and_both_count() -> (
    None
):
    walk = Walk("+" * 21)
    walk.late(20)
    assert walk.given() == [*range(1, 21), 21]
    walk.took(20)
    walk.took(21)
    assert walk.lookup.held == 2


# -- when it is enough -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "needed"),
    [("+" * 20, 10), ("+" * 30, 10), ("+" * 12, 10), ("+" * 10, 10), ("+" * 9, 9), ("+", 1),
     ("+" * 6 + "x" * 14, 6), ("+" * 8 + "~~", 10)],
)  # fmt: skip
async def test_half_of_the_closest_are_enough_or_all_where_there_are_fewer(
    states: str, needed: int
) -> None:
    walk = Walk(states)
    given = walk.given()
    for done, number in enumerate(given, 1):
        assert walk.is_enough is (done > needed)
        walk.took(number)
    assert walk.is_enough is (len(given) >= needed)


async def test_a_walk_on_which_nobody_answers_ends_and_came_to_nothing() -> None:
    walk = Walk("xxx")
    assert walk.is_enough and walk.lookup.has_failed
    nobody = Walk("")
    assert nobody.is_enough and not nobody.lookup.has_failed, "there was nobody to take it"


async def test_where_the_only_one_is_late_it_is_not_enough_yet() -> None:
    assert not Walk("s", contacts=[("20.0.99.1", 5)]).is_enough


async def test_it_ends_when_all_were_sent_a_copy_and_told_what_became_of_it() -> None:
    walk = Walk("+++")
    for number in (1, 2, 3):
        assert not walk.lookup.ended.done()
        walk.took(number)
    assert walk.lookup.ended.done() and not walk.lookup.has_failed


@pytest.mark.parametrize("heard", [True, False])
async def test_who_is_late_is_waited_for_as_long_as_nobody_took_it_and_somebody_is_heard(
    heard: bool,
) -> None:
    walk = Walk("++", contacts=[("20.0.99.1", 5)] if heard else [])
    walk.late(1)
    walk.took(2, REFUSED)
    assert walk.lookup.ended.done() is not heard


# -- holders that are known from the last time -----------------------------------------------------


def holders(count: int) -> list[Candidate]:
    walked = Walk("+" * count)
    return walked.lookup.shortlist.candidates


async def test_known_holders_get_the_next_copy_at_once_and_are_asked_nothing_else() -> None:
    walk = Walk("", holders=holders(6))
    assert walk.given() == [1, 2, 3, 4, 5, 6]
    assert [candidate.state for candidate in walk.lookup.shortlist.candidates] == [ANSWERED] * 6


@pytest.mark.parametrize(("count", "asked"), [(1, 1), (4, 4), (5, 5), (12, 5)])
async def test_one_of_them_is_asked_who_has_come_and_not_one_of_the_closest(
    count: int, asked: int
) -> None:
    walk = Walk("", holders=holders(count), refresh=True)
    states = [candidate.state for candidate in walk.lookup.shortlist.candidates]
    assert states == [FLYING if number == asked else ANSWERED for number in range(1, count + 1)]
    assert walk.given() == ([number for number in range(1, count + 1) if number != asked])


# -- keys that have split --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "split", "given"),
    [
        ("+" * 9, "", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("+" * 9, "1 2 3 4", [1, 2, 3, 4, 5, 6, 7, 8, 9]),  # four of eight are not most
        ("+" * 9, "1 2 3 4 5", []),  # it belongs to a shard
        ("+" * 9, "9", [1, 2, 3, 4, 5, 6, 7, 8, 9]),  # only the eight closest are asked
        ("++~~", "1", []),  # those who may know better are waited for
        ("++~~", "", [1, 2]),
        ("+++++++++~", "1", [1, 2, 3, 4, 5, 6, 7, 8, 9]),  # the tenth is none of the eight
        ("+++", "1", [1, 2, 3]),
        ("+++", "1 2", []),
    ],
)
async def test_where_most_of_the_eight_closest_say_that_the_key_has_split_nobody_gets_a_copy(
    states: str, split: str, given: list[int]
) -> None:
    walk = Walk(states, split=split)
    assert walk.given() == given
    moved_on = not given and "~" not in states
    assert walk.lookup.split is moved_on
    assert walk.lookup.ended.done() is moved_on


@pytest.mark.parametrize("how", [{"deeper": True}, {"depth": 3}])
async def test_a_sample_of_a_split_key_and_the_deepest_shard_are_left_where_they_are(
    how: dict[str, Any],
) -> None:
    walk = Walk("+++", split="1 2 3", **how)
    assert walk.given() == [1, 2, 3] and not walk.lookup.split


async def test_once_somebody_took_it_the_others_get_it_whatever_they_say() -> None:
    walk = Walk("++~~")
    walk.took(1, split=True)
    walk.took(2, split=True)
    walk.answers(3)
    assert walk.given() == [1, 2, 3]


@pytest.mark.parametrize(
    ("fate", "split", "taken", "held"),
    [(HELD, False, 1, 1), (HELD, True, 1, 1), (FULL, True, 1, 0), (FULL, False, 0, 0),
     (REFUSED, False, 0, 0), (REFUSED, True, 0, 0)],
)  # fmt: skip
async def test_who_is_full_has_taken_it_where_the_key_has_split_and_lots_are_drawn(
    fate: int, split: bool, taken: int, held: int
) -> None:
    walk = Walk("++")
    walk.took(1, fate, split=split, total=500)
    assert (walk.lookup.accepted, walk.lookup.held) == (taken, held)
    assert walk.lookup.counts == [500] * taken
    assert len(walk.lookup.confirmed_holders()) == taken
