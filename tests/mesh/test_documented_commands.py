"""Every command in the README and on the pages does what it says, as it stands there.

`documented_mesh.py` says what is bound to what, `documented.py` why some cannot run here. What
installs something is run by `test_documented_installs.py`, nodes by `test_documented_nodes.py`.
"""

import json
import re
import shutil
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
from documented_mesh import SPOKEN, Mesh, is_node
from running import Lab

from nodes.cli import main as node_program

pytestmark = pytest.mark.timeout(180)
COMMANDS = [command for page in PAGES for command in documented.commands(page)]
BLOCKS = [block for page in PAGES for block in documented.blocks(page)]
HERE = [command for command in documented.to_run() if not documented.installs(command)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
COMPLETION = {
    "bash": ("", "COMP_WORDS=({program} --he) COMP_CWORD=1; _{function}_completion {program};"
                 ' echo "${{COMPREPLY[*]}}"'),
    "zsh": ("autoload -U compinit; compinit -D; ", "echo ${{_comps[{program}]}}"),
    "fish": ("", 'complete -C "{program} --he"'),
}  # fmt: skip


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("pages")
    with Lab(tmp_path_factory.mktemp("mesh"), "--farm", "--relay-port", "0") as lab:
        lab.first.wait_for("farming")
        mesh = Mesh(lab, folder)
        mesh.lend()
        yield mesh


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
    assert made["Parrot"]().info.engine == "parrot"


def test_every_file_of_options_on_the_pages_is_one_that_a_node_reads(tmp_path: Path) -> None:
    tables = [block for block in BLOCKS if block.language == "toml"]
    assert tables
    for block in tables:
        assert tomllib.loads(block.text)
        config = tmp_path / "node.toml"
        config.write_text(block.text)
        result = CliRunner().invoke(node_program, ["--config", str(config), "--help"])
        assert result.exit_code == 0, result.output
