"""`privox-node status`: what the owner sees of a node that runs, and that nobody else does."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from kit import HOST
from running import Lab, silence

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as lab:
        yield lab


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "nodes.cli", "status", "--state-dir", str(folder), *arguments]


def told(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        command(folder, *arguments), capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_owner_sees_slots_jobs_neighbours_and_the_gateway(lab: Lab, tmp_path: Path) -> None:
    node = lab.node("other", "--services", "stt/cpu/echo", "--gateway", f"{HOST}:0")
    node.wait_for("published")
    gateway = node.wait_for("gateway")["port"]
    meeting = silence(tmp_path / "meeting.wav", 2.0)
    assert lab.client("--service", "stt", "--file", str(meeting)).returncode == 0
    status = json.loads(told(lab.folder / "other", "--json"))
    assert (status["slots"], status["idle"], status["waiting"]) == (1, 1, 0)
    assert status["jobs"]["done"] == 1
    (job,) = status["recent"]
    assert (job["service"], job["outcome"], job["sound"]) == ("stt", "done", 2.0)
    assert status["neighbours"] == [f"{HOST}:{lab.port}"]
    assert status["gateway"]["urls"] == [f"http://{HOST}:{gateway}/"]
    text = told(lab.folder / "other")
    assert "1 of 1 idle, 0 waiting" in text and "0 running; 1 done" in text
    assert "\x1b" not in text, "not on a terminal"
    assert HOST not in json.dumps(status["recent"]), "no address of a client"


def test_nobody_else_finds_that_page(lab: Lab) -> None:
    port = lab.first.events["listening"]["job_port"]
    secret = json.loads((lab.folder / "first" / "listening.json").read_text())["owner_secret"]

    async def asked(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"https://{HOST}:{port}/v1/owner-status"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, ssl=False) as answer,
        ):
            return answer.status

    assert [asyncio.run(asked(token)) for token in ("", "wrong", secret)] == [404, 404, 200]
    status = json.dumps(json.loads(told(lab.folder / "first", "--json")))
    assert secret not in status


def test_without_a_node_it_says_where_it_looked(tmp_path: Path) -> None:
    ran = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert str(tmp_path) in ran.stderr and "--state-dir" in ran.stderr


def test_on_a_terminal_it_is_drawn_anew_until_ctrl_c(lab: Lab) -> None:
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        command(lab.folder / "first"), stdout=theirs, stderr=subprocess.PIPE, close_fds=True
    )
    os.close(theirs)
    try:
        seen = b""
        while seen.count(b"\x1b[H\x1b[2J") < 2:
            seen += os.read(ours, 4096)
        assert b"lends       nothing" in seen
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 130
    finally:
        running.kill()
        running.communicate()
        os.close(ours)
