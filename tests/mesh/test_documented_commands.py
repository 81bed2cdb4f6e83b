"""Every command in the README and on the pages does what it says, as it stands there.

`documented.py` says what is bound to what, and why some cannot run here. What installs something
is run by `test_documented_installs.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documented
import pytest
from click.testing import CliRunner
from documented import DRAWINGS, NOT_HERE, PAGES, PROSE, Command
from kit import HOST
from running import Lab

from nodes.cli import main as node_program
from nodes.options import config_from

pytestmark = pytest.mark.timeout(180)
SPOKEN = "Good morning everybody"  # the sentence of the README
COMMANDS = [command for page in PAGES for command in documented.commands(page)]
BLOCKS = [block for page in PAGES for block in documented.blocks(page)]
HERE = [command for command in documented.to_run() if not documented.installs(command)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
OF_A_FOLDER = ("health", "resume", "status")  # commands that speak to the node of a folder
COMPLETION = {
    "bash": ("", "COMP_WORDS=({program} --he) COMP_CWORD=1; _{function}_completion {program};"
                 ' echo "${{COMPREPLY[*]}}"'),
    "zsh": ("autoload -U compinit; compinit -D; ", "echo ${{_comps[{program}]}}"),
    "fish": ("", 'complete -C "{program} --he"'),
}  # fmt: skip


class Mesh:
    """A mesh for the pages: what their placeholders mean in it, and a folder to run commands in."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.farm = lab.first.events["farming"]["port"]
        lab.producer("direct", "stt/cpu/pocketsphinx,tts/cpu/espeak-ng")
        lab.producer("parked", "stt/cpu/pocketsphinx,tts/cpu/espeak-ng", "--reachable", "no")
        serving = lab.node("gateway", "--gateway", f"{HOST}:0").wait_for("gateway")
        self.gateway = serving["port"]
        for name in ("meeting.ogg", "morning.wav"):
            ran = self.run(f"privox-client --service tts --text '{SPOKEN}' --output {name}")
            assert ran.returncode == 0, ran.stderr
        self._found_private_mesh()
        (folder / "letter.txt").write_text(SPOKEN)
        (folder / "book.txt").write_text(f"{SPOKEN}. " * (5000 // len(SPOKEN)))
        (folder / "bin").mkdir()
        player = folder / "bin/pw-play"  # machines that test have no loudspeaker
        player.write_text('#!/bin/sh\ntest "$(head -c 4 "$1")" = RIFF\n')
        player.chmod(0o755)

    def _found_private_mesh(self) -> None:
        """One beside it, with the secret of docs/private.md."""
        self.secret = self.lab.folder / "friends.secret"
        assert self.run(f"privox-node secret new {self.secret}").returncode == 0
        told = ("--network", "friends", "--secret-file", str(self.secret), "--neighbours", "")
        first = self.lab.node("friend", *told)
        self.friend = first.wait_for("listening")["port"]
        self.lab.producer("friend's", "stt/cpu/pocketsphinx", *told[:-1], f"{HOST}:{self.friend}")

    def bound(self, text: str) -> str:
        """A command with its placeholders filled in."""
        kind = "relayed" if "--proxy" in text else "direct"
        record = next(r for r in self.lab.listed() if _routes(r, kind)) if "<pin>" in text else {}
        bindings = {
            "0.0.0.0:10300": f"{HOST}:0",
            "0.0.0.0:5601": f"{HOST}:0",
            "--gateway\n": f"--gateway {HOST}:0\n",
            "--gateway --privox-ports 1776,1777": f"--gateway {HOST}:0 --privox-ports 0,0",
            "127.0.0.1:5600": f"{HOST}:{self.gateway}",
            "host:5678": f"{HOST}:{self.lab.port}",
            "friend:5678": f"{HOST}:{self.friend}",
            "--secret-file friends.secret": f"--secret-file {self.secret}",
            "<farm>:1776": f"{HOST}:{self.farm}",
            "<pin>": record.get("pin", ""),
            "<peer id>": record.get("peer", ""),
        }
        if kind == "direct" and record:
            (route,) = _routes(record, kind)
            bindings["<host>:<port>"] = f"{route['host']}:{route['port']}"
        text += "\n"
        for placeholder, meant in bindings.items():
            text = text.replace(placeholder, meant)
        return text.rstrip("\n")

    def environment(self, text: str) -> dict[str, str]:
        """What surrounds a command: nothing of this machine's owner, and no fixed port."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PRIVOX_")}
        bin_folder = str(Path(sys.executable).parent)
        a_nodes = any(f"privox-node {name}" in text for name in OF_A_FOLDER)
        state = self.lab.folder / "direct" if a_nodes else self.folder / f"state-{hash(text)}"
        joins = text.startswith("privox-client") or " doctor" in text
        there = {"PRIVOX_NEIGHBOURS": f"{HOST}:{self.lab.port}"} if joins else {}
        return {
            **kept, **there, "PATH": f"{self.folder}/bin:{bin_folder}:{os.environ['PATH']}",
            "HOME": str(self.folder), "PRIVOX_STATE_DIR": str(state), "PRIVOX_HOST": HOST,
            "PRIVOX_PORT": "0", "PRIVOX_RELAY_PORT": "0", "PRIVOX_JSON_LOGS": "1",
        }  # fmt: skip

    def run(self, text: str, *shell: str) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            [*(shell or ("bash", "-c")), text], cwd=self.folder, env=self.environment(text),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False,
        )  # fmt: skip

    def start(self, text: str) -> subprocess.Popen[str]:
        """One command that goes on; the shell becomes it, so that signals arrive."""
        return subprocess.Popen(
            ["bash", "-c", f"exec {text}"], cwd=self.folder, env=self.environment(text),
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


def _routes(record: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [r for r in record["routes"] if r["kind"] == kind] if record["service"] != "farm" else []


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("pages")
    with Lab(tmp_path_factory.mktemp("mesh"), "--farm", "--relay-port", "0") as lab:
        lab.first.wait_for("farming")
        yield Mesh(lab, folder)


# -- what the pages hold ---------------------------------------------------------------------------


def test_every_block_of_a_page_is_commands_code_or_a_known_drawing() -> None:
    unknown = [
        f"{block.page}:{block.line} {block.text.splitlines()[0]}"
        for block in BLOCKS
        if not block.is_shell
        and block.language not in (*PROSE, "python", "toml", "ini")
        and not (
            block.language is None and block.text.lstrip().startswith(DRAWINGS.get(block.page, ()))
        )
    ]
    assert unknown == [], "neither commands (documented.PROGRAMS) nor in documented.DRAWINGS"


def test_every_line_of_a_block_of_commands_is_a_command() -> None:
    """A line whose program is unknown would be run without anybody having thought of it."""
    unknown = [str(command) for command in COMMANDS if not documented.is_command(command.text)]
    assert unknown == []


def test_every_reason_not_to_run_a_command_is_that_of_one() -> None:
    idle = [start for start in NOT_HERE if not any(c.text.startswith(start) for c in COMMANDS)]
    assert idle == [], "no page has these any more"
    assert len(HERE) > 20


# -- commands --------------------------------------------------------------------------------------


NO_NODES = {"doctor", "health", "key", "models", "resume", "secret", "status", "--help"}


def is_node(text: str) -> bool:
    """Whether a command is a node that runs until it is ended."""
    words = text.split()
    return words[0] == "privox-node" and not NO_NODES & set(words)


@pytest.mark.parametrize(
    "command",
    [c for c in HERE if not is_node(c.said) and "_COMPLETE=" not in c.text],
    ids=str,
)
def test_a_command_ends_well_and_leaves_the_file_that_it_names(
    mesh: Mesh, command: Command
) -> None:
    ran = mesh.run(mesh.bound(command.text))
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    for name in re.findall(r"(?:--output|-o|[^-]>) ([\w.]+)", command.text):
        assert (mesh.folder / name).stat().st_size > 0
    if "transcriptions" in command.text:
        assert json.loads(ran.stdout)["text"].strip() == SPOKEN.lower()


@pytest.mark.parametrize("command", [c for c in HERE if is_node(c.said)], ids=str)
def test_a_node_of_the_pages_starts_and_publishes_what_it_lends(
    mesh: Mesh, command: Command
) -> None:
    joins = "host:5678" in command.text or "friend:5678" in command.text
    wanted = "published" if joins and "--" in command.text else "listening"
    wanted = "gateway" if "--gateway" in command.text else wanted
    node = mesh.start(mesh.bound(command.text))
    try:
        assert node.stderr is not None
        said = (json.loads(line) for line in node.stderr if line.startswith("{"))
        events = (line.get("event") for line in said)
        assert wanted in events, "it ended without having said so"
        node.send_signal(signal.SIGTERM)
        assert node.wait(20) == 0
    finally:
        node.kill()
        node.communicate()


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if c.why_not_here in (documented.GPU, documented.HUB)],
    ids=str,
)
def test_a_node_that_cannot_run_here_is_told_nothing_that_is_refused(command: Command) -> None:
    words = command.said.split()
    context = node_program.make_context(words[0], words[1:])
    assert config_from(context.params).services


@pytest.mark.parametrize("command", [c for c in HERE if "_COMPLETE=" in c.text], ids=str)
def test_the_shell_completes_options_after_the_line_that_the_page_gives(
    mesh: Mesh, command: Command
) -> None:
    (shell,) = re.findall(r"_COMPLETE=(\w+)_source", command.text)
    if shutil.which(shell) is None:
        pytest.skip(f"cannot be had here: {shell}")
    before, after = COMPLETION[shell]
    line = command.said
    for program in ("privox-client", "privox-node"):
        function = program.replace("-", "_")
        ours = line.replace("privox-client", program).replace("PRIVOX_CLIENT", function.upper())
        asked = after.format(program=program, function=function)
        options = ["--no-config"] if shell == "fish" else ["-f"] if shell == "zsh" else ["--norc"]
        ran = mesh.run(f"{before}{ours}\n{asked}", shell, *options, "-c")
        said = "completion" if shell == "zsh" else "--help"
        assert said in ran.stdout, f"{ran.stdout}\n{ran.stderr}"


# -- code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block", [b for b in PYTHON if "host:5678" in b.text], ids=lambda b: f"{b.page}:{b.line}"
)
def test_an_example_in_python_hears_again_what_it_had_spoken(
    mesh: Mesh, block: documented.Block
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", mesh.bound(block.text)], env=mesh.environment("python"),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.stdout.strip(), ran.stderr) == (SPOKEN.lower(), "")
    comments = re.findall(r"print\(.*\)  # (.*)", block.text)
    assert set(comments) <= {SPOKEN.lower()}


def test_the_other_examples_in_python_can_be_run() -> None:
    for block in PYTHON:
        inside = "\n".join(f"    {line}" for line in block.text.splitlines())
        compile(f"async def example():\n{inside}", f"{block.page}:{block.line}", "exec")
    (parrot,) = [block for block in PYTHON if "class Parrot" in block.text]
    made: dict[str, Any] = {}
    exec(parrot.text, made)
    assert made["Parrot"]().ability.engine == "parrot"


def test_every_file_of_options_on_the_pages_is_one_that_a_node_reads(tmp_path: Path) -> None:
    tables = [block for block in BLOCKS if block.language == "toml"]
    assert tables
    for block in tables:
        assert tomllib.loads(block.text)
        config = tmp_path / "node.toml"
        config.write_text(block.text)
        result = CliRunner().invoke(node_program, ["--config", str(config), "--help"])
        assert result.exit_code == 0, result.output
