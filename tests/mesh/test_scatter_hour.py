"""An hour of words made of sound, by eight producers of which three fail it halfway."""

import io
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from running import Lab
from test_scatter import TONES, Mesh, check
from tone_talk import Talk, talk

PARTS = (("talk", 1500.0), ("breathless", 300.0), ("silence", 300.0), ("talk", 1500.0))
SPEED = 20  # times real time, of each engine
MEMORY = 200 * 2**20  # bytes that the client may hold at most


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def run(
    lab: Lab, wav: Path, halfway: Callable[[], None] = lambda: None
) -> tuple[dict[str, Any], int]:
    """What the client printed, and the most memory it held, in bytes. `halfway` is called while it
    works."""
    job = ("--service", "stt", "--file", str(wav), *TONES, "--json", "--words")
    client = lab.start_client(*job)
    peaks = [0]
    watch = threading.Thread(target=_watch, args=(client, peaks))
    watch.start()
    halfway()
    out, err = client.communicate(timeout=200)
    watch.join()
    assert client.returncode == 0, err.decode()
    return json.loads(out), max(peaks)


def _watch(client: subprocess.Popen[bytes], peaks: list[int]) -> None:
    """Its `VmHWM` as long as it lives. (`ru_maxrss` would be that of who started it, if larger.)"""
    while client.poll() is None:
        try:
            status = Path(f"/proc/{client.pid}/status").read_text()
        except OSError:
            return
        peaks += [int(kib) << 10 for kib in re.findall(r"VmHWM:\s+(\d+) kB", status)]
        time.sleep(0.05)


@pytest.mark.soak
@pytest.mark.quiet
@pytest.mark.timeout(900)
def test_an_hour_of_words_made_of_sound(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Halfway one producer gets SIGKILL, one's engine hangs while its heartbeats go on, a third
    answers 500 to every second piece."""
    said = talk(60, *PARTS)
    wav = said.write(tmp_path / "hour.wav")
    silence = sum(seconds for kind, seconds in PARTS if kind == "silence")
    with Mesh(tmp_path / "lab", patch, 8, speed=SPEED) as mesh:
        given_then = 0.0

        def halfway() -> None:
            nonlocal given_then
            killed, hung, failing, last, *_ = mesh.all
            while mesh.given < said.seconds / 2:
                last.has_worked(len(last.given) + 1)
            killed.node.process.kill()
            hung.is_told("hang")
            failing.is_told("fail")
            given_then = mesh.given

        told, memory = run(mesh.lab, wav, halfway)
        given = mesh.given
    check(told, said)
    speech = said.seconds - silence
    ideal = given_then / (8 * SPEED) + (speech - given_then) / (5.5 * SPEED)
    told_of = {
        "words": len(said.words), "seconds": told["seconds"], "ideal": round(ideal, 2),
        "ratio": round(told["seconds"] / ideal, 3), "one": speech / SPEED,
        "MiB": memory >> 20, "sent": round(given / said.seconds, 3),
    }  # fmt: skip
    print(told_of)
    assert given < 1.15 * said.seconds, told_of
    assert memory < MEMORY, told_of
    assert told["seconds"] < speech / SPEED / 5, told_of
    assert told["seconds"] < 1.35 * ideal, told_of


def encoded(said: Talk, format: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=format) as out:
        stream: Any = out.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(said.sound.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(
            stream.format.name, "mono", 48_000, frame_size=stream.frame_size or 960
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("format", "codec"), [("mp3", "libmp3lame"), ("ogg", "libopus"), ("ipod", "aac")]
)
def test_words_come_back_from_compressed_recordings(
    tmp_path: Path, patch: pytest.MonkeyPatch, format: str, codec: str
) -> None:
    said = talk(3, ("talk", 90), ("breathless", 60), ("silence", 40), ("talk", 60))
    file = tmp_path / f"talk.{format}"
    file.write_bytes(encoded(said, format, codec))
    with Mesh(tmp_path / "lab", patch, 2, speed=100) as mesh:
        told, _ = run(mesh.lab, file)
    assert told["producer"] == "several"
    check(told, said)
