"""What an owner says about lending, by flags, in the environment and in a file."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from nodes.cli import main
from nodes.lending import LendingTerms
from nodes.lending_hours import parse_hours
from nodes.lending_options import cores_in
from nodes.options import config_from

PEER = "a" * 51 + "q"


def terms(tmp_path: Path, *arguments: str, **environment: str) -> LendingTerms:
    """What a node with these options would keep to."""
    seen: dict[str, Any] = {}
    runner, told = CliRunner(env=environment), ["--state-dir", str(tmp_path), *arguments]
    with runner.isolation(env=environment), main.make_context("privox-node", told) as context:
        seen.update(context.params)
    return config_from(seen).lending


def test_nothing_is_said_by_default(tmp_path: Path) -> None:
    assert terms(tmp_path) == LendingTerms()


def test_a_flag_a_variable_and_a_file_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        'lend-hours = ["22:00-07:00", "sat 00:00-24:00"]\ncores = 0.5\ngive-way = true\n'
        f'transfer = "50GB"\naddress-seconds = 600\nallow-peer = ["{PEER}"]\n'
    )
    expected = LendingTerms(
        hours=parse_hours(["22:00-07:00", "sat 00:00-24:00"]),
        cores=0.5,
        give_way=True,
        transfer=50 * 10**9,
        address_seconds=600,
        allow_peers=frozenset({PEER}),
    )
    assert terms(tmp_path, "--config", str(file)) == expected
    flags = ("--lend-hours", "22:00-07:00,sat 00:00-24:00", "--cores", "50%", "--give-way",
             "--transfer", "50GB", "--address-seconds", "600", "--allow-peer", PEER)  # fmt: skip
    assert terms(tmp_path, *flags) == expected
    assert expected == terms(
        tmp_path, PRIVOX_LEND_HOURS="22:00-07:00,sat 00:00-24:00", PRIVOX_CORES=".5",
        PRIVOX_GIVE_WAY="1", PRIVOX_TRANSFER="50GB", PRIVOX_ADDRESS_SECONDS="600",
        PRIVOX_ALLOW_PEER=PEER,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "cores"), [("2", 2), ("1", 1), ("0.5", 0.5), (".25", 0.25), ("75%", 0.75)]
)
def test_cores_are_a_number_or_a_share(text: str, cores: float) -> None:
    assert cores_in(text) == cores and type(cores_in(text)) is type(cores)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "0.0", "0%", "101%", "half", "", "2 cores"])
def test_what_is_neither_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter, match="neither a number of cores nor a share"):
        terms(tmp_path, f"--cores={text}")


def test_help_has_a_section_for_lenders() -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    assert shown.index("\nOptions:") < shown.index("\nWhen and how much it lends:")
    assert shown.index("\nWhen and how much it lends:") < shown.index("--lend-hours")
    assert shown.index("--give-way") < shown.index("\nCommands:")
    of_doctor = CliRunner().invoke(main, ["doctor", "--help"]).stdout
    assert "\nWhen and how much it lends:" in of_doctor
