"""The farm's decisions: who may park, who gets which line, what is overdue. No socket, no clock.

The table tells stories: each step is something that happens, and what the switchboard wants done.
"""

import itertools
import random
from typing import Any

import pytest

from privox_dht.relay import FarmLimits, Timeouts, relay_limits
from privox_dht.relay.farm.actions import Close, Rejected, Send
from privox_dht.relay.farm.switchboard import Switchboard

TERMS = FarmLimits(
    producers=3,
    idle_lines=2,
    lines=3,
    producers_per_address=2,
    calls_per_address=2,
    call_bytes=1000,
    call_seconds=100,
    buffered=500,
)
ANA, BEN, CAY, DAN = (bytes([n]) * 32 for n in range(4))  # producers' keys
HOME, OFFICE = b"athome..", b"atwork.."  # instances: two machines


class Farm:
    """A switchboard, and words to tell it what happens."""

    def __init__(self, *, files: int = 100, capped: bool = True, **terms: int) -> None:
        numbers = itertools.count(1)
        changed = {name: terms.get(name, getattr(TERMS, name)) for name in TERMS.__slots__}
        self.board = Switchboard(
            FarmLimits(**changed),
            Timeouts(),
            lambda: f"t{next(numbers)}",
            lambda prefixes: "-",
            files=files,
            capped=capped,
        )
        self.now = 0.0

    def control(self, who: str, key: bytes, instance: bytes = HOME, place: str = "p") -> list[str]:
        self.board.connection_opened(who, (f"{place}/32",), self.now)
        return told(self.board.admit(who, key, instance, self.now))

    def line(self, who: str, token: str, place: str = "p") -> list[str]:
        self.board.connection_opened(who, (f"{place}/32",), self.now)
        return told(self.board.park(who, token))

    def call(self, who: str, key: bytes, place: str = "c") -> list[str]:
        self.board.connection_opened(who, (f"{place}/32",), self.now)
        call, actions = self.board.claim(who, key, self.now)
        return [f"{call.client}+{call.line}", *told(actions)]

    def gone(self, who: str, token: str) -> list[str]:
        return told(self.board.line_failed(who, token))

    def lost(self, who: str) -> list[str]:
        return told(self.board.connection_closed(who))

    def drain(self) -> list[str]:
        return told(self.board.drain(30))

    def at(self, now: float) -> list[str]:
        self.now = now
        return told(self.board.tick(now))

    def hear(self, who: str) -> list[str]:
        self.board.touch(who, self.now)
        return []


def told(actions: list[Send | Close]) -> list[str]:
    """Actions as one reads them."""
    return [
        f"{e.to}: {' '.join(e.message)}"
        if isinstance(e, Send)
        else f"drop {e.connection} {e.reason}"
        for e in actions
    ]


PARK_ANA: list[tuple[str, tuple[Any, ...], list[str]]] = [
    ("control", ("ana", ANA), ["ana: granted 2 3", "ana: token t1", "ana: token t2"]),
    ("line", ("l1", "t1"), ["ana: parked t1"]),
    ("line", ("l2", "t2"), ["ana: parked t2"]),
]
STORIES: dict[str, list[tuple[str, tuple[Any, ...], list[str]]]] = {
    "a call takes the line that has waited for longest, and a token replaces it": [
        *PARK_ANA,
        ("call", ("c1", ANA), ["c1+l1", "ana: claimed t1 -", "ana: token t3"]),
        ("line", ("l3", "t3"), ["ana: parked t3"]),
        ("call", ("c2", ANA), ["c2+l2", "ana: claimed t2 -", "ana: full"]),
        ("lost", ("c1",), []),
        ("lost", ("l1",), ["ana: token t4"]),
        ("line", ("l4", "t4"), ["ana: parked t4"]),
    ],
    "without an idle line there is no call": [
        *PARK_ANA,
        ("call", ("c1", ANA, "x"), ["c1+l1", "ana: claimed t1 -", "ana: token t3"]),
        ("call", ("c2", ANA, "y"), ["c2+l2", "ana: claimed t2 -", "ana: full"]),
        ("call", ("c3", ANA, "z"), ["refused line"]),
        ("call", ("c4", BEN, "z"), ["refused unknown"]),
    ],
    "a line that hangs up while parked is replaced": [
        *PARK_ANA,
        ("lost", ("l1",), ["ana: token t3"]),
        ("call", ("c1", ANA), ["c1+l2", "ana: claimed t2 -", "ana: token t4"]),
    ],
    "a producer gives up a line, or a token, and gets another": [
        *PARK_ANA,
        ("gone", ("ana", "t1"), ["drop l1 gone"]),
        ("lost", ("l1",), ["ana: token t3"]),
        ("gone", ("ana", "t3"), ["ana: token t4"]),
        ("gone", ("ana", "t3"), []),
        ("gone", ("stranger", "t4"), []),
    ],
    "a token is good once, and only while its control line stands": [
        *PARK_ANA,
        ("line", ("l3", "t1"), ["refused token"]),
        ("line", ("l4", "t9"), ["refused token"]),
        ("lost", ("l1",), ["ana: token t3"]),
        ("lost", ("ana",), ["drop l2 control"]),
        ("line", ("l5", "t3"), ["refused token"]),
    ],
    "when its control line is lost, a producer's calls go on": [
        *PARK_ANA,
        ("call", ("c1", ANA), ["c1+l1", "ana: claimed t1 -", "ana: token t3"]),
        ("lost", ("ana",), ["drop l2 control"]),
        ("call", ("c2", ANA), ["refused unknown"]),
        ("lost", ("c1",), []),
        ("lost", ("l1",), []),
    ],
    "one key, two machines: the newest wins, and the older is told": [
        *PARK_ANA,
        (
            "control",
            ("ana2", ANA, OFFICE),
            [
                "ana: superseded",
                "drop l1 superseded",
                "drop l2 superseded",
                "drop ana superseded",
                "ana2: granted 2 3",
                "ana2: token t3",
                "ana2: token t4",
            ],
        ),
        ("lost", ("ana",), []),
        ("line", ("l3", "t3"), ["ana2: parked t3"]),
        ("call", ("c1", ANA), ["c1+l3", "ana2: claimed t3 -", "ana2: token t5"]),
    ],
    "calls of a superseded machine do not count for the new one": [
        *PARK_ANA,
        ("call", ("c1", ANA), ["c1+l1", "ana: claimed t1 -", "ana: token t3"]),
        (
            "control",
            ("ana2", ANA, OFFICE),
            [
                "ana: superseded",
                "drop l2 superseded",
                "drop ana superseded",
                "ana2: granted 2 3",
                "ana2: token t4",
                "ana2: token t5",
            ],
        ),
        ("lost", ("l1",), []),
        ("lost", ("c1",), []),
    ],
    "an address has so many producers": [
        ("control", ("ana", ANA), ["ana: granted 2 3", "ana: token t1", "ana: token t2"]),
        ("control", ("ben", BEN), ["ben: granted 2 3", "ben: token t3", "ben: token t4"]),
        ("control", ("cay", CAY), ["refused address 300"]),
        ("lost", ("ana",), []),
        ("control", ("cay2", CAY), ["cay2: granted 2 3", "cay2: token t5", "cay2: token t6"]),
    ],
    "an address does not get more producers by having them move there": [
        ("control", ("ana", ANA), ["ana: granted 2 3", "ana: token t1", "ana: token t2"]),
        ("control", ("ben", BEN), ["ben: granted 2 3", "ben: token t3", "ben: token t4"]),
        (
            "control",
            ("cay", CAY, HOME, "q"),
            ["cay: granted 2 3", "cay: token t5", "cay: token t6"],
        ),
        ("control", ("cay2", CAY), ["refused address 300"]),
        ("lost", ("ana",), []),
        ("lost", ("cay2",), []),
        (
            "control",
            ("cay3", CAY),
            [
                "cay: superseded",
                "drop cay superseded",
                "cay3: granted 2 3",
                "cay3: token t7",
                "cay3: token t8",
            ],
        ),
    ],
    "a producer may come back although its address has no room for others": [
        ("control", ("ana", ANA), ["ana: granted 2 3", "ana: token t1", "ana: token t2"]),
        ("control", ("ben", BEN), ["ben: granted 2 3", "ben: token t3", "ben: token t4"]),
        (
            "control",
            ("ben2", BEN),
            [
                "ben: superseded",
                "drop ben superseded",
                "ben2: granted 2 3",
                "ben2: token t5",
                "ben2: token t6",
            ],
        ),
    ],
    "a farm has so many producers": [
        ("control", ("a", ANA, HOME, "1"), ["a: granted 2 3", "a: token t1", "a: token t2"]),
        ("control", ("b", BEN, HOME, "2"), ["b: granted 2 3", "b: token t3", "b: token t4"]),
        ("control", ("c", CAY, HOME, "3"), ["c: granted 2 3", "c: token t5", "c: token t6"]),
        ("control", ("d", DAN, HOME, "4"), ["refused full 60"]),
    ],
    "an address has so many calls": [
        *PARK_ANA,
        ("call", ("c1", ANA), ["c1+l1", "ana: claimed t1 -", "ana: token t3"]),
        ("line", ("l3", "t3"), ["ana: parked t3"]),
        ("call", ("c2", ANA), ["c2+l2", "ana: claimed t2 -", "ana: full"]),
        ("call", ("c3", ANA), ["refused address"]),
        ("lost", ("l1",), []),
        ("lost", ("c1",), ["ana: token t4"]),
        ("line", ("l4", "t4"), ["ana: parked t4"]),
        ("call", ("c4", ANA), ["c4+l3", "ana: claimed t3 -", "ana: full"]),
    ],
    "the last idle line is for a network without a call": [
        *PARK_ANA,
        ("call", ("c1", ANA), ["c1+l1", "ana: claimed t1 -", "ana: token t3"]),
        ("call", ("c2", ANA), ["refused line"]),
        ("lost", ("c2",), []),
        ("call", ("c3", ANA, "elsewhere"), ["c3+l2", "ana: claimed t2 -", "ana: full"]),
    ],
    "a call that says nothing loses its line after three seconds": [
        *PARK_ANA,
        ("call", ("c1", ANA), ["c1+l1", "ana: claimed t1 -", "ana: token t3"]),
        ("at", (2.9,), []),
        ("at", (3.0,), ["drop c1 silent", "drop l1 silent"]),
        ("at", (3.1,), []),
    ],
    "who does not say what it is within five seconds is dropped": [
        ("line", ("l1", "t1"), ["refused token"]),
        ("at", (4.9,), []),
        ("at", (5.0,), ["drop l1 late"]),
        ("lost", ("l1",), []),
        ("at", (6.0,), []),
    ],
    "pings go out every ten seconds, and fifteen seconds of silence are death": [
        *PARK_ANA,
        ("at", (9.9,), []),
        ("at", (10.0,), ["ana: ping"]),
        ("at", (14.0,), []),
        ("hear", ("ana",), []),
        ("at", (20.0,), ["ana: ping"]),
        ("at", (28.9,), []),
        ("at", (29.0,), ["drop ana silence"]),
        ("lost", ("ana",), ["drop l1 control", "drop l2 control"]),
    ],
    "a farm that drains says so, and takes nobody and nothing more": [
        *PARK_ANA,
        ("call", ("c1", ANA), ["c1+l1", "ana: claimed t1 -", "ana: token t3"]),
        ("drain", (), ["ana: draining 30"]),
        ("call", ("c2", ANA), ["refused draining"]),
        ("control", ("ben", BEN), ["refused draining 60"]),
    ],
}


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.replace(" ", "_"))
def test_story(story: str) -> None:
    farm = Farm()
    for verb, words, wanted in STORIES[story]:
        try:
            done = getattr(farm, verb)(*words)
        except Rejected as refusal:
            done = [f"refused {refusal.reason}" + (f" {refusal.wait}" if refusal.wait else "")]
        assert done == wanted, (verb, words, farm.board)


def parked_farm(**changes: Any) -> Farm:
    farm = Farm(**changes)
    for verb, words, _ in PARK_ANA:
        getattr(farm, verb)(*words)
    return farm


def test_a_switchboard_says_how_it_is() -> None:
    farm = parked_farm()
    farm.call("c1", ANA)
    farm.board.connection_opened("somebody", ("x/32",), 0.0)
    farm.drain()
    assert repr(farm.board) == (
        "<Switchboard 1 producers, 1 lines parked, 1 calls, 1 in handshake, draining>"
    )


def test_two_machines_that_take_turns_are_refused_and_the_one_that_stands_stays() -> None:
    farm = Farm()
    for n in range(relay_limits.FLAPS + 1):
        farm.control(f"m{n}", ANA, HOME if n % 2 else OFFICE)
    with pytest.raises(Rejected, match="flapping"):
        farm.control("late", ANA, b"third...")
    assert farm.board.producers[ANA].control == f"m{relay_limits.FLAPS}"
    farm.now = relay_limits.FLAP_WINDOW
    assert "late2: granted 2 3" in farm.control("late2", ANA, b"third...")


def test_one_machine_may_come_back_as_often_as_its_network_drops_it() -> None:
    farm = Farm()
    for n in range(20):
        assert f"m{n}: granted 2 3" in farm.control(f"m{n}", ANA, HOME)


def test_at_the_limit_of_files_nobody_parks_but_a_call_still_comes_through() -> None:
    farm = parked_farm(files=8, idle_lines=3)  # a reserve of one: ana, l1, l2 are three
    for n in range(4):
        farm.board.connection_opened(f"x{n}", ("q/32",), 0.0)
    assert farm.line("l3", "t3") == ["ana: full", "drop l3 full"]
    farm.lost("l3")
    with pytest.raises(Rejected, match="full"):
        farm.control("ben", BEN)
    farm.lost("ben")
    assert farm.call("c1", ANA)[0] == "c1+l1"
    with pytest.raises(Rejected, match="full"):
        farm.board.connection_opened("beyond", ("q/32",), 0.0)


def test_an_address_cannot_fill_the_door() -> None:
    farm = Farm(files=10_000)
    for n in range(relay_limits.FARM_HANDSHAKES_PER_ADDRESS):
        farm.board.connection_opened(n, ("x/32",), 0.0)
    with pytest.raises(Rejected, match="handshakes"):
        farm.board.connection_opened("one more", ("x/32",), 0.0)
    farm.board.connection_opened("somebody else", ("y/32",), 0.0)


def test_where_everybody_has_one_address_there_are_no_caps_per_address() -> None:
    farm = Farm(capped=False)
    for n, key in enumerate((ANA, BEN, CAY)):
        farm.control(str(n), key)
    assert len(farm.board.producers) == 3


def test_a_hundred_calls_at_once_never_share_a_line() -> None:
    farm = parked_farm(capped=False, files=200)
    got = []
    for n in range(100):
        try:
            got.append(farm.call(f"c{n}", ANA)[0].split("+")[1])
        except Rejected as refusal:
            assert refusal.reason == "line"
    assert sorted(got) == ["l1", "l2"]


def test_nothing_is_left_of_strangers_whatever_they_do() -> None:
    """A thousand random lives; when all are gone, every table is empty again."""
    rng = random.Random(3)
    farm = Farm(files=200, producers=50)
    alive: list[str] = []
    tokens = [f"t{n}" for n in range(400)]
    for n in range(3000):
        who, farm.now = f"w{n}", n / 10
        alive.append(who)
        acts = [
            lambda w=who: farm.control(
                w, bytes([rng.randrange(9)]) * 32, rng.choice([HOME, OFFICE])
            ),
            lambda w=who: farm.line(w, rng.choice(tokens)),
            lambda w=who: farm.call(w, bytes([rng.randrange(9)]) * 32, rng.choice("abc")),
        ]
        try:
            rng.choice(acts)()
        except Rejected:
            pass
        for action in farm.board.tick(farm.now):
            if isinstance(action, Close) and action.connection in alive:
                alive.remove(action.connection)
                farm.board.connection_closed(action.connection)
        while len(alive) > 60:
            farm.board.connection_closed(alive.pop(rng.randrange(len(alive))))
    for who in alive:
        farm.board.connection_closed(who)
    board = farm.board
    left = [
        board._handshakes, board._handshake_quota._taken, board._producer_quota._taken,
        board._call_quota._taken, board._line_quota._taken, board._controls,
        board._last_seen, board._pinged, board._tokens, board._lines, board.producers,
        board.calls.open, board.calls._by_side, board.calls._silent, board.calls._behind,
    ]  # fmt: skip
    assert board.connections == board._handshake_quota.in_use == board._call_quota.in_use == 0
    assert not any(left), left


def test_one_network_cannot_hold_every_line_of_a_producer() -> None:
    """A home with an IPv4 address and an IPv6 /48 calls as often as it can: others get through."""
    farm = Farm(files=10_000, idle_lines=3, lines=64, calls_per_address=32)
    farm.control("producer", ANA)
    home: list[tuple[str, ...]] = [("20.1.1.1/32", "20.1.1.0/24")]
    home += [(f"2001:db8:1:{n:x}::/64", f"2001:db8:1:{n >> 8:x}00::/56", "2001:db8:1::/48")
             for n in range(0, 4096, 64)]  # fmt: skip
    held = 0
    for turn, prefixes in enumerate(home * 40):
        for token in list(farm.board.producers[ANA].tokens):
            farm.line(f"line {turn} {token}", token)
        farm.board.connection_opened(turn, prefixes, 0.0)
        try:
            farm.board.claim(turn, ANA, 0.0)
            held += 1
        except Rejected:
            farm.board.connection_closed(turn)
    print(f"{held} of {FarmLimits().lines} lines are the home's")
    assert held == 3 * relay_limits.FARM_LINES_PER_ADDRESS
    farm.board.connection_opened("somebody else", ("20.9.9.9/32", "20.9.9.0/24"), 0.0)
    farm.board.claim("somebody else", ANA, 0.0)
