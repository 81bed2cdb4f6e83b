from privox_dht import limits
from privox_dht.dispatch.reputation import REMEMBERED, Manners


def test_a_lost_producer_is_left_alone_for_15_s_doubling_to_10_min():
    manners, now, bans = Manners(), 0.0, []
    for _ in range(8):
        bans.append(manners.lost("a", now))
    assert bans == [15, 30, 60, 120, 240, 480, 600, 600]


def test_a_ban_ends():
    manners = Manners()
    manners.lost("a", 100.0)
    assert manners.is_banned("a", 114.9)
    assert not manners.is_banned("a", 115.0)


def test_busy_is_not_dead():
    manners = Manners()
    manners.busy("a", 100.0, 2.0)
    assert not manners.is_banned("a", 100.0)
    assert manners.busy_for("a", 101.5) == 0.5
    assert manners.busy_for("a", 103.0) == 0.0


def test_a_producer_cannot_ask_to_be_left_alone_for_ever():
    manners = Manners()
    manners.busy("a", 0.0, 1e9)
    assert manners.busy_for("a", 0.0) == limits.WAIT


def test_a_job_well_done_forgives_everything():
    manners = Manners()
    manners.lost("a", 0.0)
    manners.good("a")
    assert not manners.is_banned("a", 0.0)
    assert manners.lost("a", 0.0) == limits.BAN_FIRST


def test_strangers_cannot_fill_memory():
    manners = Manners()
    for i in range(REMEMBERED * 2):
        manners.lost(f"peer {i}", 0.0)
    assert repr(manners) == f"<Manners of {REMEMBERED} producers>"
    assert manners.is_banned(f"peer {REMEMBERED * 2 - 1}", 0.0)
    assert not manners.is_banned("peer 0", 0.0)
