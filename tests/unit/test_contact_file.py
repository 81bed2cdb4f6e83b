"""Contacts across restarts: each set of neighbours and each mesh name has its own."""

import json
from pathlib import Path

import pytest

from privox_dht.dht import dht_limits
from privox_dht.dht.contact_file import FOLDER, ContactFile

A, B = ("a.example", 5678), ("b.example", 5678)
HERE, THERE = ("192.0.2.1", 5678), ("192.0.2.2", 5678)
NOW = 1_760_000_000.0


def kept(state: Path, *named: tuple[str, int], network: str = "privox") -> ContactFile:
    return ContactFile.choose(state, network, named)


def test_contacts_come_back_the_latest_seen_first_then_the_neighbours(tmp_path: Path) -> None:
    kept(tmp_path, A).save([(HERE, NOW - 9), (THERE, NOW - 5)], NOW)
    assert kept(tmp_path, A).known(NOW) == [THERE, HERE, A]


def test_contacts_met_through_other_neighbours_are_not_known(tmp_path: Path) -> None:
    kept(tmp_path, A).save([(HERE, NOW)], NOW)
    kept(tmp_path).save([(HERE, NOW)], NOW)
    assert kept(tmp_path, B).known(NOW) == [B]
    assert kept(tmp_path, A, B).known(NOW) == [A, B]


def test_contacts_of_a_mesh_of_another_name_are_not_known(tmp_path: Path) -> None:
    kept(tmp_path, A).save([(HERE, NOW)], NOW)
    assert kept(tmp_path, A, network="other").known(NOW) == [A]
    assert kept(tmp_path, network="other").known(NOW) == []


def test_the_order_and_the_case_of_neighbours_do_not_matter(tmp_path: Path) -> None:
    kept(tmp_path, A, B).save([(HERE, NOW)], NOW)
    assert kept(tmp_path, ("B.Example", 5678), A).known(NOW)[0] == HERE


def test_without_neighbours_it_is_those_of_the_last_time(tmp_path: Path) -> None:
    assert kept(tmp_path).known(NOW) == []
    kept(tmp_path, A).save([(HERE, NOW)], NOW)
    kept(tmp_path, B).save([(THERE, NOW)], NOW + 1)
    assert kept(tmp_path).known(NOW) == [THERE, B]
    kept(tmp_path, A).save([(HERE, NOW)], NOW + 2)
    assert kept(tmp_path).neighbours == (A,)


def test_who_was_met_otherwise_is_kept_beside_those_that_are_there(tmp_path: Path) -> None:
    kept(tmp_path, A).save([(HERE, NOW)], NOW)
    kept(tmp_path, A).add([THERE], NOW + 1)
    assert kept(tmp_path, A).known(NOW) == [THERE, HERE, A]


def test_contacts_not_seen_for_a_month_are_left_out(tmp_path: Path) -> None:
    kept(tmp_path, A).save([(HERE, NOW)], NOW)
    assert kept(tmp_path, A).known(NOW + dht_limits.CONTACTS_KEPT_FOR) == [A]


def test_only_so_many_sets_are_kept_and_the_one_used_longest_ago_goes(tmp_path: Path) -> None:
    for number in range(dht_limits.CONTACT_FILES_KEPT + 2):
        kept(tmp_path, (f"n{number}.example", 5678)).save([(HERE, NOW)], NOW + number)
    assert len(list((tmp_path / FOLDER).iterdir())) == dht_limits.CONTACT_FILES_KEPT
    assert not kept(tmp_path, ("n1.example", 5678)).path.exists()
    assert kept(tmp_path, ("n2.example", 5678)).path.exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 2}', '{"version": 2, "contacts": [5]}', '{"version": 1}'],
)
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str) -> None:
    damaged = kept(tmp_path, A)
    damaged.save([(HERE, NOW)], NOW)
    damaged.path.write_text(content)
    assert damaged.known(NOW) == [A]
    assert kept(tmp_path).known(NOW) == []
    damaged.add([THERE], NOW)
    assert damaged.known(NOW) == [THERE, A]


def test_of_a_damaged_file_the_owner_is_told_at_the_start_and_not_each_time_others_are_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that a power cut had emptied was a warning every five minutes, for ever."""
    damaged = kept(tmp_path, A)
    damaged.save([(HERE, NOW)], NOW)
    damaged.path.write_text("")
    kept(tmp_path, B).save([(HERE, NOW)], NOW)
    assert not caplog.records
    assert kept(tmp_path).neighbours == (B,) and str(damaged.path) in caplog.text
    for number in range(dht_limits.CONTACT_FILES_KEPT):
        kept(tmp_path, (f"n{number}.example", 5678)).save([(HERE, NOW)], NOW)
    assert not damaged.path.exists()


def test_addresses_that_are_nobodys_are_left_out(tmp_path: Path) -> None:
    file = kept(tmp_path, A)
    file.save([(HERE, NOW)], NOW)
    content = json.loads(file.path.read_text())
    content["contacts"] += [{"host": "a.name", "port": 1, "seen": NOW},
                            {"host": "192.0.2.3", "port": 0, "seen": NOW}]  # fmt: skip
    file.path.write_text(json.dumps(content))
    assert file.known(NOW) == [HERE, A]


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file stands there")
    kept(tmp_path, A).save([(HERE, NOW)], NOW)
    assert kept(tmp_path, A).known(NOW) == [A]
