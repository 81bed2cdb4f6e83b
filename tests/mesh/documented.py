"""The commands that the pages show, and how each is run where there is a mesh on loopback.

A page's indented blocks, its `sh` fences and its inline code are looked through. What begins with a
program of `PROGRAMS` is a command; it is run as it stands there, in bash, with these bound:

    host:5678                    the first node of the mesh, a farm too
    friend:5678 friends.secret   the first node of a private mesh, and its secret
    <host>:<port> <pin>          a producer that can be called directly, as `list --json` tells
    <farm>:1776 <peer id> <pin>  a producer that is called through the farm
    meeting.ogg                  a recording, in the folder where the command runs
    book.txt                     a long text, likewise
    the environment              ports 0, 127.0.0.1, state in a folder of the test

What installs or builds something needs no mesh: `test_documented_installs.py` runs it in a copy of
the repository, `pip install` as a dry run.

A new command of `privox-client`, `curl`, `pip` or `python` needs no word here: it must end with 0
and leave the file that it names. One of `privox-node` must start, publish what it lends, and end
on SIGTERM. What cannot run here stands in `NOT_HERE` with its reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "tests/nat/README.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
)
PROGRAMS = (
    ".", ".venv/bin/python", "curl", "docker", "eval", "git", "install", "journalctl", "make",
    "mkdir", "pip", "privox-client", "privox-node", "python", "python3", "systemctl",
    "systemd-analyze",
)  # fmt: skip
ASSIGNED = re.compile(r"^(sudo )?([A-Z_]+=\S+ )*")
SHELL, PROSE = ("sh", "bash", "console"), ("", "json", "text")  # languages of fences

# A command that cannot run here, or its beginning -> why. Those that want a model or a GPU are
# checked as far as their options go.
HUB = "downloads a model from a hub, which tests do not"
GPU = "needs a GPU, and a model from a hub"
DOCKER = "needs a container engine: tests/image runs it"
SYSTEMD = "needs systemd as the first process of the machine"
SYSTEM = "writes to /opt and /etc of the machine"
ELSEWHERE = "is run on its own, and takes long"
NOT_HERE = {
    "make test": "it is what runs this test",
    "make lint": "runs before this test does",
    "make soak": ELSEWHERE,
    "make coverage": ELSEWHERE,
    "make bench": ELSEWHERE,
    "make release": "refuses until there is something to release; test_release.py says when",
    "make run": "runs until Ctrl-C; `make demo` is the same otherwise",
    "make demo": "test_demo.py runs it",
    "python -m bench.": ELSEWHERE,
    ".venv/bin/python -m bench.": ELSEWHERE,
    "sudo .venv/bin/python -m pytest tests/nat": "the floor above this one",
    "sudo .venv/bin/python -m tests.nat": "needs root; tests/nat/test_lab_parts.py does it",
    ".venv/bin/python -m pytest": "it is what runs this test",
    "privox-client --neighbours host:5678 --service stt --file meeting.ogg --scatter private": (
        "needs more producers and a longer recording: tests/mesh/test_private_scatter.py does it"
    ),
    "docker ": DOCKER,
    "PRIVOX_NEIGHBOURS=host:5678 docker": DOCKER,
    "mkdir -p state && sudo chown": DOCKER,
    "sudo systemctl": SYSTEMD,
    "systemctl": SYSTEMD,
    "journalctl": SYSTEMD,
    "systemd-analyze security privox-node": SYSTEMD,
    "sudo python3 -m venv /opt": SYSTEM,
    "sudo /opt/privox/bin/pip": SYSTEM,
    "sudo install": SYSTEM,
    "sudo PRIVOX_STATE_DIR=/var/lib/privox": SYSTEM,
    "pip install git+URL": "the address of the repository is not known here",
    "privox-node --neighbours host:5678 --services stt/gpu": GPU,
    "privox-node --services stt/gpu": GPU,
    "privox-node --services stt/cpu/faster-whisper": HUB,
    "privox-node --services tts/cpu/piper": HUB,
    "privox-node pause": "others need the node: tests/mesh/test_lending_nodes.py does it",
    "privox-node models fetch": f"{HUB}: test_model_commands.py has a hub on loopback",
    "privox-node models remove": "removes what the line above it fetches",
    "privox-node --services stt/cpu/wyoming": "needs a server: test_remote_wyoming.py has one",
    "privox-node --services tts/cpu/http": "needs a speech server: test_engine_remote.py has one",
}
# Inline code that names a part of a command.
NO_COMMAND = {"curl --proxy"}
# Indented blocks that are drawings, by how their first line begins.
DRAWINGS = {
    "CONTRIBUTING.md": ("nodes | client",),
    "docs/design.md": (
        "start ",
        "join ",
        "client/transcribe.py ",
        "piece_source.py ",
        "client 9, cli",
    ),
    "docs/dht.md": ("directory: 76", "version (1)"),
    "docs/relay.md": ("client ", "CONNECT <peer id>"),
}


@dataclass(frozen=True)
class Block:
    """Something set apart on a page."""

    page: str
    line: int  # of its first line, from 1
    language: str | None  # of a fence; None: it is indented
    text: str

    @property
    def is_shell(self) -> bool:
        if self.language is not None:
            return self.language in SHELL
        return is_command(self.text.lstrip())


@dataclass(frozen=True)
class Command:
    """A command as it stands on a page."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text[:60]}"

    @property
    def said(self) -> str:
        """The command without its comment."""
        return re.split(r"\s+#\s", self.text)[0]

    @property
    def why_not_here(self) -> str | None:
        """The reason why it is not run, if there is one."""
        fitting = [reason for start, reason in NOT_HERE.items() if self.text.startswith(start)]
        return fitting[0] if fitting else None


def to_run() -> list[Command]:
    """What can run here, each command once, where it stands first."""
    every = [command for page in PAGES for command in commands(page)]
    first = {command.said: command for command in reversed(every)}
    return [c for c in every if first[c.said] is c and c.why_not_here is None]


def installs(command: Command) -> bool:
    """Whether it makes or fills an environment, or builds something: it needs no mesh."""
    return command.said.startswith(("pip ", "make ", "python3 -m venv", ". "))


def is_command(text: str) -> bool:
    """Whether a line begins with a program that pages tell people to run."""
    program = ASSIGNED.sub("", text).split(maxsplit=1)[0]
    return program in PROGRAMS or program.startswith("/opt/privox/bin/")


def blocks(page: str) -> Iterator[Block]:
    """What is set apart on a page, in order."""
    lines = (ROOT / page).read_text().splitlines()
    number = 0
    while number < len(lines):
        line, start = lines[number], number + 1
        if line.startswith("```"):
            end = next(n for n in range(start, len(lines)) if lines[n].startswith("```"))
            yield Block(page, start + 1, line[3:].strip(), "\n".join(lines[start:end]))
            number = end + 1
        elif line.startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(line[4:] for line in lines[number:end]).rstrip()
            yield Block(page, start, None, text)
            number = end
        else:
            number += 1


def commands(page: str) -> Iterator[Command]:
    """The commands of a page, in order: those of its blocks, then those in its sentences."""
    inside: set[int] = set()
    for block in blocks(page):
        inside.update(range(block.line, block.line + block.text.count("\n") + 1))
        if block.is_shell:
            yield from _of_block(block)
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        if number not in inside:
            for text in re.findall(r"`([^`]+)`", line):
                if " " in text and is_command(text) and text not in NO_COMMAND:
                    yield Command(page, number, text)


def _of_block(block: Block) -> Iterator[Command]:
    started, parts = block.line, list[str]()
    for number, line in enumerate(block.text.splitlines(), block.line):
        started = started if parts else number
        parts.append(line)
        if not line.endswith("\\"):
            if text := "\n".join(parts).strip():
                yield Command(block.page, started, text)
            parts = []
