"""Every node in the README and on the pages starts as it stands there, and lends what it says."""

import json
import signal
from collections.abc import Iterator

import documented
import pytest
from documented import PAGES, Command
from documented_mesh import Mesh, is_node
from running import Lab

from nodes.cli import main as node_program
from nodes.options import config_from

pytestmark = pytest.mark.timeout(180)
COMMANDS = [command for page in PAGES for command in documented.commands(page)]
HERE = [command for command in documented.to_run() if not documented.installs(command)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """With the keys that the pages have made for it."""
    with Lab(tmp_path_factory.mktemp("mesh"), "--farm", "--relay-port", "0") as lab:
        lab.first.wait_for("farming")
        mesh = Mesh(lab, tmp_path_factory.mktemp("pages"))
        for command in HERE:
            if " key " in command.text:
                assert mesh.run(command.text).returncode == 0
        yield mesh


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
