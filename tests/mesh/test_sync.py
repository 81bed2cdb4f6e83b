"""The mesh from Python without async: scripts, notebooks, threads."""

from __future__ import annotations

import asyncio
import inspect
import io
import re
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kit import HOST
from running import Lab, peer_of, silence, wait_for_line

from nodes.demo import RunningNode
from privox_dht import sync
from privox_dht.errors import ConfigError, NotJoined, ProducerLost, RequestRejected
from privox_dht.mesh import Mesh

ECHO: dict[str, Any] = {"model": "echo"}
README = Path(__file__).parents[2] / "README.md"
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A mesh with a producer that answers at once."""
    with Lab(tmp_path_factory.mktemp("sync")) as lab:
        lab.producer("quick", "stt/cpu/echo,tts/cpu/echo,stt/cpu/pocketsphinx,tts/cpu/espeak-ng")
        yield lab


@pytest.fixture
def at(lab: Lab) -> str:
    return f"{HOST}:{lab.port}"


@pytest.fixture
def quick(lab: Lab) -> str:
    return peer_of(lab.nodes["quick"])


@pytest.fixture
def slow(lab: Lab) -> Iterator[RunningNode]:
    """A producer that needs a minute for a job, there for one test."""
    node = lab.producer(f"slow-{len(lab.nodes)}", "stt/cpu/echo:60")
    yield node
    node.stop()


def test_it_is_joined_with_what_a_mesh_is_joined_with() -> None:
    """`hidden` was missing, so nobody could hide behind a farm from a script."""
    ours, theirs = inspect.signature(sync.join), inspect.signature(Mesh.join)
    assert list(ours.parameters.values()) == list(theirs.parameters.values())


def test_ctrl_c_before_the_mesh_has_begun_to_join_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was to be cancelled did not exist yet, and `close` waited for ever."""
    closing, run, join = threading.Event(), asyncio.run, threading.Thread.join

    def late(work: Coroutine[Any, Any, None]) -> None:
        assert closing.wait(30)
        run(work)

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        closing.set()
        join(thread, 30 if timeout is None else timeout)
        assert not thread.is_alive()

    def interrupted(future: Future[Any], timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", late)
    monkeypatch.setattr(Future, "result", interrupted)
    monkeypatch.setattr(threading.Thread, "join", joined)
    with pytest.raises(KeyboardInterrupt):
        sync.SyncMesh(Nowhere)
    assert closing.is_set()


class Nowhere:
    """A mesh that is entered and never left."""

    async def __aenter__(self) -> Nowhere:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


def test_a_script_speaks_transcribes_and_lists(at: str, quick: str, tmp_path: Path) -> None:
    with sync.join(at) as mesh:
        audio = mesh.speak("Good day", **ECHO)
        with wave.open(io.BytesIO(audio)) as file:
            assert file.getnframes() == int(0.4 * 16_000)
        assert mesh.transcribe(audio, only=[quick], **ECHO) == "0.40 seconds of sound"
        assert mesh.transcribe(silence(tmp_path / "s.wav", 1), only=[quick], **ECHO).startswith(
            "1.00"
        )
        spoken = mesh.speech("Good day", format="pcm", **ECHO)
        assert spoken.record is not None and spoken.record.engine == "echo"
        done = mesh.transcript(audio, only=[quick], **ECHO)
        assert done.record is not None
        assert (done.value.seconds, done.record.peer_id) == (0.4, quick)
        assert {record.kind for record in mesh.producers()} == {"stt", "tts"}
        assert {record.kind for record in mesh.producers("tts")} == {"tts"}
    assert repr(mesh) == "<SyncMesh left>"


def test_a_script_hears_and_plays_as_it_comes_and_may_leave_early(at: str, quick: str) -> None:
    with sync.join(at) as mesh:
        audio = b"".join(mesh.audio("Good day", **ECHO))
        assert audio[:4] == b"RIFF"
        heard = list(mesh.segments(audio, only=[quick], **ECHO))
        assert [segment.text for segment in heard] == ["0.40 seconds of sound"]
        begun = mesh.segments(audio, only=[quick], **ECHO)
        assert next(begun) == heard[0]
        begun.close()
        assert next(begun, None) is None
        listed = mesh.voices()
        assert all(engine in ("echo", "espeak-ng") for _, engine in listed.found)
        assert not listed.silent and any(quick in peers for peers in listed.found.values())
        left = mesh.segments(audio, only=[quick], **ECHO)
    with pytest.raises(RuntimeError, match="was left"):
        next(left)


async def test_it_works_where_a_loop_is_running_as_in_a_notebook(at: str, quick: str) -> None:
    asyncio.get_running_loop()
    mesh = sync.join([at])
    assert (
        mesh.transcribe(mesh.speak("Good day", **ECHO), only=[quick], **ECHO)
        == "0.40 seconds of sound"
    )
    mesh.close()
    mesh.close()


def test_any_number_of_threads_share_it(at: str) -> None:
    with sync.join(at) as mesh, ThreadPoolExecutor(8) as threads:
        spoken = list(threads.map(lambda text: mesh.speak(text, **ECHO), ["Good day"] * 16))
    assert len(spoken) == 16 and len(set(spoken)) == 1


def test_errors_are_those_of_the_mesh(at: str) -> None:
    with pytest.raises(NotJoined, match=r"127\.0\.0\.1:9"):
        sync.join([f"{HOST}:9"], timeout=0.3)
    with pytest.raises(ConfigError):
        sync.join(["nonsense:0"])
    with sync.join(at) as mesh:
        with pytest.raises(RequestRejected, match="not a sound file"):
            mesh.transcribe(b"this is no recording at all" * 50, **ECHO)
        with pytest.raises(TypeError, match="colour"):
            mesh.speak("x", **{**ECHO, "colour": "red"})
    with pytest.raises(RuntimeError, match="was left"):
        mesh.speak("x")


def test_leaving_ends_the_jobs_of_other_threads_and_the_thread(at: str, slow: RunningNode) -> None:
    before = threading.active_count()
    with ThreadPoolExecutor(1) as threads:
        mesh = sync.join(at)
        audio = mesh.speak("Good day", **ECHO)
        job = threads.submit(mesh.transcribe, audio, only=[peer_of(slow)], **ECHO)
        wait_for_line(slow, "begun")
        mesh.close()
        with pytest.raises(ProducerLost, match="mesh was left"):
            job.result(10)
    assert threading.active_count() == before
    wait_for_line(slow, "cancelled")


SCRIPT = """
import sys
from privox_dht import sync

mesh = sync.join(sys.argv[1])
audio = mesh.speak("Good day", model="echo")
try:
    mesh.transcribe(audio, only=[sys.argv[2]], model="echo")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_the_job_of_a_script_that_never_closes_the_mesh(
    at: str, slow: RunningNode
) -> None:
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, at, peer_of(slow)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for_line(slow, "begun")
    script.send_signal(signal.SIGINT)
    out, err = script.communicate(timeout=20)
    assert (script.returncode, out, err) == (0, b"interrupted\n", b"")


def test_the_lines_in_the_readme_without_async_work(
    at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    exec(compile(code.replace("host:5678", at), "README.md", "exec"), {})
    assert re.fullmatch(r"[a-z' ]+\n", capsys.readouterr().out)
