"""Where a bad value comes from is said, and what a misspelled variable should have been."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

import client.cli
import nodes.cli
from privox_dht.cli.groups import _known, misspelled

PROGRAMS = {"client": client.cli.main, "node": nodes.cli.main}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("arguments", [(), ("--state-dir", "x")])
def test_a_bad_value_of_a_variable_is_said_with_its_name(
    name: str, arguments: Sequence[str], tmp_path: Path
) -> None:
    env = {"PRIVOX_LOG_LEVEL": "loud"}
    ran = CliRunner().invoke(PROGRAMS[name], arguments, env=env)
    assert ran.exit_code == 2
    assert "(from PRIVOX_LOG_LEVEL)" in ran.stderr


def test_a_bad_value_of_a_subcommand_too() -> None:
    ran = CliRunner().invoke(client.cli.main, ["list"], env={"PRIVOX_LIMIT": "many"})
    assert ran.exit_code == 2
    assert "(from PRIVOX_LIMIT)" in ran.stderr


def test_a_bad_value_of_a_file_is_said_to_be_from_it_and_one_of_a_flag_is_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.toml"
    file.write_text('log-level = "loud"\n')
    ran = CliRunner().invoke(client.cli.main, ["--config", str(file)])
    assert "'loud'" in ran.stderr and "(from the --config file)" in ran.stderr
    ran = CliRunner().invoke(client.cli.main, ["--log-level", "loud"])
    assert "'loud'" in ran.stderr and "(from" not in ran.stderr


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PRIVOX_NEIGHBOR", "PRIVOX_NEIGHBORS"),
        ("PRIVOX_NEIGHBOURZ", "PRIVOX_NEIGHBOURS"),
        ("PRIVOX_NETWORKS", "PRIVOX_NETWORK"),
        ("PRIVOX_LOGLEVEL", "PRIVOX_LOG_LEVEL"),
    ],
)
def test_a_misspelled_variable_is_said_with_the_right_one(variable: str, meant: str) -> None:
    ran = CliRunner().invoke(client.cli.main, [], env={variable: "x"})
    assert f"{variable} means nothing: {meant} does\n" in ran.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_variables_of_both_programs_may_stand_side_by_side(name: str) -> None:
    everything = {f"PRIVOX_{known}": "" for group in PROGRAMS.values() for known in _known(group)}
    assert misspelled(everything, "PRIVOX", _known(PROGRAMS[name])) == []
    assert misspelled({"NEIGHBOR": "", "OTHER": ""}, "PRIVOX", _known(PROGRAMS[name])) == []
