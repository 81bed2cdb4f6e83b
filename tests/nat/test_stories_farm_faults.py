"""What happens to farms, to routers, and to whoever relies on them. Each with its bound."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .village import Answer, Node, Village, write_tone

FARMS = ("farm1", "farm2", "farm3")
PLAN = Plan(
    public=("first", "second", *FARMS, "client"),
    nats={"home": Nat(nats.PORT_RESTRICTED, ("laptop",))},
)
JOB = 2.0  # seconds that the slow echo takes
BACK = 20.0  # seconds in which a producer must be callable again, whatever happened
NOTICED = 300.0  # seconds in which a node must notice that its UDP goes nowhere any more
GIVE_UP = 4.0  # seconds after which one attempt to call it is given up for the next

pytestmark = [pytest.mark.timeout(150), pytest.mark.every_world]


class Home(Village):
    """A mesh with three farms and one producer in a home, parked at two of them."""

    laptop: Node

    def lend(self, *flags: str) -> tuple[str, ...]:
        """Start the producer; the farms it is parked at, in the order that clients try them."""
        self.laptop = self.node("laptop", *flags)
        return self.farms(self.laptop.published('relayed by [a-z2-7]+", "relayed'))

    def farms(self, routes: list[str]) -> tuple[str, ...]:
        hosts = {f"relayed by {self.nodes[host].peer[:8]}": host for host in FARMS}
        return tuple(hosts[route] for route in routes)

    def until_callable(self, call: Callable[[], Answer], seconds: float = BACK) -> float:
        """Call again and again; the seconds until a call was answered."""
        began = time.monotonic()
        while True:
            answer = call()
            if answer.code == 0:
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, answer.text


@pytest.fixture
def home(build_lab: BuildLab) -> Home:
    home = Home(build_lab(PLAN))
    home.open("first", "second", farms=FARMS)
    return home


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write_tone(tmp_path / "tone.wav", 1.0)


@pytest.mark.quiet
def test_a_farm_that_is_killed_idle_is_replaced_by_another_within_three_seconds(
    home: Home, tone: Path
) -> None:
    first, second = home.lend("--services", "stt/cpu/echo")
    here = home.laptop.program.here()
    home.nodes[first].program.kill()
    killed = time.monotonic()
    answer = home.transcribe("client", tone).answer()
    assert answer.code == 0, answer.text
    assert time.monotonic() - killed < 3.0, answer.text
    (third,) = set(FARMS) - {first, second}
    now = home.farms(home.laptop.published('relayed by [a-z2-7]+", "relayed', since=here))
    assert set(now) == {second, third}, "and the producer has moved on"


@pytest.mark.quiet
@pytest.mark.every_world("private-ipv4", "public-ipv46")
def test_a_farm_that_is_killed_in_mid_job_costs_time_and_not_the_job(
    home: Home, tone: Path
) -> None:
    first, second = home.lend("--services", f"stt/cpu/echo:{JOB}")
    asking = home.transcribe("client", tone)
    home.laptop.program.wait_for("stt begun")
    home.nodes[first].program.kill()
    answer = asking.answer()
    assert answer.code == 0, answer.text
    assert answer.transcript.endswith("to 1.00 seconds,"), "all that the slow echo says"
    assert answer.said["route"].removeprefix("relayed by ") in home.doors(second, 1776)
    assert answer.seconds < 2 * JOB + 3.0


@pytest.mark.soak
@pytest.mark.parametrize("how", ["blackhole", "freeze"])
def test_a_farm_that_falls_silent_is_left_within_twenty_seconds(home: Home, how: str) -> None:
    first, _ = home.lend("--services", "stt/cpu/echo")
    here = home.laptop.program.here()
    if how == "blackhole":
        home.lab.blackhole(first)
    else:
        home.nodes[first].program.freeze()
    silent = time.monotonic()
    routes = home.laptop.published(
        f'relayed by (?!{home.nodes[first].peer[:8]})[a-z2-7]+"', seconds=BACK, since=here
    )
    assert first not in home.farms(routes)
    assert time.monotonic() - silent < BACK


@pytest.mark.parametrize("how", ["reboot", pytest.param("readdress", marks=pytest.mark.soak)])
def test_a_producer_is_back_within_twenty_seconds_after_its_router_forgot_everything(
    home: Home, tone: Path, how: str
) -> None:
    home.lend("--services", "stt/cpu/echo")
    if how == "reboot":
        home.lab.nat_reboot("laptop")
    else:
        home.lab.nat_readdress("laptop")

    def call() -> Answer:
        return home.transcribe("client", tone, "--timeout", str(GIVE_UP)).answer()

    back = home.until_callable(call)
    print(f"laptop: a client was served {back:.1f} s after its router's {how}")
    assert back < BACK


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_a_producer_whose_network_begins_to_block_udp_goes_on_over_https(
    home: Home, tone: Path
) -> None:
    home.lend("--services", "stt/cpu/echo")
    home.lab.udp_loss("laptop", 1.0)
    home.laptop.event("udp_blocked", NOTICED)

    def call() -> Answer:
        return home.transcribe("client", tone, "--timeout", str(GIVE_UP)).answer()

    assert home.until_callable(call) < BACK


@pytest.mark.soak
def test_with_all_farms_down_for_a_minute_and_one_back_the_producer_is_back_too(
    home: Home, tone: Path
) -> None:
    first, _ = home.lend("--services", "stt/cpu/echo")
    for farm in FARMS:
        home.nodes[farm].program.kill()
    answer = home.transcribe("client", tone, "--timeout", "10").answer()
    assert answer.code in (4, 5), answer.text
    time.sleep(60)  # the minute that the story is about
    home.start(first, "--farm")

    def call() -> Answer:
        return home.transcribe("client", tone, "--timeout", str(GIVE_UP)).answer()

    assert home.until_callable(call, 60.0) < 60.0
