"""Nodes and clients as processes, as their owners run them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import HOST, Lab, counting_proxy, silence

from nodes.demo import RunningNode

TAKES_A_SLOT = 11  # seconds; a recording of up to ten has a place beside the slots
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def lab(tmp_path):
    """A mesh of one node, to which the test adds others."""
    with Lab(tmp_path) as lab:
        yield lab


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A mesh with one producer of both services, for tests that change nothing in it."""
    with Lab(tmp_path_factory.mktemp("shared")) as lab:
        lab.producer("a", "stt/cpu/echo,tts/cpu/echo")
        yield lab


def answer(ran) -> dict:
    assert ran.returncode == 0, ran.stderr.decode()
    return json.loads(ran.stdout)


def test_a_recording_goes_to_a_producer_and_comes_back_as_text(shared, tmp_path):
    producer = shared.nodes["a"].events["listening"]
    wav = silence(tmp_path / "s.wav", 2.5)
    ran = shared.client("--service", "stt", "--file", str(wav))
    assert ran.stdout == b"2.50 seconds of sound\n"
    assert ran.stderr == b""
    told = answer(shared.client("--service", "asr", "--file", str(wav), "--json"))
    assert told["producer"] == producer["peer"]
    assert told["route"] == f"direct {HOST}:{producer['job_port']}"


def test_text_comes_back_as_an_audio_file_in_one_step(shared, tmp_path):
    out = tmp_path / "out.wav"
    told = answer(shared.client("--service", "tts", "--text", "hello", "-o", str(out), "--json"))
    assert out.read_bytes()[:4] == b"RIFF"
    assert told["bytes"] == out.stat().st_size > 0.2 * 32_000
    piped = shared.client("--service", "tts", "--text", "-", "--format", "wav", stdin=b"hello\n")
    assert piped.stdout[:4] == b"RIFF"
    assert not list(tmp_path.glob(".privox-*"))


@pytest.mark.parametrize(
    ("name", "begins"),
    [("x.m4a", b"\0\0\0\x1cftypM4A "), ("x", b"RIFF")],
)
def test_the_name_of_the_sound_decides_its_format(shared, tmp_path, name, begins):
    out = tmp_path / name
    told = answer(shared.client("--service", "tts", "--text", "hello", "-o", str(out), "--json"))
    assert out.read_bytes().startswith(begins)
    assert told["bytes"] == out.stat().st_size


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("s.srt", "1\n00:00:00,000 --> 00:00:02,500\n2.50 seconds"),
        ("s.json", '{"task":"transcribe"'),
    ],
)
def test_the_name_of_the_transcript_decides_its_format(shared, tmp_path, name, begins):
    """`-o s.srt` wrote plain text."""
    out, wav = tmp_path / name, silence(tmp_path / "in.wav", 2.5)
    ran = shared.client("--service", "stt", "--file", str(wav), "-o", str(out))
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert out.read_text().startswith(begins)


def test_a_name_that_says_no_format_is_refused_before_anything_is_asked(shared, tmp_path):
    jobs = jobs_of(shared.nodes["a"])
    for how, code in ((("-o", "x.xyz"), 2), (("-o", "x.mp3", "--format", "wav"), 2)):
        ran = shared.client("--service", "tts", "--text", "hello", *how)
        assert ran.returncode == code
    assert jobs_of(shared.nodes["a"]) == jobs


def jobs_of(node) -> list[str]:
    """What a node logged of jobs, refused ones included."""
    return [line for line in node.lines if '"logger": "privox.jobs"' in line]


def test_several_recordings_each_get_a_file_and_one_that_is_none_keeps_no_other(shared, tmp_path):
    wavs = [silence(tmp_path / f"{n}.wav", n) for n in (1, 2)]
    garbage = tmp_path / "garbage.wav"
    garbage.write_bytes(b"this is no recording at all" * 50)
    folder = tmp_path / "texts"
    files = (str(wavs[0]), str(garbage), str(wavs[1]))
    ran = shared.client("--service", "stt", "--file", *files, "-o", f"{folder}/", "--json")
    assert ran.returncode == 8
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line.get("file") for line in lines] == [*files, None]
    assert [line.get("exit_code") for line in lines] == [None, 6, None, 8]
    assert lines[2]["transcript"]["text"] == "2.00 seconds of sound"
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        "1.txt": "1.00 seconds of sound\n",
        "2.txt": "2.00 seconds of sound\n",
    }
    assert b"1 of 3 recordings could not be transcribed" in ran.stderr


def test_a_file_that_is_called_stdout_is_a_file(shared, tmp_path):
    job = ("--service", "tts", "--text", "hello", "-o", "stdout", "--format", "wav", "--json")
    ran = subprocess.run(
        shared.command(*job), cwd=tmp_path, capture_output=True, timeout=40, check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert answer(ran)["output"] == "stdout"
    assert (tmp_path / "stdout").read_bytes().startswith(b"RIFF")


def test_a_text_from_a_file_is_played(shared, tmp_path):
    (tmp_path / "text").write_text("hello")
    player = tmp_path / "aplay"
    player.write_text(f'#!/bin/sh\nexec /bin/cp "$2" {tmp_path}/heard.wav\n')
    player.chmod(0o755)
    job = ("--service", "tts", "--text-file", str(tmp_path / "text"), "--play", "--json")
    ran = subprocess.run(
        shared.command(*job), cwd=tmp_path, capture_output=True, timeout=40, check=False,
        env={**os.environ, "PATH": str(tmp_path), "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    told = answer(ran)
    assert (told["played"], "output" in told) == ("aplay", False)
    assert (tmp_path / "heard.wav").stat().st_size == told["bytes"]
    assert not (tmp_path / "speech.wav").exists()


def test_all_voices_are_listed_although_a_record_holds_but_a_few(lab):
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


def test_audio_that_does_not_fit_on_stdout_is_an_error(shared, tmp_path):
    """Cut at 4 KiB, it was called done: exit code 0, and --json told the full size."""
    command = shared.command("--service", "tts", "--text", "hello", "-o", "-", "--json")
    with (tmp_path / "out").open("wb") as out:
        ran = subprocess.run(
            ["sh", "-c", 'ulimit -f 8 && exec "$@"', "sh", *command],  # blocks of 512 bytes
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=out, stderr=subprocess.PIPE, timeout=40, check=False,
        )  # fmt: skip
    assert ran.returncode == 2
    said = json.loads(ran.stderr.splitlines()[-1])
    assert (said["exit_code"], "bytes" in said) == (2, False)
    assert "cannot write to stdout: File too large" in said["message"]


def test_what_one_client_speaks_another_hears_through_a_pipe(shared):
    spoken = shared.client("--service", "tts", "--text", "hello", "-o", "-").stdout
    heard = shared.client("--service", "stt", "--file", "-", stdin=spoken)
    assert heard.stdout == b"0.25 seconds of sound\n"


def test_a_client_holds_little_of_a_long_recording(shared, tmp_path):
    """An hour from a file, and the same from stdin, cost it no more than a second of audio."""
    long = silence(tmp_path / "long.wav", 3600)  # 110 MiB
    peaks = [
        _peak(shared, "--service", "stt", "--file", name, stdin=stdin)
        for name, stdin in (
            (str(silence(tmp_path / "short.wav", 1)), None),
            (str(long), None),
            ("-", long),
        )
    ]
    assert max(peaks) - peaks[0] < 32 * 2**20, peaks


def _peak(lab: Lab, *arguments: str, stdin: Path | None) -> int:
    """The most memory that a client held, in bytes."""
    with open(stdin or os.devnull, "rb") as source:
        client = subprocess.Popen(
            lab.command(*arguments), stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said = client.stdout.read(), client.stderr.read()
        _, status, used = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
        client.stdout.close()
        client.stderr.close()
    assert client.returncode == 0, said
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def test_two_engines_of_one_service_on_one_node_are_both_found(lab, tmp_path):
    lab.producer("a", "stt/cpu/echo,stt/cpu/pocketsphinx")
    assert sorted(r["engine"] for r in lab.listed()) == ["echo", "pocketsphinx"]
    wav = silence(tmp_path / "s.wav", 1)
    for engine in ("echo", "pocketsphinx"):
        job = ("--service", "stt", "--file", str(wav), "--model", engine, "--json")
        assert answer(lab.client(*job))["engine"] == engine


def test_the_chosen_producer_is_killed_in_mid_upload_and_another_does_the_job(lab, tmp_path):
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


def test_while_everybody_is_busy_the_client_says_so_waits_and_succeeds(lab, tmp_path):
    producer = lab.producer("a", "stt/cpu/echo,tts/cpu/echo:60")
    held = str(tmp_path / "held.wav")
    first = lab.start_client("--service", "tts", "--text", "hello", "-o", held)
    wait_for_line(producer, "begun")
    wav = silence(tmp_path / "s.wav", TAKES_A_SLOT)
    second = lab.start_client("--service", "stt", "--file", str(wav), "--wait", "30")
    assert b"everybody is busy" in second.stderr.readline()
    first.send_signal(signal.SIGINT)
    assert second.communicate(timeout=30)[0] == b"11.00 seconds of sound\n"
    assert second.returncode == 0


def test_all_busy_until_the_wait_ends_is_exit_7(lab, tmp_path):
    producer = lab.producer("a", "stt/cpu/echo:20")
    wav = silence(tmp_path / "s.wav", TAKES_A_SLOT)
    lab.start_client("--service", "stt", "--file", str(wav))
    wait_for_line(producer, "begun")
    began = time.monotonic()
    ran = lab.client("--service", "stt", "--file", str(wav), "--wait", "1")
    assert ran.returncode == 7
    assert b"were busy for 1 s" in ran.stderr
    assert time.monotonic() - began < 8


def test_a_cancelled_client_frees_its_slot_at_once(lab, tmp_path):
    producer = lab.producer("a", "stt/cpu/echo:20")
    wav = silence(tmp_path / "s.wav", 1)
    client = lab.start_client("--service", "stt", "--file", str(wav))
    wait_for_line(producer, "begun")
    began = time.monotonic()
    client.send_signal(signal.SIGINT)
    assert client.wait(5) == 130
    wait_for_line(producer, "cancelled")
    assert time.monotonic() - began < 2


def test_a_client_is_interrupted_while_it_waits_for_a_neighbour(shared):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HOST, 0))
        silent.settimeout(20)
        neighbour = f"{HOST}:{silent.getsockname()[1]}"
        client = shared.start_client("--neighbours", neighbour, "list", "--join-timeout", "60")
        silent.recv(2048)
        client.send_signal(signal.SIGINT)
        assert client.wait(5) == 130


def test_a_client_is_interrupted_while_everybody_is_busy(lab, tmp_path):
    producer = lab.producer("a", "stt/cpu/echo:20")
    wav = silence(tmp_path / "s.wav", TAKES_A_SLOT)
    lab.start_client("--service", "stt", "--file", str(wav))
    wait_for_line(producer, "begun")
    second = lab.start_client("--service", "stt", "--file", str(wav), "--json")
    assert b"everybody is busy" in second.stderr.readline()
    second.send_signal(signal.SIGTERM)
    out, _ = second.communicate(timeout=5)
    assert second.returncode == json.loads(out)["exit_code"] == 130


def test_ctrl_c_ends_a_node_at_once_although_a_job_is_running(lab, tmp_path):
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


def test_nobody_to_join_through_is_exit_3(shared, tmp_path):
    command = ("--neighbours", f"{HOST}:9", "--join-timeout", "0.5")
    ran = shared.client(
        *command, "--service", "tts", "--text", "x", "--state-dir", str(tmp_path / "n")
    )
    assert ran.returncode == 3
    assert b"127.0.0.1:9" in ran.stderr


def test_no_producer_for_this_is_exit_4_and_says_what_there_is(lab, tmp_path):
    ran = lab.client("--service", "tts", "--text", "x")
    assert (ran.returncode, b"nobody on the mesh offers tts" in ran.stderr) == (4, True)
    lab.producer("a", "tts/cpu/echo")
    ran = lab.client("--service", "tts", "--text", "x", "--backend", "gpu")
    assert ran.returncode == 4
    ran = lab.client("--service", "tts", "--text", "x", "--model", "piper")
    assert ran.returncode == 4
    assert b"there is: tts/cpu/echo" in ran.stderr


def test_input_at_fault_is_exit_6_and_says_what_is_wrong(shared, tmp_path):
    garbage = tmp_path / "garbage.wav"
    garbage.write_bytes(b"this is no recording at all" * 50)
    for arguments, said in (
        (("--service", "stt", "--file", str(garbage)), b"not a sound file"),
        (("--service", "stt", "--file", str(tmp_path / "none.wav")), b"cannot read"),
        (("--service", "tts", "--text", " "), b"empty"),
        (("--service", "tts", "--text", "<speak>" + "x" * 4097), b"4,096"),
    ):
        ran = shared.client(*arguments)
        assert ran.returncode == 6, (arguments, ran.stderr)
        assert said in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), b"--service"),
        (("--service", "tts"), b"--text"),
        (("--service", "stt"), b"--file"),
        (("--service", "tts", "--text", "x", "--format", "doc"), b"there is: wav"),
        (("--service", "sing", "--text", "x"), b"sing"),
    ],
)
def test_usage_is_exit_2_and_says_what_is_missing(tmp_path, arguments, said):
    lab = object.__new__(Lab)
    lab.folder, lab.port = tmp_path, 9
    ran = lab.client(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_a_node_that_stops_takes_its_record_back(lab):
    producer = lab.producer("a", "tts/cpu/echo")
    assert len(lab.listed()) == 1
    producer.stop()
    assert producer.process.returncode == 0
    assert lab.listed() == []


def test_a_node_keeps_its_key_and_finds_its_mesh_again_without_being_told(lab):
    before = lab.producer("a", "tts/cpu/echo")
    before.stop()
    again = RunningNode("again", ["--services", "tts/cpu/echo"], lab.folder / "a")
    try:
        again.wait_for("published")
        assert again.events["listening"]["peer"] == before.events["listening"]["peer"]
        assert len(lab.listed()) == 1
    finally:
        again.stop()


def test_a_second_node_in_the_same_folder_is_refused(lab):
    second = lab.node("second", "--state-dir", str(lab.folder / "first"))
    assert second.process.wait(20) == 2
    second.stop()
    said = "such as another privox-node, has the state folder"
    assert any(said in line for line in second.lines)


def test_dead_neighbours_are_passed_over_and_names_are_resolved(shared):
    several = f"127.0.0.1:9,no-such-host.invalid:5678,localhost:{shared.port}"
    ran = shared.client("--neighbours", several, "list", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["found"] == 2


def test_meshes_of_different_names_never_mix(shared, tmp_path):
    ran = shared.client("--network", "other", "--state-dir", str(tmp_path / "o"), "list",
                        "--join-timeout", "1")  # fmt: skip
    assert ran.returncode == 3


def test_the_fallback_server_does_it_when_the_mesh_cannot(shared, tmp_path):
    job = ("--service", "tts", "--text", "x", "--backend", "gpu")
    ran = shared.client(*job, "--fallback", f"http://{HOST}:9")
    assert ran.returncode == 5
    assert b"nobody offers tts/gpu" in ran.stderr
    assert b"; and the fallback server http://127.0.0.1:9: no connection" in ran.stderr


def test_a_node_that_is_asked_to_stop_twice_ends_there_and_then(lab):
    """A farm lets running calls end for up to half a minute; its owner may not want to wait."""
    stuck = lab.node("stuck", "--services", "stt/cpu/echo", "--farm", "--relay-port", "0")
    stuck.wait_for("published")
    for _ in range(2):
        stuck.process.send_signal(signal.SIGINT)
    assert stuck.process.wait(5) in (0, 1)


def wait_for_line(node, text: str, within: float = 15.0) -> None:
    """Until the node has logged a line that holds `text`."""
    with node.changed:
        assert node.changed.wait_for(lambda: any(text in line for line in node.lines), within), (
            f"no line with {text!r} in\n" + "\n".join(node.lines[-10:])
        )


def test_nothing_is_left_behind(tmp_path):
    with Lab(tmp_path) as lab:
        lab.producer("a", "stt/cpu/pocketsphinx,tts/cpu/espeak-ng")
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
