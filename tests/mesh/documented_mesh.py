"""A mesh in which the commands of the README and of the pages are run as they stand there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from kit import HOST
from running import Lab

SPOKEN = "Good morning everybody"  # the sentence of the README
OF_A_FOLDER = ("health", "resume", "status")  # commands that speak to the node of a folder
NO_NODES = {"doctor", "health", "key", "models", "resume", "secret", "status", "--help"}


def is_node(text: str) -> bool:
    """Whether a command is a node that runs until it is ended."""
    words = text.split()
    return words[0] == "privox-node" and not NO_NODES & set(words)


class Mesh:
    """A mesh for the pages, and beside it one with the secret of docs/private.md: what placeholders
    mean there, and a folder to run commands in."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.farm = lab.first.events["farming"]["port"]
        self.gateway = 0
        self.secret = lab.folder / "friends.secret"
        assert self.run(f"privox-node secret new {self.secret}").returncode == 0
        self._friends = ("--network", "friends", "--secret-file", str(self.secret))
        friend = lab.node("friend", *self._friends, "--neighbours", "")
        self.friend = friend.wait_for("listening")["port"]

    def lend(self) -> None:
        """Have producers, a gateway, and the files that commands of the pages read."""
        lab, folder = self.lab, self.folder
        both = ("--services", "stt/cpu/pocketsphinx,tts/cpu/espeak-ng")
        joins = ("--neighbours", f"{HOST}:{self.friend}")
        for node in (
            lab.node("direct", *both),
            lab.node("parked", *both, "--reachable", "no"),
            lab.node("friend's", "--services", "stt/cpu/pocketsphinx", *self._friends, *joins),
        ):
            node.wait_for("published")
        serving = lab.node("gateway", "--gateway", f"{HOST}:0").wait_for("gateway")
        self.gateway = serving["port"]
        for name in ("meeting.ogg", "morning.wav"):
            ran = self.run(f"privox-client --service tts --text '{SPOKEN}' --output {name}")
            assert ran.returncode == 0, ran.stderr
        (folder / "letter.txt").write_text(SPOKEN)
        (folder / "book.txt").write_text(f"{SPOKEN}. " * (5000 // len(f"{SPOKEN}. ")))
        (folder / "bin").mkdir()
        player = folder / "bin/pw-play"  # machines that test have no loudspeaker
        player.write_text('#!/bin/sh\ntest "$(head -c 4 "$1")" = RIFF\n')
        player.chmod(0o755)

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
