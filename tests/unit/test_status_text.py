"""What a node's owner reads of it."""

from typing import Any

from nodes.status_text import lines_of

NOW = 1_800_000_000.0
JOBS = {"running": 0, "turned_away": 0, "done": 0, "refused": 0, "failed": 0, "cancelled": 0}
IDLE: dict[str, Any] = {
    "peer": "abcdefghijkl", "network": "privox", "since": NOW - 5400, "reachable": "auto",
    "routes": [], "published": {}, "engines": [], "slots": 1, "idle": 1, "waiting": 0,
    "jobs": {**JOBS, "lost": 0}, "recent": [], "parked_at": [], "neighbours": [], "gateway": None,
    "dht": {"contacts": 0, "rtt_ms": 0.0, "records": 0},
}  # fmt: skip


def view(**changes: Any) -> str:
    return "\n".join(lines_of({**IDLE, **changes}, NOW))


def test_a_node_that_lends_nothing_says_so_and_for_how_long_it_is_there() -> None:
    assert "abcdefgh in the mesh 'privox', for 1.5 hours" in view()
    assert "lends       nothing" in view() and "slots" not in view()


def test_a_node_of_a_private_mesh_tells_who_was_turned_away() -> None:
    heard = {**IDLE["dht"], "dropped": {}, "turned_away": {}}
    told = view(private_mesh=True, dht=heard)
    assert "in the private mesh" in told and "turned away nobody" in told
    heard = {
        **heard, "dropped": {"stranger": 1200, "rate": 7}, "turned_away": {"tcp replay": 2},
    }  # fmt: skip
    farm = {"producers": 0, "calls": 0, "calls_total": 0, "carried_bytes": 0,
            "dropped": {"stale": 1, "late": 4}}  # fmt: skip
    told = view(private_mesh=True, dht=heard, farm=farm)
    assert "turned away relay stale 1, tcp replay 2, udp stranger 1,200" in told
    assert "turned away" not in view(dht=heard)


def test_what_is_wrong_is_told_first_and_with_what_to_do() -> None:
    told = view(wrong=["NOBODY CAN REACH THIS NODE: run a farm", "THE CLOCK IS WRONG: set it"])
    lines = told.splitlines()
    assert lines[1:3] == [
        "WRONG       NOBODY CAN REACH THIS NODE: run a farm",
        "WRONG       THE CLOCK IS WRONG: set it",
    ]
    assert "reachable   by nobody yet" in told and "WRONG" not in view()


def test_slots_queue_jobs_and_terms_are_told() -> None:
    engine = {"service": "stt", "backend": "cpu", "engine": "whisper", "models": ["small"]}
    jobs = {**IDLE["jobs"], "running": 2, "done": 1234, "lost": 1, "turned_away": 5}
    told = view(engines=[engine], slots=4, idle=2, waiting=3, jobs=jobs, lending="lends 4 of 4")
    assert "stt/cpu whisper (small)" in told
    assert "2 of 4 idle, 3 waiting" in told
    assert "2 running; 1,234 done, 1 lost; 5 turned away" in told
    assert "terms       lends 4 of 4" in told
    assert "others find nothing of it yet" in told


def test_farms_neighbours_and_what_is_relayed_are_told() -> None:
    farm = {"producers": 3, "calls": 1, "calls_total": 20, "carried_bytes": 3 << 20}
    contacts = [f"192.0.2.{n}:5678" for n in range(6)]
    told = view(
        parked_at=["192.0.2.9:1776"], farm=farm, neighbours=contacts,
        dht={"contacts": 6, "rtt_ms": 12.3, "records": 40},
    )  # fmt: skip
    assert "parked at   192.0.2.9:1776" in told
    assert "for 3 producers, 1 calls now, 20 in all, 3 MiB carried" in told
    assert "6, 12 ms away, 40 records held: 192.0.2.0:5678" in told and told.count("192.0.2.") == 5


def test_jobs_of_others_and_of_the_gateway_are_told_the_newest_first() -> None:
    job = {"service": "stt", "outcome": "done", "seconds": 1.5, "sound": 3.0, "producers": ["abc"]}
    service = {"producers": 2, "idle": 1, "slots": 3, "running": 1, "waiting": 0}
    gateway = {
        "urls": ["http://127.0.0.1:5600/"], "services": {"stt": service}, "outcomes": IDLE["jobs"],
        "jobs": [{**job, "at": NOW - 1}],
    }  # fmt: skip
    recent = [{**job, "at": NOW - n, "outcome": "failed", "sound": 0.0} for n in range(5, 30)]
    lines = view(gateway=gateway, recent=recent).split("\n")
    head, first, second = lines[lines.index("") + 1 :][:3]
    assert "http://127.0.0.1:5600/" in view(gateway=gateway)
    assert "stt: 2 producers, 1 of 3 slots idle; from here 1 running" in view(gateway=gateway)
    assert head == "last jobs"
    assert "gateway " in first and "3.0 s of sound" in first and first.endswith("abc")
    assert "lent " in second and "failed" in second
