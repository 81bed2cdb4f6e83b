"""The DHT in virtual time: beside stock kademlia, under attack, with nodes that come and go.

No socket and no waiting: a loop whose clock jumps and a network in memory (`bench/sim`). The same
seed gives the same run. Sizes here are small; `bench/dht_*.py` have the full ones.
"""

import asyncio
import functools

import pytest

from bench import dht_churn, dht_sim
from bench.sim import attacks, crowd, figures, virtual
from privox_dht import limits
from privox_dht.dht import dht_limits
from privox_dht.dht.record_store import RecordStore

NODES = 80  # of which the ordinary run has meshes
soak = [pytest.mark.soak, pytest.mark.timeout(3 * 3600)]  # a day of churn takes an hour and a half
pytestmark = pytest.mark.usefixtures("quick")


def rows(world: str, nodes: int, dead: list[float], **more: object) -> list[dict[str, float]]:
    options = {"gets": 40, "seed": 3, "watch": False, **more}
    return [result.row() for result in dht_sim.simulate(world, nodes, dead, **options)]  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_run() -> None:
    once, again = (rows("ours", 40, [0.3]) for _ in range(2))
    assert once == again
    assert once != rows("ours", 40, [0.3], seed=4)


@functools.cache
def every_share(nodes: int) -> list[dict[str, float]]:
    """Ours with none, 30, 50 and 70 % dead: one mesh for all who ask."""
    return rows("ours", nodes, [0.0, 0.3, 0.5, 0.7])


sizes = pytest.mark.parametrize("nodes", [NODES, pytest.param(120, marks=soak)])


@pytest.mark.timeout(120)
@sizes
def test_finding_and_publishing_take_a_fraction_of_stock_kademlias_time(nodes: int) -> None:
    healthy, third = figures.ratios([*rows("stock", nodes, [0.0, 0.3]), *every_share(nodes)])
    assert healthy["get_p50"] <= 0.60  # one round trip each: a mesh this small hides the rest
    assert healthy["get_p95"] <= 0.50
    assert healthy["put_p50"] <= 0.45
    assert third["get_p50"] <= 0.05 and third["get_p95"] <= 0.05
    assert third["put_p50"] <= 0.05


@sizes
def test_with_half_of_the_mesh_dead_everything_is_found_within_a_second(nodes: int) -> None:
    _, _, half, most = every_share(nodes)
    assert half["found"] == 1.0 and half["found_within_1s"] >= 0.9
    assert most["found"] >= 0.97  # of twenty holders six live; of 120 nodes 36


@sizes
def test_with_lost_datagrams_publishing_does_not_wait_for_long_timeouts(nodes: int) -> None:
    (lossy,) = rows("ours", nodes, [0.0], loss=0.02)
    assert lossy["stored"] == 1.0 and lossy["put_p50"] < 0.5 and lossy["found"] == 1.0


@sizes
def test_what_is_published_is_seen_by_all_within_half_a_second(nodes: int) -> None:
    (healthy,) = dht_sim.simulate("ours", nodes, [0.0], gets=10, seed=5)
    assert healthy.visible["0.5"] == healthy.visible["1.5"] == 1.0


def test_a_machine_that_never_stops_talking_is_choked() -> None:
    """Stock kademlia hands its values over at every message of a node it has no place for, and so
    at every answer to that: without a bound two of its nodes would hold the clock for ever."""
    air = virtual.Air(1)

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("20.0.0.7", 1)
        )
        for _ in range(2):
            for _ in range(virtual.UPLINK + 10):
                transport.sendto(b"and another thing", ("20.0.1.7", 1))
            await asyncio.sleep(1.0)

    virtual.run(air, talk)
    assert air.choked == 20


@pytest.mark.timeout(120)
@pytest.mark.parametrize("nodes", [150, pytest.param(300, marks=soak)])
def test_in_a_planted_mesh_everything_is_found(nodes: int) -> None:
    (healthy,) = rows("ours", nodes, [0.0], planted=True)
    assert healthy["found"] == 1.0 and healthy["stored"] == 1.0


@pytest.mark.parametrize(
    ("nodes", "seed"), [(60, 3), pytest.param(1_000, 5, marks=soak)], ids=["quick", "full"]
)
@pytest.mark.parametrize("world", ["stock", "ours"])
def test_planted_tables_are_as_large_as_those_of_nodes_that_joined(
    world: str, nodes: int, seed: int
) -> None:
    """With the seeds 3, 4 and 7 a thousand nodes of stock answer one another without end, and with
    any seed they do not find all that there is."""
    (planted,), (joined,) = (
        rows(world, nodes, [0.0], planted=how, seed=seed) for how in (True, False)
    )
    assert planted["contacts"] == pytest.approx(joined["contacts"], rel=0.1)
    least = 1.0 if world == "ours" or nodes == 60 else 0.9
    assert min(planted["found"], joined["found"]) >= least


@pytest.mark.parametrize(
    ("nodes", "keys"), [(80, 3), pytest.param(300, 10, marks=soak)], ids=["quick", "full"]
)
def test_forty_sybils_of_one_network_beside_a_key_do_not_hide_it(nodes: int, keys: int) -> None:
    found, tried = attacks.eclipse(nodes, 40, keys, 10)
    assert found >= 0.98 * tried


@pytest.mark.parametrize(
    ("nodes", "looks"), [(100, 200), pytest.param(1_000, 500, marks=soak)], ids=["quick", "full"]
)
def test_with_a_third_of_the_mesh_lying_the_truth_is_found_and_no_lie_believed(
    nodes: int, looks: int
) -> None:
    found, newest, believed = attacks.liars(nodes, 0.3, looks)
    assert believed == 0
    assert found >= newest >= 0.99 * looks


@pytest.mark.parametrize(
    ("nodes", "producers"),
    [(40, 150), pytest.param(200, 10_000, marks=soak)],
    ids=["quick", "full"],
)
def test_every_producer_under_one_key_is_found_by_a_fresh_client(
    nodes: int, producers: int
) -> None:
    found, requests, _ = attacks.crowd(nodes, producers)
    assert found == producers and requests < 1.5 * producers


@pytest.fixture
def small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that split as soon as a test has enough producers for it."""
    for name, number in (("SPLIT_AT", 24), ("SPLIT_STAYS", 6), ("SAMPLE", 48)):
        monkeypatch.setattr(dht_limits, name, number)
    usual = RecordStore.__init__.__kwdefaults__
    assert usual
    monkeypatch.setitem(usual, "split_at", 24)


@pytest.mark.usefixtures("small_keys")
def test_a_key_that_is_full_splits_and_clients_follow_without_being_told() -> None:
    found, requests, _ = attacks.crowd(30, 90)
    assert found == 90 and requests < 400  # sixteen shards are walked to, whatever is in them


@pytest.mark.usefixtures("small_keys")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "seed", [1, 13, *(pytest.param(seed, marks=soak) for seed in range(14, 29))]
)
def test_of_a_crowd_only_a_sample_announces_to_the_key_and_all_of_it_is_found(seed: int) -> None:
    """With seed 1 half of the rows that a holder counted had expired: their pages came empty, and
    the look-up went on to every shard. With 13 half of the eight that should know whether the key
    has split had only been met on the way, so that 89 of 240 were found."""
    seen = crowd.crowd(60, 240, seed=seed)
    assert set(seen.levels) <= {1, 2}
    assert 24 <= seen.in_sample <= 120, "48, and whoever came before it split"
    assert seen.few_found >= 32 and seen.few_requests <= 40, "one look-up"
    assert seen.all_found == seen.producers


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_who_wants_all_of_a_key_that_has_split_reads_its_sample_from_one_holder() -> None:
    """One holder after the other was read, since each knew somebody new who had just come: all of
    the look-up's 2,600 requests were spent when 562 of a thousand had been found."""
    seen = crowd.crowd(100, 1_000)
    assert seen.all_found == seen.producers
    assert seen.all_requests <= 1.5 * seen.producers


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_hundred_thousand_producers_are_found_and_nobody_is_told_of_too_many() -> None:
    seen = crowd.crowd(10_000, 100_000)
    assert seen.few_found == seen.few_idle == limits.FIND_WANT
    assert seen.puts_a_second <= 20.0
    assert seen.all_found >= 0.99 * seen.producers


@pytest.mark.parametrize(
    ("nodes", "producers", "seconds", "life"),
    [(80, 40, 240.0, 1200.0), pytest.param(1_000, 200, 86_400.0, 3600.0, marks=soak)],
    ids=["quick", "full"],
)
def test_producers_that_come_and_go_are_found_while_they_live(
    nodes: int, producers: int, seconds: float, life: float
) -> None:
    seen = dht_churn.simulate(nodes, producers, seconds, life=life).row()
    assert seen["found_mean"] >= 0.99
    assert seen["dead_mean"] < 0.03 * max(1.0, 3600.0 / life)
