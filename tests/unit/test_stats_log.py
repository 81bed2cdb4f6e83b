"""The log line about the directory."""

from nodes.stats_log import summary

STATS = {
    "contacts": 76, "guest": False, "private": False, "rtt_ms": 93.4, "rtt_spread_ms": 30.2,
    "records": 1204, "lookups": 40, "cache_hits": 25, "last_lookup_requests": 7,
    "asked": 9000, "unanswered": 12, "sent": 9100, "received": 21_000, "dropped": {},
}  # fmt: skip


def test_an_owner_reads_what_their_node_knows_and_holds() -> None:
    assert summary(STATS) == (
        "76 contacts, round trips 93 ms (spread 30), 1,204 records held,"
        " 40 look-ups (25 from memory), asked 9,000 (12 unanswered), dropped: nothing"
    )


def test_an_owner_reads_what_was_dropped_and_why() -> None:
    line = summary({**STATS, "dropped": {"token": 3, "rate": 12_000}})
    assert line.endswith("dropped: rate 12,000, token 3")


def test_an_owner_of_a_private_mesh_reads_who_was_turned_away() -> None:
    line = summary({**STATS, "turned_away": {"tcp stranger": 3, "tcp replay": 1}})
    assert line.endswith("dropped: nothing; turned away: tcp replay 1, tcp stranger 3")
