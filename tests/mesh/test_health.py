"""`privox-node health`: what the image's health check asks."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import HOST
from running import Lab

pytestmark = pytest.mark.timeout(60)


def health(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """One run of the check, as the image does it: the folder stands in the environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PRIVOX_")}
    return subprocess.run(
        [sys.executable, "-m", "nodes.cli", "health", *arguments],
        env={**environment, "PRIVOX_STATE_DIR": str(folder), **settings},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as lab:
        yield lab


def test_health_follows_the_port_the_network_and_the_config_file(lab: Lab, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text('network = "elsewhere"\n')
    node = lab.node("other", "--config", str(config))
    said = node.wait_for("listening")
    assert said["port"] not in (lab.port, 5678)
    for name, event in (("first", lab.first.events["listening"]), ("other", said)):
        ran = health(lab.folder / name, PRIVOX_PORT="9", PRIVOX_NETWORK="wrong")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert f"UDP {event['port']} and TCP {event['job_port']}" in ran.stdout
    told = json.loads((lab.folder / "other" / "listening.json").read_text())
    assert told["network"] == "elsewhere"


def test_a_node_that_hangs_is_unhealthy(lab: Lab) -> None:
    os.kill(lab.first.process.pid, signal.SIGSTOP)
    try:
        ran = health(lab.folder / "first")
    finally:
        os.kill(lab.first.process.pid, signal.SIGCONT)
    assert ran.returncode == 1
    assert "through localhost" in ran.stderr or f"through {HOST}" in ran.stderr


def test_another_key_at_the_port_is_unhealthy(lab: Lab) -> None:
    folder = lab.folder / "first"
    node = lab.node("other")
    node.wait_for("listening")
    taken = json.loads((lab.folder / "other" / "listening.json").read_text())
    told = json.loads((folder / "listening.json").read_text())
    (folder / "listening.json").write_text(json.dumps({**told, "job_port": taken["job_port"]}))
    ran = health(folder)
    assert ran.returncode == 1
    assert "another key answers" in ran.stderr


def test_where_no_node_runs_the_check_says_which_folder_it_looked_into(
    lab: Lab, tmp_path: Path
) -> None:
    ran = health(tmp_path / "nowhere")
    assert ran.returncode == 1
    assert str(tmp_path / "nowhere") in ran.stderr
    lab.first.stop()
    assert health(lab.folder / "first").returncode == 1, "the node took its word back"


def test_published_waits_until_others_hold_what_the_node_lends(lab: Lab) -> None:
    assert health(lab.folder / "first", "--published").returncode == 0, "it lends nothing"
    producer = lab.producer("a", "tts/cpu/echo,stt/cpu/echo")
    producer.wait_for("published")
    ran = health(lab.folder / "a", "--published")
    while ran.returncode and "nobody can find its" in ran.stderr:  # one kind is out, one is not
        ran = health(lab.folder / "a", "--published")
    assert ran.stdout.endswith("; others find its stt, tts\n")
    lonely = lab.node("lonely", "--services", "tts/cpu/echo", "--network", "elsewhere")
    lonely.wait_for("listening")
    assert health(lab.folder / "lonely").returncode == 0
    ran = health(lab.folder / "lonely", "--published")
    assert ran.returncode == 1
    assert "nobody can find its tts" in ran.stderr
