"""A job as a stream: text while it is recognised, sound while it is spoken, and what is left when
somebody dies or presses Ctrl-C. Real nodes and clients."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from kit import HOST
from running import Lab, peer_of, silence, wait_for_line

from nodes.demo import RunningNode
from privox_dht import sync
from privox_dht.dispatch.job_events import Dialing, Uploading
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import AllProducersFailed
from privox_dht.mesh import Mesh
from privox_dht.speech import AudioInfo, Segment

README = Path(__file__).parents[2] / "README.md"
ECHO: dict[str, Any] = {"model": "echo"}
PARTS = [f"{n:.2f} to {n + 1:.2f} seconds," for n in range(4)]  # of four seconds
FIRST = PARTS[0].encode()
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A mesh with a producer that takes four seconds for a job, and hears a part each second."""
    with Lab(tmp_path_factory.mktemp("streamed")) as lab:
        lab.producer("slow", "stt/cpu/echo:4,tts/cpu/echo:2", "--slots", "4")
        yield lab


@pytest.fixture
def at(lab: Lab) -> list[str]:
    return [f"{HOST}:{lab.port}"]


@pytest.fixture
def doomed(lab: Lab) -> Iterator[RunningNode]:
    """One more of the kind, to be killed."""
    node = lab.producer(f"doomed-{len(lab.nodes)}", "stt/cpu/echo:4,tts/cpu/echo:2")
    yield node
    node.stop()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return silence(tmp_path / "talk.wav", 4)


def kill(node: RunningNode) -> None:
    os.kill(node.process.pid, signal.SIGKILL)


async def test_all_that_happens_comes_as_events_and_the_result_last(
    at: list[str], recording: Path
) -> None:
    async with Mesh.join(at) as mesh:
        told = [
            event
            async for event in mesh.transcription_events(recording, TranscriptionOptions(**ECHO))
        ]
    dialing, *uploading, listening = told[:-5]
    assert isinstance(dialing, Dialing) and dialing.record is not None
    assert dialing.record.engine == "echo"
    assert dialing.route.startswith("direct")
    size = recording.stat().st_size
    assert uploading[-1] == Uploading(size, size)
    assert listening == AudioInfo(4.0)
    assert [segment.text for segment in told[-5:-1] if isinstance(segment, Segment)] == PARTS
    assert isinstance(told[-1], Done)
    assert told[-1].value.segments == tuple(told[-5:-1])


async def test_segments_come_while_the_rest_is_heard_and_leaving_ends_the_job(
    lab: Lab, at: list[str], recording: Path
) -> None:
    async with Mesh.join(at) as mesh:
        async with aclosing(mesh.segments(recording, **ECHO)) as segments:
            async for segment in segments:
                assert segment.text == PARTS[0]
                break
        wait_for_line(lab.nodes["slow"], "cancelled")


def test_without_async_too(lab: Lab, at: list[str], recording: Path) -> None:
    with sync.join(at) as mesh:
        assert [segment.text for segment in mesh.segments(recording, **ECHO)] == PARTS
        before = sum("cancelled" in line for line in lab.nodes["slow"].lines)
        for segment in mesh.segments(recording, **ECHO):
            assert segment.end == 1.0
            break
        wait_for_line(lab.nodes["slow"], "cancelled", more_than=before)
        left = mesh.segments(recording, **ECHO)
        next(left)
    with pytest.raises(RuntimeError, match="was left"):
        next(left)


async def test_no_word_is_told_twice_when_the_producer_is_killed_in_mid_job(
    at: list[str], doomed: RunningNode, recording: Path
) -> None:
    told, dialled = [], []
    async with Mesh.join(at) as mesh:
        job = mesh.transcription_events(
            recording, TranscriptionOptions(prefer=[peer_of(doomed)], **ECHO)
        )
        async with aclosing(job) as events:
            async for event in events:
                if isinstance(event, Dialing):
                    assert event.record is not None
                    dialled.append(event.record.peer_id)
                elif isinstance(event, Segment):
                    told.append(event.text)
                    if len(told) == 2:
                        kill(doomed)
        assert told == [*PARTS[:2], *PARTS], "events tell what is so"
        assert len(dialled) == 2
        assert isinstance(event, Done) and event.value.text == " ".join(PARTS)


async def test_whoever_reads_along_reads_on_when_the_producer_is_killed(
    at: list[str], doomed: RunningNode, recording: Path
) -> None:
    told = []
    async with Mesh.join(at) as mesh:
        async for segment in mesh.segments(recording, prefer=[peer_of(doomed)], **ECHO):
            told.append(segment.text)
            if len(told) == 2:
                kill(doomed)
    assert told == PARTS


async def test_sound_comes_while_the_rest_is_spoken(at: list[str]) -> None:
    async with Mesh.join(at) as mesh:
        pieces = [piece async for piece in mesh.audio("Good day", format="pcm", **ECHO)]
        whole = await mesh.speak("Good day", format="pcm", **ECHO)
    assert len(pieces) > 4
    assert b"".join(pieces) == whole


async def test_how_fast_a_voice_is_is_measured_and_believed_after_three_jobs(
    lab: Lab, at: list[str]
) -> None:
    """Its sound is counted and not claimed, whatever the format: two seconds of it in two."""
    slow = peer_of(lab.nodes["slow"])
    async with Mesh.join(at) as mesh:
        [record] = [r for r in await mesh.producers(["tts"]) if r.peer_id == slow]
        reputation = mesh.dispatcher.reputation
        for format in ("wav", "opus", "wav"):
            assert reputation.speed_of(record) is None
            await mesh.speak("x" * 40, format=format, only=[slow], **ECHO)
        speed = reputation.speed_of(record)
    assert speed is not None
    assert 0.3 < speed < 2.1
    assert reputation.with_measured_speed(record).speed == speed


async def test_another_voice_does_not_go_on_in_the_same_file(
    at: list[str], doomed: RunningNode
) -> None:
    async with Mesh.join(at) as mesh:
        heard = b""
        with pytest.raises(AllProducersFailed, match="after it had begun to speak"):
            async for piece in mesh.audio("Good day", prefer=[peer_of(doomed)], **ECHO):
                heard += piece
                kill(doomed)
        assert heard.startswith(b"RIFF")
        assert await mesh.speak("Good day", prefer=[peer_of(doomed)], **ECHO)


async def test_the_lines_in_the_readme_that_stream_work(
    lab: Lab,
    at: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[2]
    names: dict[str, Any] = {}
    exec("async def lines(mesh, player):\n" + textwrap.indent(code, "    "), names)
    silence(tmp_path / "meeting.ogg", 1)
    monkeypatch.chdir(tmp_path)
    player = io.BytesIO()
    lab.producer("quick", "stt/cpu/pocketsphinx,tts/cpu/espeak-ng")
    async with Mesh.join(at) as mesh:
        await names["lines"](mesh, player)
    assert len(player.getvalue()) > 24_000, "at 24,000 Hz this is half a second"
    assert re.fullmatch(r"( +\d+\.\d  .*\n)*", capsys.readouterr().out)


def test_text_leaves_the_client_as_it_is_recognised(lab: Lab, recording: Path) -> None:
    client = lab.start_client("--service", "stt", "--file", str(recording))
    assert client.stdout.read(len(FIRST)) == FIRST
    assert client.poll() is None, "the rest is not heard yet"
    rest, err = client.communicate(timeout=20)
    assert (FIRST + rest).decode() == " ".join(PARTS) + "\n"
    assert (client.returncode, err) == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_heard_is_kept_when_the_client_is_interrupted(
    lab: Lab, recording: Path, number: int
) -> None:
    client = lab.start_client("--service", "stt", "--file", str(recording))
    assert client.stdout.read(len(FIRST)) == FIRST
    client.send_signal(number)
    out, err = client.communicate(timeout=10)
    told = f"the transcript so far, 0:0{parts_in(FIRST + out)} of 0:04, was printed"
    assert (client.returncode, err.decode()) == (130, f"privox-client: {told}\ninterrupted\n")


def parts_in(printed: bytes) -> int:
    """How many of the parts, a second each, were printed: one, and more on a busy machine."""
    lines = [" ".join(PARTS[:count]) + "\n" for count in range(1, len(PARTS))]
    return lines.index(printed.decode()) + 1


def test_the_client_prints_no_word_twice_when_the_producer_is_killed(
    lab: Lab, doomed: RunningNode, recording: Path, tmp_path: Path
) -> None:
    job = ("--service", "stt", "--file", str(recording), "--prefer", peer_of(doomed))
    client = lab.start_client(*job)
    assert client.stdout.read(len(FIRST)) == FIRST
    kill(doomed)
    out, err = client.communicate(timeout=30)
    assert (client.returncode, (FIRST + out).decode()) == (0, " ".join(PARTS) + "\n")
    assert b"lost at 0:0" in err


def test_what_was_heard_is_in_the_file_and_in_the_json_of_an_interrupted_client(
    lab: Lab, recording: Path, tmp_path: Path
) -> None:
    output = tmp_path / "talk.srt"
    job = ("--service", "stt", "--file", str(recording), "--output", str(output), "--json")
    client = lab.start_client(*job)
    until_it_holds(output, PARTS[0])
    client.send_signal(signal.SIGINT)
    out, err = client.communicate(timeout=10)
    told = json.loads(out)
    assert (client.returncode, told["error"], told["exit_code"]) == (130, "Interrupted", 130)
    assert told["transcript"]["text"].startswith(PARTS[0])
    assert output.read_text().startswith(f"1\n00:00:00,000 --> 00:00:01,000\n{PARTS[0]}\n")
    assert f"of 0:04, is in {output}\ninterrupted\n" in err.decode()


def until_it_holds(file: Path, text: str) -> None:
    while not (file.exists() and text in file.read_text()):
        pass


def test_what_was_heard_is_kept_when_nobody_can_do_the_rest(
    lab: Lab, doomed: RunningNode, recording: Path
) -> None:
    only = ("--only", peer_of(doomed), "--wait", "0")
    client = lab.start_client("--service", "stt", "--file", str(recording), *only)
    assert client.stdout.read(len(FIRST)) == FIRST
    kill(doomed)
    out, err = client.communicate(timeout=30)
    told = f"the transcript so far, 0:0{parts_in(FIRST + out)} of 0:04, was printed"
    assert client.returncode == 5
    assert f"{told}\nprivox-client: every producer" in err.decode()


def test_on_a_terminal_the_text_stands_above_the_line_that_tells_how_far_it_is(
    lab: Lab, recording: Path
) -> None:
    ours, theirs = pty.openpty()
    command = lab.command("--service", "stt", "--file", str(recording))
    with subprocess.Popen(command, stdout=theirs, stderr=theirs) as client:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        assert client.wait(10) == 0
    text = shown.decode().replace("\r\n", "\n")
    assert "transcribed 0:02 of 0:04" in text
    left = re.sub(r"[^\n]*\r\x1b\[2K", "", text)  # as the terminal shows it in the end
    assert left.splitlines()[:4] == PARTS
    assert left.splitlines()[4].startswith("4.0 s of audio, by")
