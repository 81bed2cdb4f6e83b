"""A film's sound, as Bazarr sends it, by a gateway and several producers: real processes."""

import http.client
import itertools
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy
import pytest
from kit import HOST
from open_engines import EARS, knows_open_engines
from running import Lab
from tone_talk import Talk, talk

from nodes.demo import RunningNode
from nodes.gateway import gateway_limits
from privox_dht.audio import wav_header

MEMORY = 250 * 2**20  # bytes that the gateway may hold at most
BOUNDARY = "bOuNdArY"


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@contextmanager
def producers(folder: Path, patch: pytest.MonkeyPatch, count: int, speed: float) -> Iterator[Lab]:
    """A mesh of so many that hear tones, so many times faster than they sound."""
    folder.mkdir()
    knows_open_engines(folder, patch)
    with Lab(folder / "lab") as lab:
        nodes = [lab.node(f"p{n}", "--services", f"{EARS}:{speed:g}") for n in range(count)]
        for node in nodes:
            node.wait_for("published", within=150)
        yield lab


def asked(port: int, said: Talk) -> str:
    """The subtitle that Bazarr gets for a film with this sound."""
    pcm = memoryview(said.sound.astype("<i2", copy=False).data).cast("B")
    path = "/asr?task=transcribe&language=en&output=srt&encode=false&video_file=/films/a.mkv"
    pieces = (pcm[at : at + (1 << 20)] for at in range(0, len(pcm), 1 << 20))
    status, text = posted(port, path, len(pcm), pieces)
    assert status == 200, text
    return text


def posted(
    port: int, path: str, size: int, pieces: Iterable[bytes | memoryview], seconds: float = 280.0
) -> tuple[int, str]:
    """The answer to a form with a file of so many bytes."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="audio_file";'
        ' filename="audio"\r\n\r\n'
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        connection.putheader("Content-Length", str(len(head) + size + len(tail)))
        connection.endheaders(head)
        for piece in pieces:
            connection.send(piece)
        connection.send(tail)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def watched(node: RunningNode, peaks: list[int]) -> threading.Thread:
    """A thread that notes the most memory of a node until its list is given a 0."""

    def look() -> None:
        while peaks[-1]:
            try:
                status = Path(f"/proc/{node.process.pid}/status").read_text()
            except OSError:
                return
            peaks.append(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) << 10)  # type: ignore[index]
            time.sleep(0.2)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    return thread


def spooled(node: RunningNode) -> list[str]:
    """Files without a name that a node has open on a disk, and did not inherit from us."""
    folder = Path(f"/proc/{node.process.pid}/fd")
    links = [os.readlink(fd) for fd in folder.iterdir() if fd.is_symlink()]
    ours = {os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)}
    nameless = [link for link in links if link.endswith("(deleted)") and "memfd:" not in link]
    return [link for link in nameless if link not in ours]


def given_back(node: RunningNode, within: float = 5.0) -> bool:
    """Whether such files are gone soon: the answer is read before the job has ended."""
    until = time.monotonic() + within
    while spooled(node) and time.monotonic() < until:
        time.sleep(0.02)
    return not spooled(node)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("count", "minutes", "speed"),
    [(2, 3, 200), pytest.param(8, 180, 200, marks=[pytest.mark.soak, pytest.mark.quiet])],
)
def test_a_film_comes_back_as_what_its_producers_heard(
    tmp_path: Path, patch: pytest.MonkeyPatch, count: int, minutes: int, speed: float
) -> None:
    said = talk(9, *[("talk", 50.0), ("silence", 10.0)] * minutes)
    with producers(tmp_path / "film", patch, count, speed) as lab:
        gateway = lab.node("gateway", "--gateway", f"{HOST}:0")
        port = gateway.wait_for("gateway")["port"]
        peaks = [1]
        watching = watched(gateway, peaks)
        began = time.monotonic()
        subtitle = asked(port, said)
        seconds = time.monotonic() - began
        memory = max(peaks)
        peaks.append(0)
        watching.join(5)
        assert given_back(gateway), "the disk is given back"
    lines = [block.split("\n", 2)[2] for block in subtitle.strip().split("\n\n")]
    assert " ".join(" ".join(lines).split()) == said.text
    print({"seconds": round(seconds, 1), "of": said.seconds, "MiB": memory >> 20})
    assert memory < MEMORY


@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("count", "minutes"),
    [(2, 2), pytest.param(8, 360, marks=[pytest.mark.soak, pytest.mark.quiet])],
)
def test_six_hours_in_almost_two_gibibytes_are_heard_and_more_of_either_is_refused(
    tmp_path: Path, patch: pytest.MonkeyPatch, count: int, minutes: int
) -> None:
    """A WAV file at 48 kHz, as an editor writes it: the same minute, again and again."""
    minute = talk(9, ("talk", 50.0), ("silence", 10.0))
    block = numpy.repeat(minute.sound, 3).tobytes()
    size = minutes * len(block)
    path = "/asr?output=txt"
    with producers(tmp_path / "film", patch, count, 200) as lab:
        gateway = lab.node("gateway", "--gateway", f"{HOST}:0")
        port = gateway.wait_for("gateway")["port"]
        peaks = [1]
        watching = watched(gateway, peaks)
        began = time.monotonic()
        pieces = itertools.chain(
            [wav_header.header(48_000, size)], itertools.repeat(block, minutes)
        )
        status, text = posted(port, path, wav_header.HEADER.size + size, pieces, 800)
        seconds, memory = time.monotonic() - began, max(peaks)
        assert status == 200, text
        assert given_back(gateway), "the disk is given back"
        longer = [wav_header.header(16_000, 7 * 3600 * 32_000), block]  # by what it says
        told = posted(port, path, wav_header.HEADER.size + len(block), longer)
        larger = (port, path, gateway_limits.MAX_UPLOAD, itertools.repeat(block, 360))
        with suppress(ConnectionError):  # unless all of it came while a refused upload is read on
            assert posted(*larger) == (413, "")
        peaks.append(0)
        watching.join(5)
    print({"seconds": round(seconds, 1), "GiB": round(size / 2**30, 2), "MiB": memory >> 20})
    assert " ".join(text.split()) == " ".join([minute.text] * minutes)
    assert told == (413, "")
    assert memory < MEMORY
