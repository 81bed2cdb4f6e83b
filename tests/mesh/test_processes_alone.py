"""Nodes and clients as processes that come, go, are busy or are killed.

Each test has a mesh of its own, so they share nothing and run on any worker.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import HOST
from running import Lab, answer, counting_proxy, silence

from nodes.demo import RunningNode

TAKES_A_SLOT = 11  # seconds; a recording of up to ten has a place beside the slots
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A mesh of one node, to which the test adds others."""
    with Lab(tmp_path) as lab:
        yield lab


def test_all_voices_are_listed_although_a_record_holds_but_a_few(lab: Lab) -> None:
    producer = lab.producer("a", "tts/cpu/espeak-ng,tts/cpu/echo")
    found = answer(lab.client("voices", "--json"))
    assert found["silent"] == []
    assert len(found["voices"]) == found["found"] > 100
    german = next(voice for voice in found["voices"] if voice["voice"] == "de")
    assert german == {
        "voice": "de",
        "engine": "espeak-ng",
        "language": "de",
        "producers": [producer.events["listening"]["peer"]],
    }
    shown = lab.client("voices").stdout.decode().splitlines()
    assert shown[0].split() == ["VOICE", "LANGUAGE", "ENGINE", "PRODUCERS"]
    assert len(shown) == found["found"] + 1


def test_two_engines_of_one_service_on_one_node_are_both_found(lab: Lab, tmp_path: Path) -> None:
    lab.producer("a", "stt/cpu/echo,stt/cpu/pocketsphinx")
    assert sorted(r["engine"] for r in lab.listed()) == ["echo", "pocketsphinx"]
    wav = silence(tmp_path / "s.wav", 1)
    for engine in ("echo", "pocketsphinx"):
        job = ("--service", "stt", "--file", str(wav), "--model", engine, "--json")
        assert answer(lab.client(*job))["engine"] == engine


def test_the_chosen_producer_is_killed_in_mid_upload_and_another_does_the_job(
    lab: Lab, tmp_path: Path
) -> None:
    """Both producers are named by `--prefer` in turn, so it is known which is chosen first. The
    proxy kills it from outside once half of the recording has passed."""
    wav = silence(tmp_path / "s.wav", 120)
    doomed = lab.node("doomed", "--services", "stt/cpu/echo", "--advertise", "127.0.0.2")
    job_port = doomed.wait_for("listening")["job_port"]
    with counting_proxy(("127.0.0.2", job_port), (HOST, job_port)) as counter:
        doomed.wait_for("published")
        other = lab.producer("other", "stt/cpu/echo")
        peer = doomed.events["listening"]["peer"]
        one = ("--prefer", peer, "--scatter", "never")
        undisturbed = lab.client("--service", "stt", "--file", str(wav), *one)
        assert counter.passed > wav.stat().st_size

        jobs_before = sum("begun" in line for line in doomed.lines)
        killed = []

        def kill() -> None:
            killed.append(sum("begun" in line for line in doomed.lines) > jobs_before)
            os.kill(doomed.process.pid, signal.SIGKILL)

        counter.when, counter.limit = kill, counter.passed + wav.stat().st_size // 2
        job = ("--service", "stt", "--file", str(wav), *one, "--json")
        told = answer(lab.client(*job))
    assert killed == [True], "it was killed before it logged the job's start"
    assert doomed.process.wait(5) == -signal.SIGKILL
    assert told["transcript"]["text"] == undisturbed.stdout.decode().strip()
    assert told["producer"] == other.events["listening"]["peer"]
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["lost", "done"]


def test_while_everybody_is_busy_the_client_says_so_waits_and_succeeds(
    lab: Lab, tmp_path: Path
) -> None:
    producer = lab.producer("a", "stt/cpu/echo,tts/cpu/echo:60")
    held = str(tmp_path / "held.wav")
    first = lab.start_client("--service", "tts", "--text", "hello", "-o", held)
    wait_for_line(producer, "begun")
    wav = silence(tmp_path / "s.wav", TAKES_A_SLOT)
    second = lab.start_client("--service", "stt", "--file", str(wav), "--wait", "30")
    assert b"all producers are busy" in second.stderr.readline()
    first.send_signal(signal.SIGINT)
    assert second.communicate(timeout=30)[0] == b"11.00 seconds of sound\n"
    assert second.returncode == 0


def test_ctrl_c_ends_a_node_that_downloads_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited, silently, until the download was over."""
    with socket.create_server((HOST, 0)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{HOST}:{hub.getsockname()[1]}")
        services = ["--services", "tts/cpu/piper", "--model-cache", str(tmp_path / "cache")]
        node = RunningNode("producer", services, tmp_path / "node")
        connection, _ = hub.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            node.process.send_signal(signal.SIGINT)
            try:
                assert node.process.wait(5) == 0
            finally:
                node.stop()


def test_all_busy_until_the_wait_ends_is_exit_7(lab: Lab, tmp_path: Path) -> None:
    producer = lab.producer("a", "stt/cpu/echo:20")
    wav = silence(tmp_path / "s.wav", TAKES_A_SLOT)
    lab.start_client("--service", "stt", "--file", str(wav))
    wait_for_line(producer, "begun")
    began = time.monotonic()
    ran = lab.client("--service", "stt", "--file", str(wav), "--wait", "1")
    assert ran.returncode == 7
    assert b"were busy for 1 s" in ran.stderr
    assert time.monotonic() - began < 8


def test_a_cancelled_client_frees_its_slot_at_once(lab: Lab, tmp_path: Path) -> None:
    producer = lab.producer("a", "stt/cpu/echo:20")
    wav = silence(tmp_path / "s.wav", 1)
    client = lab.start_client("--service", "stt", "--file", str(wav))
    wait_for_line(producer, "begun")
    began = time.monotonic()
    client.send_signal(signal.SIGINT)
    assert client.wait(5) == 130
    wait_for_line(producer, "cancelled")
    assert time.monotonic() - began < 2


def test_a_client_is_interrupted_while_everybody_is_busy(lab: Lab, tmp_path: Path) -> None:
    producer = lab.producer("a", "stt/cpu/echo:20")
    wav = silence(tmp_path / "s.wav", TAKES_A_SLOT)
    lab.start_client("--service", "stt", "--file", str(wav))
    wait_for_line(producer, "begun")
    second = lab.start_client("--service", "stt", "--file", str(wav), "--json")
    assert b"all producers are busy" in second.stderr.readline()
    second.send_signal(signal.SIGTERM)
    out, _ = second.communicate(timeout=5)
    assert second.returncode == json.loads(out)["exit_code"] == 130


def test_ctrl_c_ends_a_node_at_once_although_a_job_is_running(lab: Lab, tmp_path: Path) -> None:
    """It once took four seconds: two of grace, which aiohttp waits twice."""
    producer = lab.producer("a", "stt/cpu/echo:20")
    wav = silence(tmp_path / "s.wav", 1)
    lab.start_client("--service", "stt", "--file", str(wav))
    wait_for_line(producer, "begun")
    began = time.monotonic()
    producer.process.send_signal(signal.SIGINT)
    assert producer.process.wait(10) == 0
    assert time.monotonic() - began < 2
    assert not [line for line in producer.lines if "Traceback" in line]


def test_no_producer_for_this_is_exit_4_and_says_what_there_is(lab: Lab, tmp_path: Path) -> None:
    ran = lab.client("--service", "tts", "--text", "x")
    assert (ran.returncode, b"no producer on the mesh offers tts" in ran.stderr) == (4, True)
    lab.producer("a", "tts/cpu/echo")
    ran = lab.client("--service", "tts", "--text", "x", "--backend", "gpu")
    assert ran.returncode == 4
    ran = lab.client("--service", "tts", "--text", "x", "--model", "piper")
    assert ran.returncode == 4
    assert b"there is: tts/cpu/echo" in ran.stderr


def test_a_node_that_stops_takes_its_record_back(lab: Lab) -> None:
    producer = lab.producer("a", "tts/cpu/echo")
    assert len(lab.listed()) == 1
    producer.stop()
    assert producer.process.returncode == 0
    assert lab.listed() == []


def test_a_node_keeps_its_key_and_finds_its_mesh_again_without_being_told(lab: Lab) -> None:
    before = lab.producer("a", "tts/cpu/echo")
    before.stop()
    again = RunningNode("again", ["--services", "tts/cpu/echo"], lab.folder / "a")
    try:
        again.wait_for("published")
        assert again.events["listening"]["peer"] == before.events["listening"]["peer"]
        assert len(lab.listed()) == 1
    finally:
        again.stop()


def test_a_second_node_in_the_same_folder_is_refused(lab: Lab) -> None:
    second = lab.node("second", "--state-dir", str(lab.folder / "first"))
    assert second.process.wait(20) == 2
    second.stop()
    said = "such as another privox-node, has the state folder"
    assert any(said in line for line in second.lines)


def test_a_node_that_is_asked_to_stop_twice_ends_there_and_then(lab: Lab) -> None:
    """A farm lets running calls end for up to half a minute; its owner may not want to wait."""
    stuck = lab.node("stuck", "--services", "stt/cpu/echo", "--farm", "--relay-port", "0")
    stuck.wait_for("published")
    for _ in range(2):
        stuck.process.send_signal(signal.SIGINT)
    assert stuck.process.wait(5) in (0, 1)


def wait_for_line(node: RunningNode, text: str, within: float = 15.0) -> None:
    """Until the node has logged a line that holds `text`."""
    with node.changed:
        assert node.changed.wait_for(lambda: any(text in line for line in node.lines), within), (
            f"no line with {text!r} in\n" + "\n".join(node.lines[-10:])
        )


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        lab.producer("a", "tts/cpu/espeak-ng")  # with processes for its engine and codecs
        mine = processes_with(str(tmp_path))
        assert len(mine) >= 2
    assert processes_with(str(tmp_path)) == []


def processes_with(text: str) -> list[str]:
    """The command lines of running processes that hold `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found
