"""Options as flags, environment and file, through the real commands."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import client.cli
import nodes.cli
from client.config import ClientConfig
from client.options import EXIT_CODES, exit_code
from privox_dht import errors


@pytest.fixture
def log_fields(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the node would be run with."""
    seen: dict[str, Any] = {}

    async def serve(config: object) -> None:
        seen["config"] = config

    monkeypatch.setattr(nodes.cli, "serve", serve)
    return seen


def node(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(nodes.cli.main, arguments, env=env or {})


def test_flags_count_before_the_environment_and_that_before_the_file(
    log_fields: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "node.toml"
    file.write_text('network = "file"\nport = 1\nslots = 3\nneighbours = ["a:1", "b"]\n')
    env = {"PRIVOX_NETWORK": "environment", "PRIVOX_PORT": "2"}
    ran = node("--config", str(file), "--network", "flag", env=env)
    assert ran.exit_code == 0, ran.output
    config = log_fields["config"]
    assert (config.network, config.port, config.slots) == ("flag", 2, 3)
    assert config.neighbours == (("a", 1), ("b", 5678))


def test_the_file_itself_may_be_named_in_the_environment(
    log_fields: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "node.toml"
    file.write_text("slots = 4\nfarm = true\n")
    assert node(env={"PRIVOX_CONFIG": str(file)}).exit_code == 0
    assert (log_fields["config"].slots, log_fields["config"].farm) == (4, True)


def test_an_owner_may_change_any_limit(log_fields: dict[str, Any]) -> None:
    ran = node("--job-limits", "text=100,upload_rate=1", "--farm-limits", "producers=7")
    assert ran.exit_code == 0, ran.output
    assert log_fields["config"].bounds.text == 100
    assert log_fields["config"].terms.producers == 7


def test_a_file_may_give_limits_as_a_table(log_fields: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("[job-limits]\ntext = 100\nupload-rate = 1\n[farm_limits]\nproducers = 7\n")
    ran = node("--config", str(file))
    assert ran.exit_code == 0, ran.output
    config = log_fields["config"]
    assert (config.bounds.text, config.bounds.upload_rate) == (100, 1)
    assert config.terms.producers == 7


def test_neighbours_may_be_spelled_the_american_way_everywhere(
    log_fields: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "node.toml"
    file.write_text('neighbors = ["file:1"]\n')
    env = {"PRIVOX_NEIGHBORS": "environment:1"}
    for arguments, variables, host in (
        (("--config", str(file)), {}, "file"),
        (("--config", str(file)), env, "environment"),
        (("--neighbors", "flag:1"), env, "flag"),
    ):
        assert node(*arguments, env=variables).exit_code == 0
        assert log_fields["config"].neighbours == ((host, 1),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("neigbours = 1", "no option 'neigbours'; did you mean 'neighbours'?"),
        ("colour = 1", "no option 'colour'; there is: "),
        ("slots = ", "is not TOML"),
        ('slots = "many"', "'many' is not a valid integer"),
        ("[neighbours]\na = 1", "neighbours takes a list of texts, and is a table"),
        ("slots = [1]", "slots takes one value, and is a list"),
        ("neighbours = [[1]]", "neighbours takes a list of texts, and is a list"),
        ('farm = "yes"', 'farm takes true or false, and is "yes"'),
        ("slots = true", "slots takes a value, and is true"),
        ("[job-limits]\ncows = 1", "no limit 'cows'"),
        ("[privox-node]\nslots = 1", "no option 'privox-node'"),
    ],
)
def test_a_spoilt_file_is_named_with_what_is_wrong(
    log_fields: dict[str, Any], tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(content)
    ran = node("--config", str(file))
    assert ran.exit_code == 2
    assert said in ran.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--services", "sing/cpu"), "'sing' is no service"),
        (("--services", "stt"), "backend"),
        (("--neighbours", "host:x"), "is not host:port"),
        (("--advertise", "example.org"), "give an IPv4 or IPv6 address"),
        (("--advertise", "0.0.0.0"), "no node can reach"),
        (("--farm-limits", "cows=1"), "no limit 'cows'; there is: producers"),
        (("--job-limits", "text=many"), "'many' is not a number"),
        (("--job-limits", "text=0"), "above 0"),
        (("--slots", "0"), "0 is not in the range"),
        (("--port", "70000"), "70000"),
        (("--farm", "--port", "77", "--relay-port", "77"), "are both 77"),
        (("sing",), "No such command 'sing'"),
    ],
)
def test_impossible_flags_are_usage_errors_that_say_so(
    log_fields: dict[str, Any], arguments: Sequence[str], said: str
) -> None:
    ran = node(*arguments)
    assert ran.exit_code == 2
    assert said in ran.output


def test_help_shows_every_exit_code_and_an_example() -> None:
    for command in (nodes.cli.main, client.cli.main):
        shown = CliRunner().invoke(command, ["--help"]).output
        assert "--neighbours host:5678" in shown
        assert "Exit codes" in shown
    shown = " ".join(CliRunner().invoke(client.cli.main, ["--help"]).output.split())
    for code, what in EXIT_CODES.items():
        assert f"{code} {what}" in shown


def test_each_error_has_its_exit_code() -> None:
    for error, code in (
        (errors.ConfigError("x"), 2), (errors.NotJoined("x"), 3), (errors.NoProducer("x"), 4),
        (errors.AllProducersFailed("x"), 5), (errors.RequestRejected("x"), 6),
        (errors.AllProducersBusy("x"), 7),
        (errors.ProducerLost("x"), 5), (errors.PrivoxError("x"), 1),
    ):  # fmt: skip
        assert exit_code(error) == code


def test_list_takes_its_options_before_or_after_the_word(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ClientConfig] = []

    async def show(options: ClientConfig) -> None:
        seen.append(options)

    monkeypatch.setattr("client.listing.show", show)
    for arguments in (
        ("--neighbours", "a:1", "--json", "list", "--limit", "5"),
        ("list", "--neighbours", "a:1", "--json", "--limit", "5"),
    ):
        ran = CliRunner().invoke(client.cli.main, arguments)
        assert ran.exit_code == 0, ran.output
    assert [(o.neighbours, o.as_json, o.limit) for o in seen] == [(("a:1",), True, 5)] * 2


def test_json_logs_are_one_object_a_line_with_the_fields_of_events() -> None:
    import logging

    from privox_dht.cli.output import JsonFormatter, log_fields

    record = logging.LogRecord("privox.node", logging.INFO, "", 0, "hello %s", ("you",), None)
    record.__dict__.update(log_fields("listening", port=5))
    said = json.loads(JsonFormatter().format(record))
    assert (said["message"], said["event"], said["port"]) == ("hello you", "listening", 5)


def test_a_servers_key_on_the_command_line_is_warned_of_and_elsewhere_is_not(
    log_fields: dict[str, Any],
) -> None:
    services = "stt/cpu/https://s3cret@host"
    assert "every user of this machine can see" in node("--services", services).stderr
    assert (
        "every user of this machine can see" not in node(env={"PRIVOX_SERVICES": services}).stderr
    )
    assert "every user of this machine can see" not in node("--services", "stt/cpu").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--slots", "2"), "--slots does nothing without --services"),
        (("--farms", "a:1"), "--farms does nothing without --services"),
        (("--no-farm", "--relay-port", "5"), "--relay-port does nothing without a farm"),
        (("--services", "stt/cpu", "--slots", "2", "--relay-port", "5"), ""),
    ],
)
def test_a_flag_that_does_nothing_is_warned_of(
    log_fields: dict[str, Any], arguments: Sequence[str], said: str
) -> None:
    ran = node(*arguments)
    assert ran.exit_code == 0
    assert said in ran.stderr and ("does nothing" in ran.stderr) == bool(said)
