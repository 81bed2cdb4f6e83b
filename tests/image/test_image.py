"""The image, built and run: what docs/install.md, the README and the compose files say of it.

`tests/image.sh` builds it and runs these in a mount and a network namespace of their own. `docker`
is `container_engine.py` here, so that the pages' commands are run as they stand there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import container_engine
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif("TEST_IMAGE_FOLDER" not in os.environ, reason="tests/image.sh runs these"),
]
PAGE = (ROOT / "docs/install.md").read_text()
NAME = "privox-under-test"
HERE = "10.77.0.1"  # an address of this machine that containers reach
FIRST = f"{HERE}:7777"  # the first node of a mesh, beside the containers of a page
SPOKEN = "good morning everybody"
WALLS = (
    "--read-only",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
)


@pytest.fixture(scope="module", autouse=True)
def program(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`docker` on the PATH, and none of this machine's settings."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "docker").write_text(
        f'#!/bin/sh\nexec {sys.executable} {container_engine.__file__} "$@"\n'
    )
    (folder / "docker").chmod(0o755)
    sudo = folder / "sudo"
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    os.environ["PRIVOX_STATE_DIR"] = str(folder / "state")  # of the clients here
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    subprocess.run(["ip", "address", "add", f"{HERE}/32", "dev", "lo"], check=False)


Sh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sh(tmp_path: Path) -> Iterator[Sh]:
    """Run a command of the pages in an empty folder; containers it leaves are removed."""

    def run(
        command: str, cwd: Path = tmp_path, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], cwd=cwd, env={**os.environ, **settings}, text=True,
            capture_output=True, timeout=240, check=False,
        )  # fmt: skip

    yield run
    removal = container_engine.podman("rm", "--all", "--force", "--time", "1", "--volumes")
    subprocess.run(removal, check=False, capture_output=True)


def started(sh: Sh, options: str, command: str = "") -> None:
    """A container of the image, in the background."""
    ran = sh(f"docker run --detach --name {NAME} {options} privox-dht {command}")
    assert ran.returncode == 0, ran.stderr


def becomes_well(sh: Sh, within: float = 60) -> None:
    """Until the image's own health check ends with 0."""
    deadline = time.monotonic() + within
    while (ran := sh(f"docker healthcheck run {NAME}")).returncode:
        if time.monotonic() > deadline:
            raise AssertionError(f"{ran.stdout}{ran.stderr}\n{sh(f'docker logs {NAME}').stderr}")
        time.sleep(0.2)


def page_command(beginning: str) -> str:
    """The command of docs/install.md that begins so."""
    text = re.sub(r"\\\n\s*", "", PAGE)
    (line,) = re.findall(rf"^    ({re.escape(beginning)}.*)$", text, re.M)
    return str(line)


def test_a_change_of_our_code_changes_a_layer_of_less_than_4_mb(sh: Sh) -> None:
    history = json.loads(sh("docker history --human=false --format json privox-dht").stdout)
    copied = [layer for layer in history if "COPY" in layer["CreatedBy"]]
    (needs,) = [int(x["size"]) for x in copied if x["CreatedBy"].split()[-1] == "/opt/privox"]
    (code,) = [int(x["size"]) for x in copied if "/opt/privox-dht" in x["CreatedBy"]]
    packed = "tar -cz /opt/privox-dht 2>/dev/null | wc -c"  # as registries hold it
    fetched = int(sh(f"docker run --rm privox-dht sh -c '{packed}'").stdout)
    print(f"needs {needs / 1e6:.1f} MB, code {code / 1e6:.1f} MB, packed {fetched / 1e6:.1f}")
    assert fetched < 3_000_000 and code < 4_000_000 < needs


def test_it_runs_as_nobody_special_without_capabilities_on_a_root_that_takes_no_file(
    sh: Sh,
) -> None:
    ran = sh(
        f"docker run --rm {' '.join(WALLS)} privox-dht sh -c "
        '\'id --user; grep -c "^Cap.*0000000000000000$" /proc/self/status;'
        " touch /x /opt/x || true'"
    )
    assert ran.stdout.split() == ["5678", "5"]
    assert ran.stderr.count("Read-only file system") == 2


def test_no_compiler_and_no_source_of_a_dependency_was_needed(sh: Sh) -> None:
    ran = sh("docker run --rm privox-dht sh -c 'command -v gcc cc; find /opt -name \"*.tar.gz\"'")
    assert ran.stdout == ""


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ("", "privox-node --port 7000 --network elsewhere"),
        ("--env PRIVOX_PORT=7001 --env PRIVOX_NETWORK=elsewhere", ""),
    ],
)
def test_the_health_check_follows_the_port_and_the_network(
    sh: Sh, options: str, command: str
) -> None:
    started(sh, f"{' '.join(WALLS)} {options}", command)
    becomes_well(sh)


def test_the_health_check_follows_the_config_file_that_the_page_mounts(
    sh: Sh, tmp_path: Path
) -> None:
    (tmp_path / "node.toml").write_text('port = 7002\nnetwork = "elsewhere"\n')
    command = page_command("docker run --volume ./node.toml")
    ran = sh(command.replace("docker run", f"docker run --detach --name {NAME}"))
    assert ran.returncode == 0, ran.stderr
    becomes_well(sh)


def test_a_node_that_hangs_is_not_well(sh: Sh) -> None:
    started(sh, "--init")
    becomes_well(sh)
    frozen = sh(f"docker exec {NAME} sh -c 'kill -STOP $(cat /proc/1/task/1/children)'")
    assert frozen.returncode == 0, frozen.stderr
    assert sh(f"docker healthcheck run {NAME}").returncode == 1


def test_sigterm_ends_a_node_within_three_seconds_with_exit_code_0(sh: Sh) -> None:
    started(sh, " ".join(WALLS), "privox-node --services stt/cpu,tts/cpu")
    becomes_well(sh)
    began = time.monotonic()
    ran = sh(f"docker stop --time 20 {NAME} && docker wait {NAME}")
    taken = time.monotonic() - began
    print(f"ended after {taken:.1f} s, podman included")
    assert ran.stdout.split()[-1] == "0"
    assert taken < 3 + 5, "podman's own time included"
    assert "stopped" in sh(f"docker logs {NAME}").stderr


def test_a_folder_of_another_user_says_what_to_do_and_the_pages_commands_do_it(
    sh: Sh, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "theirs").mkdir(mode=0o700)
    ran = sh("docker run --rm --volume ./theirs:/var/lib/privox privox-dht")
    assert ran.returncode == 2
    assert "belongs to user 0, and this node runs as user 5678" in ran.stderr
    assert "sudo chown -R 5678:5678" in ran.stderr
    made = sh(page_command("mkdir -p state"))
    assert made.returncode == 0, made.stderr
    name = f"docker run --detach --name {NAME}"
    for beginning in ("docker run --volume ./state", "docker run --user"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        ran = sh(page_command(beginning).replace("docker run", name))
        assert ran.returncode == 0, ran.stderr
        becomes_well(sh)
        sh(f"docker rm --force --time 1 {NAME}")
    assert list((tmp_path / "state").glob("key.pem"))
    assert list((tmp_path / "mine").glob("key.pem"))


def test_the_compose_mesh_speaks_and_hears(sh: Sh) -> None:
    """The README's command: a first node, two producers, and a client that runs once."""
    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"^    (docker compose up .*?)\s*(?:#.*)?$", readme, re.M)
    try:
        ran = sh(command, ROOT)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert ran.stdout.splitlines()[-1].strip() == SPOKEN
    finally:
        sh("docker compose down", ROOT)


@pytest.fixture
def first_node(tmp_path: Path) -> Iterator[None]:
    """A mesh to join, outside the containers."""
    node = subprocess.Popen(
        [sys.executable, "-m", "nodes.cli", "--no-farm", "--host", HERE, "--port", "7777",
         "--state-dir", str(tmp_path / "first")], cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield
    node.terminate()
    node.wait()


def client(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of this machine's `privox-client`."""
    return subprocess.run(
        [sys.executable, "-m", "client.cli", "--neighbours", FIRST, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("file", "service"), [("lend", "producer"), ("farm", "farm")])
def test_the_compose_files_that_the_page_gives_lend_and_relay(
    sh: Sh, first_node: None, tmp_path: Path, file: str, service: str
) -> None:
    command = page_command(f"PRIVOX_NEIGHBOURS=host:5678 docker compose --file deploy/{file}.yml")
    rest = f"docker compose --file deploy/{file}.yml"
    try:
        ran = sh(command.replace("host:5678", FIRST), ROOT)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        asked = f"{rest} exec {service} privox-node health --published"
        deadline = time.monotonic() + 90
        while (well := sh(asked, ROOT, PRIVOX_NEIGHBOURS=FIRST)).returncode:
            assert time.monotonic() < deadline, well.stdout + well.stderr
            time.sleep(0.2)
        listed = client("list", "--json")
        kinds = {record["service"] for record in json.loads(listed.stdout)["records"]}
        assert kinds >= ({"stt", "tts"} if file == "lend" else {"farm"})
        if file == "lend":
            wav = str(tmp_path / "s.wav")
            spoken = client("--service", "tts", "--text", SPOKEN, "--output", wav)
            assert spoken.returncode == 0, spoken.stderr
            assert client("--service", "stt", "--file", wav).stdout.strip() == SPOKEN
        most = sh(
            f"{rest} exec {service} sh -c "
            "'cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes /sys/fs/cgroup/memory.peak'",
            ROOT, PRIVOX_NEIGHBOURS=FIRST,
        ).stdout.split()  # fmt: skip
        print(f"{file}: {[int(number) >> 20 for number in most]} MiB at most")
    finally:
        sh(f"{rest} down", ROOT, PRIVOX_NEIGHBOURS=FIRST)


def test_the_command_without_compose_lends_too(sh: Sh, first_node: None) -> None:
    command = page_command("docker run --detach --restart").replace("host:5678", FIRST)
    ran = sh(command.replace("docker run", f"docker run --name {NAME}"))
    assert ran.returncode == 0, ran.stderr
    deadline = time.monotonic() + 90
    while (well := sh(f"docker exec {NAME} privox-node health --published")).returncode:
        assert time.monotonic() < deadline, well.stdout + well.stderr
        time.sleep(0.2)
    assert re.search("others find its (farm, )?stt, tts", well.stdout)
