"""Nodes and clients as processes, as their owners run them: tests that share one mesh.

Those that kill, stop or keep busy are in `test_processes_alone.py`, each with a mesh of its own.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import HOST
from running import Client, Lab, answer, silence

from nodes.demo import RunningNode

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A mesh with one producer of both services, for tests that change nothing in it."""
    with Lab(tmp_path_factory.mktemp("shared")) as lab:
        lab.producer("a", "stt/cpu/echo,tts/cpu/echo")
        yield lab


def test_a_recording_goes_to_a_producer_and_comes_back_as_text(shared: Lab, tmp_path: Path) -> None:
    producer = shared.nodes["a"].events["listening"]
    wav = silence(tmp_path / "s.wav", 2.5)
    ran = shared.client("--service", "stt", "--file", str(wav))
    assert ran.stdout == b"2.50 seconds of sound\n"
    assert ran.stderr == b""
    told = answer(shared.client("--service", "asr", "--file", str(wav), "--json"))
    assert told["producer"] == producer["peer"]
    assert told["route"] == f"direct {HOST}:{producer['job_port']}"


def test_text_comes_back_as_an_audio_file_in_one_step(shared: Lab, tmp_path: Path) -> None:
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
def test_the_name_of_the_sound_decides_its_format(
    shared: Lab, tmp_path: Path, name: str, begins: bytes
) -> None:
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
def test_the_name_of_the_transcript_decides_its_format(
    shared: Lab, tmp_path: Path, name: str, begins: str
) -> None:
    """`-o s.srt` wrote plain text."""
    out, wav = tmp_path / name, silence(tmp_path / "in.wav", 2.5)
    ran = shared.client("--service", "stt", "--file", str(wav), "-o", str(out))
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert out.read_text().startswith(begins)


def test_a_name_that_says_no_format_is_refused_before_anything_is_asked(
    shared: Lab, tmp_path: Path
) -> None:
    jobs = jobs_of(shared.nodes["a"])
    for how, code in ((("-o", "x.xyz"), 2), (("-o", "x.mp3", "--format", "wav"), 2)):
        ran = shared.client("--service", "tts", "--text", "hello", *how)
        assert ran.returncode == code
    assert jobs_of(shared.nodes["a"]) == jobs


def jobs_of(node: RunningNode) -> list[str]:
    """What a node logged of jobs, refused ones included."""
    return [line for line in node.lines if '"logger": "privox.jobs"' in line]


def test_several_recordings_each_get_a_file_and_one_that_is_none_keeps_no_other(
    shared: Lab, tmp_path: Path
) -> None:
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


def test_a_file_that_is_called_stdout_is_a_file(shared: Lab, tmp_path: Path) -> None:
    job = ("--service", "tts", "--text", "hello", "-o", "stdout", "--format", "wav", "--json")
    ran = subprocess.run(
        shared.command(*job), cwd=tmp_path, capture_output=True, timeout=40, check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert answer(ran)["output"] == "stdout"
    assert (tmp_path / "stdout").read_bytes().startswith(b"RIFF")


def test_a_text_from_a_file_is_played(shared: Lab, tmp_path: Path) -> None:
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


def test_audio_that_does_not_fit_on_stdout_is_an_error(shared: Lab, tmp_path: Path) -> None:
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


def test_what_one_client_speaks_another_hears_through_a_pipe(shared: Lab) -> None:
    spoken = shared.client("--service", "tts", "--text", "hello", "-o", "-").stdout
    heard = shared.client("--service", "stt", "--file", "-", stdin=spoken)
    assert heard.stdout == b"0.25 seconds of sound\n"


def test_a_client_holds_little_of_a_long_recording(shared: Lab, tmp_path: Path) -> None:
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
        client = Client(
            lab.command(*arguments), stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said = client.stdout.read(), client.stderr.read()
        _, status, used = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
        client.stdout.close()
        client.stderr.close()
    assert client.returncode == 0, said
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def test_a_client_is_interrupted_while_it_waits_for_a_neighbour(shared: Lab) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HOST, 0))
        silent.settimeout(20)
        neighbour = f"{HOST}:{silent.getsockname()[1]}"
        client = shared.start_client("--neighbours", neighbour, "list", "--join-timeout", "60")
        silent.recv(2048)
        client.send_signal(signal.SIGINT)
        assert client.wait(5) == 130


def test_nobody_to_join_through_is_exit_3(shared: Lab, tmp_path: Path) -> None:
    command = ("--neighbours", f"{HOST}:9", "--join-timeout", "0.5")
    ran = shared.client(
        *command, "--service", "tts", "--text", "x", "--state-dir", str(tmp_path / "n")
    )
    assert ran.returncode == 3
    assert b"127.0.0.1:9" in ran.stderr


def test_input_at_fault_is_exit_6_and_says_what_is_wrong(shared: Lab, tmp_path: Path) -> None:
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
def test_usage_is_exit_2_and_says_what_is_missing(
    tmp_path: Path, arguments: tuple[str, ...], said: bytes
) -> None:
    lab = object.__new__(Lab)
    lab.folder, lab.port = tmp_path, 9
    ran = lab.client(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_dead_neighbours_are_passed_over_and_names_are_resolved(shared: Lab) -> None:
    several = f"127.0.0.1:9,no-such-host.invalid:5678,localhost:{shared.port}"
    ran = shared.client("--neighbours", several, "list", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["found"] == 2


def test_meshes_of_different_names_never_mix(shared: Lab, tmp_path: Path) -> None:
    ran = shared.client("--network", "other", "--state-dir", str(tmp_path / "o"), "list",
                        "--join-timeout", "1")  # fmt: skip
    assert ran.returncode == 3


def test_the_fallback_server_does_it_when_the_mesh_cannot(shared: Lab, tmp_path: Path) -> None:
    job = ("--service", "tts", "--text", "x", "--backend", "gpu")
    ran = shared.client(*job, "--fallback", f"http://{HOST}:9")
    assert ran.returncode == 5
    assert b"no producer offers tts/gpu" in ran.stderr
    assert b"; and the fallback server http://127.0.0.1:9: no connection" in ran.stderr
